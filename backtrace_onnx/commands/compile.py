"""What the command `compile` does: write the file, and tell what is in it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from backtrace_onnx.commands.entry_parts import labels_named
from backtrace_onnx.commands.sidecar_options import find_sidecar, output_axes, output_meaning
from backtrace_onnx.compiler.file_baselines import BASELINE, REQUIRED
from backtrace_onnx.compiler.target_axis import TARGETS
from backtrace_onnx.compiler.target_input import TARGET
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.graph.graph import Graph, TensorType
from backtrace_onnx.graph.input_checking import spell
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.inputs.array_files import read_file
from backtrace_onnx.inputs.background_rows import BackgroundRows, read_rows
from backtrace_onnx.inputs.class_names import declared_names
from backtrace_onnx.inputs.files import InputReader
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.targets.named_targets import read_target
from backtrace_onnx.targets.tensor_choice import default_output
from backtrace_onnx.targets.through_choice import read_through


def compiled(
    model: Path,
    file: Path,
    sidecar: Path | None,
    *,
    mode: str,
    output: str | None,
    task: str | None,
    scaler: float | None,
    threshold: float | None,
    tensors: tuple[str, ...],
    target: str = "optional",
    start: bool = False,
    probability: bool = False,
    sample_axis: str | None = None,
    class_axis: int | None = None,
    through: Sequence[str] = (),
    baseline: str | None = None,
    background: Path | None = None,
) -> list[str]:
    """Compile a model into `file`, and return the lines that tell what is in it.

    Arguments are the options of the command line; None where the sidecar or the default decides.
    Raises BacktraceError.
    """
    begun = _start(start, probability)
    explainer, found = Explainer(model), find_sidecar(model, sidecar)
    meaning = output_meaning(found, explainer.graph, output)
    name = output or default_output(explainer.graph) or ""
    rows = _rows(background, explainer, found)
    with labels_named(found, name):
        notes = explainer.compile(
            file,
            mode=mode,
            output=output,
            task=task or (None if start else meaning.task),
            tensors=tensors or None,
            scaler=scaler,
            threshold=next(x for x in (threshold, meaning.threshold, 0.5) if x is not None),
            target=_target(target, meaning, explainer, name),
            start=begun,
            columns=None if start else meaning.columns,
            labels=meaning.labels,
            sidecar=found,
            through=dict(read_through(text) for text in through),
            baseline=_baseline(baseline, explainer.graph),
            background=rows.arrays or None,
            **output_axes(sample_axis, class_axis, meaning, explainer.graph.type(name).shape),
        )
    return [*_interface(file), *(f"note: {note.text}" for note in (*rows.notes, *notes))]


def _start(given: bool, probability: bool) -> Any:
    if given and probability:
        raise RequestError("give either --start or --probability")
    return "probability" if probability else given


def _baseline(given: str | None, graph: Graph) -> Any:
    """A number, a word, or the arrays of a file, of which several samples are one baseline each.

    Raises InputError for files that hold none.
    """
    if given in (None, "zeros", "mean", "rows", REQUIRED):
        return given
    try:
        return float(given)
    except ValueError:
        read = read_file(Path(given))
    if isinstance(read, Path):
        raise InputError(
            f"baseline {given!r}: it is zeros, required, a number, mean or rows (of --background), "
            "or a .npy, .npz or .json file"
        )
    axis = SampleAxes(graph)(graph.inputs[0])
    if isinstance(read, np.ndarray) and axis is not None and len(graph.inputs) == 1:
        kind = graph.type(graph.inputs[0])
        if read.ndim == kind.rank and kind.shape and not isinstance(kind.shape[axis], int):
            return list(np.split(read, max(1, read.shape[axis]), axis))
    return read


def _rows(given: Path | None, explainer: Explainer, sidecar: Sidecar | None) -> BackgroundRows:
    """The samples of a file or a folder, by input; none of None. Raises InputError."""
    if given is None:
        return BackgroundRows({}, "")
    return read_rows(given, InputReader(explainer.graph, sidecar))


def _target(given: str, meaning: OutputMeaning, explainer: Explainer, output: str) -> Any:
    """`optional`, `required`, `several`, `none`, or the entry that the file explains always."""
    if given in ("optional", "required", "several"):
        return given
    if given == "none":
        return None
    shape = explainer.graph.type(output).shape
    return read_target(given, declared_names(meaning, explainer.class_labels, shape).labels)


def _interface(file: Path) -> list[str]:
    """Inputs and outputs of the file, and what it takes to be told what to explain."""
    proto = onnx.load_model(file, load_external_data=False)
    graph = proto.graph
    task = next(p.value for p in proto.metadata_props if p.key == "backtrace.task")
    optional = {tensor.name for tensor in graph.initializer} & {v.name for v in graph.input}
    inputs = [f"  input {_spelled(v)}{_told(v.name, task, optional)}" for v in graph.input]
    lines = [f"wrote {file}", *inputs]
    lines += [f"  output {_spelled(value)}" for value in graph.output]
    ways = ["--target required or none"] if TARGET in optional else []
    if any(name.startswith(BASELINE) for name in optional):
        ways.append("--baseline required, zeros, a number or a file")
    if ways:
        what = "is an initializer" if len(optional) == 1 else "are initializers"
        lines.append(
            f"{', '.join(sorted(optional))} {what} that may be overridden, which onnxruntime warns "
            f"of as it loads the file; with {' and '.join(ways)} it does not"
        )
    return lines


def _told(name: str, task: str, optional: Set[str]) -> str:
    """What an input asks for, where it is one that `compile` added.

    Args:
        optional: inputs that may be left out.
    """
    how = " (optional)" if name in optional else ""
    if name.startswith(BASELINE):
        zeros = ", zeros if left out" if how else ""
        return f"{how}: what {name.removeprefix(BASELINE)} is compared with{zeros}"
    if name == TARGETS:
        return (
            f": of each target {_TARGETS.get(task, _ENTRY)}; one for all samples, or one for each"
        )
    if name == TARGET:
        return f"{how}: {_TARGETS.get(task, _ENTRY)}; one for all samples, or one for each"
    if task == "start" and name in ("start", "start_negative"):
        channel = " against" if name == "start_negative" else ""
        return f": the relevance{channel} that it starts from"
    return ""


_ENTRY = "an entry of the output, -1 for the largest"
_TARGETS = {
    "detection": "box and class, -1 for the best",
    "ctc": "step and class, -1 for the surest letter",
    "regression": "an entry of the output, -1 for all of them",
    "generation": "position and token, -1 for the last and the likeliest",
}


def _spelled(value: Any) -> str:
    tensor = value.type.tensor_type
    dims = [
        d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in tensor.shape.dim
    ]
    shape = tuple(dims) if tensor.HasField("shape") else None
    return f"{value.name} {spell(TensorType(tensor.elem_type, shape))}"
