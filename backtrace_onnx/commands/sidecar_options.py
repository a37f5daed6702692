"""What the sidecar says of a model, and what the command line says instead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from backtrace_onnx.commands.explain_options import ExplainOptions
from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph, Shape
from backtrace_onnx.inputs.output_meanings import OutputMeaning, labelled_axis
from backtrace_onnx.inputs.sidecar import Sidecar, meaning_of
from backtrace_onnx.targets.tensor_choice import default_output
from backtrace_onnx.text.inputs import TextInput, find_ids


def sidecar_of(asked: ExplainOptions, graph: Graph) -> Sidecar | None:
    """The sidecar, with what the command line adds, checked against the model's graph."""
    sidecar = _with_tokenizer(find_sidecar(asked.model, asked.sidecar), asked)
    sidecar = _cutting(_placed(sidecar, graph), asked)
    if sidecar:
        sidecar.check(graph.inputs, graph.outputs)
    return sidecar


def _with_tokenizer(sidecar: Sidecar | None, asked: ExplainOptions) -> Sidecar | None:
    """The sidecar with the tokenizer of the command line, for an input still without a name."""
    if asked.tokenizer is None:
        return sidecar
    known = sidecar or Sidecar(asked.model)
    return replace(known, inputs={**known.inputs, "": TextInput(asked.tokenizer)})


def _placed(sidecar: Sidecar | None, graph: Graph) -> Sidecar | None:
    """The sidecar with that input named."""
    entry = sidecar.inputs.get("") if sidecar else None
    if sidecar is None or not isinstance(entry, TextInput):
        return sidecar
    name = find_ids(graph)
    rest = {key: value for key, value in sidecar.inputs.items() if key}
    return replace(sidecar, inputs={**rest, name: replace(entry, name=name)})


def _cutting(sidecar: Sidecar | None, asked: ExplainOptions) -> Sidecar | None:
    """The sidecar, whose texts are cut where that is asked for."""
    if sidecar is None or not asked.truncate:
        return sidecar
    cut = {
        name: replace(entry, truncate=True)
        for name, entry in sidecar.inputs.items()
        if isinstance(entry, TextInput)
    }
    return replace(sidecar, inputs={**sidecar.inputs, **cut})


def find_sidecar(model: Path, given: Path | None) -> Sidecar | None:
    """The sidecar that was named, or the one beside the model; None where there is none."""
    return Sidecar.load(given) if given else Sidecar.beside(model)


def output_meaning(sidecar: Sidecar | None, graph: Graph, output: str | None) -> OutputMeaning:
    """What the sidecar says about the output that is explained."""
    return meaning_of(sidecar, output or default_output(graph) or "")


def output_axes(
    samples: str | None, classes: int | None, meaning: OutputMeaning, shape: Shape | None
) -> dict[str, Any]:
    """The axes of an output as the command line or the sidecar has them: options of `explain`.

    Raises RequestError for what is neither the number of an axis nor none.
    """
    sample_axis: Any = meaning.sample_axis if samples is None else samples
    if isinstance(sample_axis, str) and sample_axis != "none":
        try:
            sample_axis = int(sample_axis)
        except ValueError:
            raise RequestError(
                f"--sample-axis is the number of an axis or none, not {sample_axis!r}"
            ) from None
    class_axis = meaning.class_axis if classes is None else classes
    if class_axis is None:
        class_axis = labelled_axis(meaning.labels, shape)
    return {"sample_axis": sample_axis, "class_axis": class_axis}
