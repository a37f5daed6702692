"""Saving compiled explanations: whole or not at all, large weights beside the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx.compiler import Options, build
from backtrace_onnx.errors import RequestError
from backtrace_onnx.model import Model

_EMBED_BYTES = 1_800_000_000


def write(
    loaded: Model, path: str | os.PathLike[str], options: Options, tensors: Sequence[str] | None
) -> None:
    """Compile and save. Weights over 1.8 GB go to `<path>.data`. Nothing is left half-written.

    Raises CompileError naming the node that cannot be written as ONNX nodes.
    """
    made = build(loaded, options, tensors)
    embedded = onnx.ModelProto()
    embedded.CopyFrom(made.proto)
    del embedded.graph.initializer[:]
    path = Path(path)
    aside = sum(w.nbytes for w in made.weights.values()) > _EMBED_BYTES
    if aside:
        _write_aside(embedded, made.weights, path)
        return
    embedded.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(w, order="C"), name) for name, w in made.weights.items()
    )
    onnx.checker.check_model(embedded)
    _replace(path, lambda part: part.write_bytes(embedded.SerializeToString()))


def _replace(path: Path, put: Callable[[Path], object]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        put(part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RequestError(f"{path}: cannot be written ({error.strerror})") from None


def _write_aside(proto: onnx.ModelProto, weights: dict[str, npt.NDArray[Any]], path: Path) -> None:
    """Weights to `<path>.data`, streamed; then the model that points there."""
    data = path.name + ".data"

    def put(part: Path) -> None:
        with part.open("wb") as file:
            for name, array in weights.items():
                tensor = proto.graph.initializer.add(
                    name=name,
                    data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
                    dims=array.shape,
                    data_location=TensorProto.EXTERNAL,
                )
                entries = {"location": data, "offset": file.tell(), "length": array.nbytes}
                for key, value in entries.items():
                    tensor.external_data.add(key=key, value=str(value))
                np.asarray(array, order="C").tofile(file)

    _replace(path.with_name(data), put)
    _replace(path, lambda part: part.write_bytes(proto.SerializeToString()))
    onnx.checker.check_model(str(path))
