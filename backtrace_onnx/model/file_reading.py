"""Reading a model's bytes: from a path, bytes or a ModelProto to a proto that may say anything."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from backtrace_onnx.errors import ModelError

ModelLike = str | os.PathLike[str] | bytes | bytearray | memoryview | onnx.ModelProto
_PROTO_LIMIT = 1 << 31


def read_proto(model: ModelLike) -> tuple[onnx.ModelProto, str, str | None]:
    """The proto of a model as it is written, how messages call it, and its folder if it has one.

    A ModelProto that is given stays as it is: a copy is returned. Raises ModelError where there is
    no model to be read, and says what there seems to be.
    """
    if isinstance(model, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return copy, model.graph.name or "model", None
    if isinstance(model, bytes | bytearray | memoryview):
        return _parse(bytes(model), "model bytes"), "model bytes", None
    if not isinstance(model, str | os.PathLike):
        raise ModelError(f"a model is a path, bytes or a ModelProto, not {type(model).__name__}")
    path = Path(model)
    return _parse(_contents(path), str(path)), str(path), str(path.parent.resolve())


def _contents(path: Path) -> bytes:
    """The file's bytes. Raises ModelError where it is no file that can hold a model."""
    try:
        if path.is_dir():
            raise ModelError(f"{path}: is a folder, not an .onnx file")
        if path.exists() and not path.is_file():
            raise ModelError(f"{path}: is no regular file")
        if path.stat().st_size >= _PROTO_LIMIT:
            raise ModelError(
                f"{path}: has over 2 GB, which an ONNX file cannot; save its weights as external "
                "data, or check that it is a model"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # a null character in the name
        raise ModelError(f"{str(path)!r}: cannot be read ({error})") from None


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    if not data:
        raise ModelError(f"{name}: the file is empty")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise ModelError(f"{name}: not an ONNX model{_looks_like(data)}") from None
    return proto


def _looks_like(data: bytes) -> str:
    """What a file that does not parse seems to be."""
    start = data[:512].lstrip().lower()
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            return f": it looks like {kind}"
    return ", or a damaged or truncated one"


_SIGNATURES = {
    b"pk\x03\x04": "a zip archive (a PyTorch checkpoint, perhaps: export it to ONNX)",
    b"\x89hdf": "an HDF5 file (Keras weights, perhaps: export them to ONNX)",
    b"<!doctype": "a web page (a download that failed?)",
    b"<html": "a web page (a download that failed?)",
    b"version https://git-lfs": "a Git LFS pointer; fetch the file with git lfs pull",
    b"\x80\x02": "a Python pickle (a PyTorch checkpoint, perhaps: export it to ONNX)",
    b"\x1f\x8b": "a gzip file; unpack it first",
    b"gguf": "a GGUF file",
}
