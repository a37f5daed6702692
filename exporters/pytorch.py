"""From a torch module to .onnx."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.comparing import ExpectedAnswers
from backtrace_onnx.exporters.exported import Exported
from backtrace_onnx.exporters.extras import need
from backtrace_onnx.exporters.repairing import check_opset, name_axes
from backtrace_onnx.exporters.torch_exporters import NEWEST, Exporter, export, say
from backtrace_onnx.exporters.torch_modules import state_modules
from backtrace_onnx.exporters.writing import publish, staging
from backtrace_onnx.model.sessions import first_line

if TYPE_CHECKING:
    import torch

    from backtrace_onnx.exporters.torch_inputs import Axes, Call, Dynamic

OPSET = 20
_REMEDY = (
    "The exporter read something of the example as fixed (a size, a branch, a loop): change the "
    "module's code there, try the other exporter (exporter='dynamo' or 'legacy'), or pass "
    "dynamic=False where only the example's sizes matter"
)


def from_torch(
    module: torch.nn.Module,
    example: Any,
    path: str | os.PathLike[str],
    *,
    exporter: Exporter = "auto",
    dynamic: Dynamic = True,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset: int = OPSET,
    verify: bool = True,
    tolerance: float | None = None,
) -> Exported:
    """Write a torch module, in evaluation mode, as an .onnx file that computes the same.

    Args:
        example: what forward takes: a tensor, a tuple of arguments, or a dict of keywords.
        path: the file to write. Weights over 2 GB together go to `<path>.data`.
        exporter: "dynamo" (torch.export), "legacy" (TorchScript), or "auto": dynamo, and with an
            ExportWarning legacy where that fails.
        dynamic: True leaves the batch open, and sequences where the module runs with another
            length; False fixes all sizes; or names of open axes by input and axis.
        input_names, output_names: default: forward's parameters; keys and fields of what it
            returns, else output or output_0, output_1, ...
        verify: compare with onnxruntime on the example and on random inputs of other sizes.
        tolerance: largest difference relative to an output's largest value; default 1e-4, for half
            precision 1e-2.

    Raises:
        ExportError: torch cannot export the module, or the file computes something else; then
            nothing is written.
    """
    need("torch", "torch", "from_torch")
    need("onnxscript", "torch", "from_torch")
    from backtrace_onnx.exporters import torch_inputs as inputs

    if exporter not in ("auto", "dynamo", "legacy"):
        raise ExportError(f"exporter is auto, dynamo or legacy, not {exporter!r}")
    check_opset(
        opset, NEWEST["legacy" if exporter == "legacy" else "dynamo"], f"torch ({exporter})"
    )
    with _evaluating(module), staging(path) as staged:
        call = inputs.make_call(module, example, input_names)
        made = inputs.outputs(_first_run(call))
        names = _output_names(output_names, list(made))
        wishes = inputs.find_axes(call, dynamic)
        if not verify:
            wishes = wishes[-1:]
        task = _Task(call, staged, Path(path), exporter, names, opset, verify, tolerance)
        return _first_possible(task, wishes)


@dataclass(frozen=True)
class _Task:
    """What is exported, how, and whereto."""

    call: Call
    staged: Path
    path: Path
    exporter: Exporter
    names: Sequence[str]
    opset: int
    verify: bool
    tolerance: float | None

    def run(self, axes: Axes) -> Exported:
        """Export with these axes open. Raises ExportError."""
        from backtrace_onnx.exporters.torch_inputs import roomy

        call = roomy(self.call, axes)
        proto, used = export(call, self.staged, self.exporter, axes, self.names, self.opset)
        name_axes(proto, axes)
        state_modules(proto, self.call.module)
        _check_open(proto, axes)
        reference = None
        if self.verify:
            reference = ExpectedAnswers(
                self.call.run_on, self.call.feeds, axes, self.tolerance, remedy=_REMEDY
            )
        return publish(proto, self.path, self.staged, f"torch ({used})", reference)


def _first_possible(task: _Task, wishes: Sequence[Axes]) -> Exported:
    """The export with the most open axes that is right; says so if it is not the first wish."""
    for axes in wishes[:-1]:
        try:
            return task.run(axes)
        except ExportError as error:
            trouble = error
            for file in task.staged.parent.iterdir():
                file.unlink()
    made = task.run(wishes[-1])
    if len(wishes) > 1:
        say(f"only the batch is open, sequences have the example's length: {trouble}")
    return made


def _first_run(call: Call) -> Any:
    try:
        return call.run()
    except Exception as error:  # whatever the module's own code raises
        raise ExportError(f"the module does not run on the example: {first_line(error)}") from error


def _output_names(given: Sequence[str] | None, found: Sequence[str]) -> list[str]:
    if given is not None and len(given) != len(found):
        raise ExportError(f"{len(given)} output name(s) for {len(found)} output(s)")
    return list(given or found)


def _check_open(proto: onnx.ModelProto, axes: Axes) -> None:
    """Raises ExportError where an axis that should be open is not."""
    for value in proto.graph.input:
        for axis, name in axes.get(value.name, {}).items():
            dim = value.type.tensor_type.shape.dim[axis]
            if dim.HasField("dim_value"):
                raise ExportError(
                    f"the exporter fixed axis {axis} ({name}) of input {value.name!r} to "
                    f"{dim.dim_value}: the module's code allows no other size. Change it, or pass "
                    "dynamic=False to export it for the sizes of the example alone"
                )


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and as it was afterwards."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, state in training.items():
            part.training = state
