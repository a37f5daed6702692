"""What the command line compares inputs with: --baseline and --background."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backtrace_onnx.commands.explain_options import ExplainOptions
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.background_rows import BackgroundRows
from backtrace_onnx.inputs.baselines import KEYWORDS, read_rows
from backtrace_onnx.inputs.files import InputReader
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.messages.notes import Note


def references(asked: ExplainOptions, graph: Graph, sidecar: Sidecar | None) -> dict[str, Any]:
    """Arguments `baseline` and `background` of `Explainer.explain`. Raises InputError for files."""
    background = asked.background
    rows = None if background is None else read_rows(background, InputReader(graph, sidecar))
    return {"baseline": list(_baselines(asked, graph, sidecar)) or None, "background": rows}


def reference_notes(compared: Mapping[str, Any]) -> tuple[Note, ...]:
    """What reading files of baselines and backgrounds tells, each sentence once."""
    read = [compared.get("background"), *_listed(compared.get("baseline"))]
    every = (note for one in read if isinstance(one, BackgroundRows) for note in one.notes)
    return tuple(dict.fromkeys(every))


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _baselines(asked: ExplainOptions, graph: Graph, sidecar: Sidecar | None) -> Iterator[Any]:
    for given in asked.baselines:
        if given in KEYWORDS:
            yield given
        else:
            yield read_rows(Path(given), InputReader(graph, sidecar))


__all__ = ["reference_notes", "references"]
