"""Reading a model's initializers: inline, sparse, or memory-mapped from files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx.errors import ModelError

Weights = dict[str, npt.NDArray[Any]]
_PACKED = frozenset(
    getattr(TensorProto, kind)
    for kind in ("INT4", "UINT4", "FLOAT4E2M1", "INT2", "UINT2", "FLOAT6E2M3", "FLOAT6E3M2")
    if hasattr(TensorProto, kind)
)
_SPARSE_LIMIT = 1 << 30


class _Source(NamedTuple):
    """Where a tensor's bytes lie."""

    file: Path
    offset: int
    length: int


def read_weights(proto: onnx.ModelProto, model: str, folder: str | None) -> Weights:
    """Every initializer of the main graph, by name. Raises ModelError naming a damaged one."""
    weights: Weights = {}
    for tensor in proto.graph.initializer:
        _claim(tensor.name, tensor.dims, weights, model)
        weights[tensor.name] = _dense(tensor, model, folder)
    for sparse in proto.graph.sparse_initializer:
        _claim(sparse.values.name, sparse.dims, weights, model)
        weights[sparse.values.name] = _sparse(sparse, model, folder)
    return weights


def _claim(name: str, dims: Sequence[int], weights: Weights, model: str) -> None:
    if name in weights:
        raise ModelError(f"{model}: there are two initializers named {name!r}")
    if any(n < 0 for n in dims):
        raise ModelError(f"{model}: initializer {name!r} has a negative size {_dims(dims)}")


def external_file(tensor: TensorProto, model: str, folder: str | None) -> _Source:
    """(file, offset, length) of external data. Refuses files outside the model's folder."""
    info = {entry.key: entry.value for entry in tensor.external_data}
    location = info.get("location", "")
    if folder is None:
        raise ModelError(
            f"{model}: the weights of {tensor.name!r} lie in the file {location!r} beside the "
            "model; give the model's path instead of its bytes"
        )
    file, root = Path(folder, location), Path(folder).resolve()
    if "\0" in location or not location or not _lies_in(file, root, location):
        raise ModelError(
            f"{model}: the external data {location!r} of {tensor.name!r} lie outside the model's "
            "folder; refused. If you trust the file, put its data beside it"
        )
    if not _is_file(file):
        raise ModelError(
            f"{model}: the file {location[:200]!r} with the weights of {tensor.name!r} is missing; "
            "put it beside the model"
        )
    return _span(tensor, info, file, model)


def _lies_in(file: Path, root: Path, location: str) -> bool:
    try:
        return not Path(location).is_absolute() and root in file.resolve().parents
    except (OSError, RuntimeError):  # a loop of links, a name too long
        return False


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name too long
        return False


def _span(tensor: TensorProto, info: dict[str, str], file: Path, model: str) -> _Source:
    try:
        offset = int(info.get("offset") or 0)
        available = file.stat().st_size - offset
        length = int(info.get("length") or available)
    except ValueError:
        raise ModelError(
            f"{model}: the external data of {tensor.name!r} have a bad offset or length"
        ) from None
    if offset < 0 or length < 0 or length > available:
        raise ModelError(
            f"{model}: {file.name!r} ends before the data of {tensor.name!r} "
            f"(offset {offset}, length {length}); it is truncated or belongs to another model"
        )
    return _Source(file, offset, length)


def _dense(tensor: TensorProto, model: str, folder: str | None) -> npt.NDArray[Any]:
    if tensor.data_location == TensorProto.EXTERNAL:
        return _mapped(tensor, external_file(tensor, model, folder), model)
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _damaged(tensor.name, model, error) from None


def _mapped(tensor: TensorProto, source: _Source, model: str) -> npt.NDArray[Any]:
    """External data as a read-only memory map; packed types are unpacked."""
    if tensor.data_type in _PACKED:
        return _unpacked(tensor, source, model)
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except KeyError as error:
        raise _damaged(tensor.name, model, error) from None
    shape = tuple(tensor.dims)
    needed = dtype.itemsize * prod(shape)
    if needed > source.length:
        raise ModelError(
            f"{model}: initializer {tensor.name!r} ({_dims(shape)}) needs {needed} bytes, "
            f"but {source.file.name!r} gives it {source.length}"
        )
    if not needed:
        return np.zeros(shape, dtype)
    return np.memmap(source.file, dtype, "r", source.offset, shape or (1,)).reshape(shape)


def _unpacked(tensor: TensorProto, source: _Source, model: str) -> npt.NDArray[Any]:
    raw = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    data = np.fromfile(source.file, np.uint8, source.length, offset=source.offset)
    raw.raw_data = data.tobytes()
    return _dense(raw, model, None)


def _sparse(tensor: onnx.SparseTensorProto, model: str, folder: str | None) -> npt.NDArray[Any]:
    name, shape = tensor.values.name, tuple(tensor.dims)
    values, indices = (_dense(t, model, folder) for t in (tensor.values, tensor.indices))
    if prod(shape) * values.dtype.itemsize > _SPARSE_LIMIT:
        raise ModelError(
            f"{model}: the sparse initializer {name!r} would take "
            f"{prod(shape) * values.dtype.itemsize:,} bytes as a dense one; at most "
            f"{_SPARSE_LIMIT:,} are allowed"
        )
    array = np.zeros(shape, values.dtype)
    try:
        flat = np.ravel_multi_index(tuple(indices.T), shape) if indices.ndim == 2 else indices
        np.put(array, flat, values, mode="raise")
    except (ValueError, IndexError, TypeError) as error:
        raise _damaged(name, model, error) from None
    if flat.shape != values.shape or bool((flat < 0).any()):
        raise _damaged(name, model, "its indices and values do not fit")
    return array


def _damaged(name: str, model: str, why: object) -> ModelError:
    return ModelError(f"{model}: initializer {name!r} is damaged ({why})")


def _dims(dims: Sequence[int]) -> str:
    return "x".join(map(str, dims)) or "1"
