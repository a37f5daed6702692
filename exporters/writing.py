"""Files that appear whole and verified, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import TensorProto

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.comparing import ExpectedAnswers
from backtrace_onnx.exporters.exported import Check, Exported
from backtrace_onnx.exporters.repairing import repair
from backtrace_onnx.exporters.trials import open_axes, trials
from backtrace_onnx.graph.graph import TensorType
from backtrace_onnx.graph.input_checking import spell
from backtrace_onnx.model.sessions import first_line

EMBEDDED_BYTES = 2_000_000_000
"""Weights larger than this together lie in a file beside the model: a protobuf ends at 2 GB."""


@contextmanager
def staging(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path in a temporary folder; what lies beside it is moved to `path`'s folder at the end.

    Nothing is left behind where the body raises. Raises ExportError if `path` cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise ExportError(f"{target}: is a folder; give the name of a file, such as model.onnx")
    if not target.parent.is_dir():
        raise ExportError(f"{target}: cannot be written (there is no folder {target.parent})")
    try:
        made = TemporaryDirectory(prefix=".export-", dir=target.parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise ExportError(f"{target}: cannot be written ({error.strerror})") from None
    with made as folder:
        staged = Path(folder) / target.name
        yield staged
        for file in sorted(Path(folder).iterdir(), key=lambda f: f.name == target.name):
            file.replace(target.parent / file.name)


def publish(
    proto: onnx.ModelProto,
    path: Path,
    staged: Path,
    exporter: str,
    reference: ExpectedAnswers | None,
) -> Exported:
    """Repair, check, write and verify a model in the staging folder; what to hand back.

    `path` is where it will lie. Raises ExportError.
    """
    repair(proto)
    write(proto, staged)
    _check_valid(staged)
    checks: tuple[Check, ...] = ()
    if reference is not None:
        axes = open_axes(proto) if reference.axes is None else reference.axes
        made = (reference.trials or trials)(reference.example, axes)
        checks = reference.compare(staged, made)
    return Exported(
        path,
        tuple(path.parent / file.name for file in sorted(staged.parent.iterdir())),
        {v.name: _spell(v) for v in proto.graph.input},
        {v.name: _spell(v) for v in proto.graph.output},
        next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")),
        exporter,
        checks,
    )


def write(proto: onnx.ModelProto, path: Path) -> None:
    """Write a model; weights over 2 GB together go to `<name>.data` beside it."""
    embedded = sum(len(t.raw_data) for t in proto.graph.initializer)
    if embedded <= EMBEDDED_BYTES:
        path.write_bytes(proto.SerializeToString())
        return
    onnx.save_model(
        proto, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024
    )


def lies_beside(proto: onnx.ModelProto) -> bool:
    """Whether some of the model's weights lie in another file."""
    return any(t.data_location == TensorProto.EXTERNAL for t in proto.graph.initializer)


def _check_valid(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path))
    except Exception as error:  # the checker's own errors, and protobuf's
        raise ExportError(
            f"the exporter wrote a model that is not valid ONNX: {first_line(error)}. Nothing was "
            "written; try another opset or exporter"
        ) from None


def _spell(value: onnx.ValueInfoProto) -> str:
    if value.type.WhichOneof("value") != "tensor_type":
        return value.type.WhichOneof("value") or "any"
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return spell(TensorType(tensor.elem_type))
    dims = (
        d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim
    )
    return spell(TensorType(tensor.elem_type, tuple(dims)))


__all__ = ["EMBEDDED_BYTES", "ExpectedAnswers", "lies_beside", "publish", "staging", "write"]
