"""From files to explained samples: what the command `explain` does before it reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.graph import Graph
from backtrace_onnx.report.console import Waiting
from backtrace_onnx.report.subject import Subject
from backtrace_onnx.sidecar import OutputMeaning, Sidecar
from backtrace_onnx.sources import Batch, Reader

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; None where the sidecar or the default decides."""

    model: Path
    inputs: Sequence[str]
    mode: str = "default"
    targets: Sequence[str] = ()
    output: str | None = None
    task: str | None = None
    scaler: float | None = None
    threshold: float | None = None
    on_unsupported: Literal["error", "pass", "stop"] = "error"
    engine: Literal["numba", "onnxruntime"] = "numba"
    sidecar: Path | None = None


def explained(asked: Asked, waiting: Waiting) -> list[Subject]:
    """Explain every sample of the input files. Raises BacktraceError."""
    sidecar = find_sidecar(asked.model, asked.sidecar)
    explainer = Explainer(asked.model, engine=asked.engine, on_unsupported=asked.on_unsupported)
    graph = explainer.graph
    if sidecar:
        sidecar.check(graph.inputs, graph.outputs)
    reader = Reader(graph, sidecar)
    if not asked.inputs:
        raise InputError(f"no INPUT given; the model takes:\n{reader.takes()}")
    waiting.say("Reading the inputs")
    batch = reader.read(asked.inputs)
    meaning = output_meaning(sidecar, graph, asked.output)
    waiting.say(f"Explaining {len(batch.sources)} sample(s)")
    threshold = _first(asked.threshold, meaning.threshold, 0.5)
    subjects: list[Subject] = []
    for part in _parts(batch, graph):
        targets = _targets(asked.targets, meaning.labels, part, batch)
        made = _explain(explainer, asked, meaning, part, targets, threshold, waiting)
        subjects += _subjects(made, part.sources, sidecar, threshold)
    return subjects


def find_sidecar(model: Path, given: Path | None) -> Sidecar | None:
    """The sidecar asked for, or the one beside the model."""
    return Sidecar.load(given) if given else Sidecar.beside(model)


def output_meaning(sidecar: Sidecar | None, graph: Graph, output: str | None) -> OutputMeaning:
    """What the sidecar says about the output that is explained."""
    name = output or next((o for o in graph.outputs if graph.type(o).is_float), "")
    return (sidecar.outputs.get(name) if sidecar else None) or OutputMeaning()


def _explain(
    explainer: Explainer,
    asked: Asked,
    meaning: OutputMeaning,
    part: Batch,
    target: Any,
    threshold: float,
    waiting: Waiting,
) -> Explanation:
    return explainer.explain(
        part.feeds,
        mode=asked.mode,
        output=asked.output,
        target=target,
        task=asked.task or meaning.task,
        scaler=asked.scaler,
        threshold=threshold,
        progress=waiting.advance,
    )


def _subjects(
    made: Explanation, sources: Sequence[str], sidecar: Sidecar | None, threshold: float
) -> Iterator[Subject]:
    if sidecar:
        made = replace(made, names=sidecar.names())
    count = made.ledger.total().start.shape[1]
    for sample in range(count):
        source = sources[sample] if len(sources) == count else ", ".join(sources)
        yield Subject(made, sample, source, sidecar, threshold)


def _parts(batch: Batch, graph: Graph) -> Iterator[Batch]:
    """The batch, or its samples one by one where the model takes only one at a time."""
    shapes = [graph.type(name).shape for name in batch.feeds]
    single = all(s is not None and len(s) > 1 and s[0] == 1 for s in shapes)
    count = len(batch.sources)
    whole = {len(a) if a.ndim else 1 for a in batch.feeds.values()} == {count}
    if not (single and whole and count > 1):
        yield batch
        return
    for i, source in enumerate(batch.sources):
        yield Batch({name: a[i : i + 1] for name, a in batch.feeds.items()}, (source,))


def _targets(
    given: Sequence[str], labels: Sequence[str], part: Batch, whole: Batch
) -> int | tuple[int, ...] | Array | None:
    """The targets of a part of the batch: one for all samples, or one for each."""
    parsed = [_target(text, labels) for text in given]
    if len(parsed) < 2:
        return parsed[0] if parsed else None
    if len(parsed) != len(whole.sources):
        raise RequestError(
            f"{len(parsed)} targets for {len(whole.sources)} sample(s); give one, or one for each"
        )
    own = dict(zip(whole.sources, parsed, strict=True))
    return np.array([own[source] for source in part.sources])


def _target(text: str, labels: Sequence[str]) -> int | tuple[int, ...]:
    """A label's index, an index, or an index per axis: `2,7`."""
    if text in labels:
        return labels.index(text)
    try:
        index = tuple(int(number) for number in text.split(","))
    except ValueError:
        raise RequestError(_unknown(text, labels)) from None
    return index[0] if len(index) == 1 else index


def _unknown(text: str, labels: Sequence[str]) -> str:
    from difflib import get_close_matches

    if not labels:
        return f"target {text!r} is no index, and no sidecar names the entries of the output"
    close = get_close_matches(text, labels, n=3, cutoff=0.5) or list(labels[:5])
    return f"target {text!r} is neither an index nor a label; there are, for example: " + ", ".join(
        close
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
