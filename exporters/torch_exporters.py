"""torch's two exporters: torch.export ("dynamo"), and TorchScript ("legacy")."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import onnx

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters import writing
from backtrace_onnx.exporters.exported import ExportWarning
from backtrace_onnx.exporters.quiet import quiet
from backtrace_onnx.model.sessions import first_line

if TYPE_CHECKING:
    import torch

    from backtrace_onnx.exporters.torch_inputs import Axes, Call

Exporter = Literal["auto", "dynamo", "legacy"]
NEWEST = {"dynamo": 25, "legacy": 20}  # dynamo writes invalid files for 26 and 27
_DYNAMIC = (
    "Modules that are quantised dynamically have no ONNX form: export the float module, and "
    "quantise the file by onnxruntime.quantization.quantize_dynamic"
)


def export(
    call: Call, staged: Path, exporter: Exporter, axes: Axes, names: Sequence[str], opset: int
) -> tuple[onnx.ModelProto, str]:
    """The model, and the name of the exporter that made it.

    "auto" is dynamo, and legacy where that fails, with an ExportWarning. Raises ExportError with
    what each of them said.
    """
    if exporter == "legacy":
        return _legacy(call, staged, axes, names, opset), "legacy"
    try:
        return _dynamo(call, staged, axes, names, opset), "dynamo"
    except ExportError as error:
        if exporter == "dynamo":
            raise
        trouble = error
    try:
        made = _legacy(call, staged, axes, names, min(opset, NEWEST["legacy"]))
    except ExportError as error:
        raise ExportError(f"{trouble}\n{error}") from None
    say(f"{trouble}\nIt was exported by the legacy exporter instead (exporter='legacy').")
    return made, "legacy"


def _dynamo(
    call: Call, staged: Path, axes: Axes, names: Sequence[str], opset: int
) -> onnx.ModelProto:
    import torch

    args, kwargs = call.arguments
    try:
        with quiet():
            program = torch.onnx.export(
                call.module,
                args,
                kwargs=kwargs,
                dynamo=True,
                verbose=False,
                input_names=list(call.names),
                output_names=list(names),
                opset_version=opset,
                dynamic_shapes=_shapes(call, axes),
            )
        return _program_proto(program, call.module, staged)
    except Exception as error:  # torch raises many types
        raise ExportError(f"torch.export cannot export the module: {_reason(error)}") from None


def _program_proto(program: Any, module: torch.nn.Module, staged: Path) -> onnx.ModelProto:
    """The model; where its weights are too many for one file, they are written beside it."""
    tensors = (*module.parameters(), *module.buffers())
    if sum(t.numel() * t.element_size() for t in tensors) <= writing.EMBEDDED_BYTES:
        proto: onnx.ModelProto = program.model_proto
        return proto
    program.save(str(staged), external_data=True)
    return onnx.load(staged, load_external_data=False)


def _legacy(
    call: Call, staged: Path, axes: Axes, names: Sequence[str], opset: int
) -> onnx.ModelProto:
    import torch

    file = staged.parent / "legacy" / staged.name
    file.parent.mkdir()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it has no ONNX form
    try:
        with quiet(), _taking_tensors(call):
            torch.onnx.export(
                call.module,
                tuple(call.tensors.values()),
                str(file),
                dynamo=False,
                input_names=list(call.names),
                output_names=list(names),
                opset_version=opset,
                dynamic_axes=axes,
            )
        return onnx.load(file)
    except Exception as error:  # torch raises many types
        raise ExportError(
            f"torch's legacy exporter cannot export the module: {_reason(error)}"
        ) from None
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part in file.parent.iterdir():
            part.unlink()
        file.parent.rmdir()


def _shapes(call: Call, axes: Axes) -> Any:
    """torch.export's form of the open axes, nested like the arguments."""
    import torch
    from torch.utils import _pytree as pytree

    names = iter(call.names)

    def spec(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return None
        return dict.fromkeys(axes.get(next(names), {}), torch.export.Dim.AUTO)

    args, kwargs = pytree.tree_unflatten([spec(leaf) for leaf in call.leaves], call.spec)
    if not kwargs:
        return args
    parameters = inspect.signature(call.module.forward).parameters
    return {**dict(zip(parameters, args, strict=False)), **kwargs}


def _reason(error: Exception) -> str:
    """The line of torch's report that says what happened, and a remedy where one is known."""
    text = str(error).partition("## Exception summary")[2] or str(error)
    line = first_line(Exception(text)).removeprefix("<class '").replace("'>:", ":", 1)
    dynamic = "linear_dynamic" in line or "PackedParams" in line
    return f"{line}. {_DYNAMIC}" if dynamic else line


def say(words: str) -> None:
    """Warn of an export that is not quite the one that was asked for."""
    warnings.warn(words, ExportWarning, stacklevel=4)


@contextmanager
def _taking_tensors(call: Call) -> Iterator[None]:
    """The module with a forward of tensors alone: tracing makes inputs of numbers, too.

    The module itself stays what is traced, so that its nodes' scopes are its own.
    """
    forward = call.module.forward

    def flat(*tensors: torch.Tensor) -> Any:
        given = call.with_tensors(dict(zip(call.names, tensors, strict=True)))
        args, kwargs = given.arguments
        return forward(*args, **kwargs)

    had_own = "forward" in vars(call.module)
    call.module.forward = flat
    try:
        yield
    finally:
        if had_own:
            call.module.forward = forward
        else:
            del call.module.forward
