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

from backtrace_onnx.compiler.file_baselines import Baselines
from backtrace_onnx.compiler.target_input import TargetInput
from backtrace_onnx.compiler.writer import build
from backtrace_onnx.errors import CompileError, RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.sessions import stays_inline
from backtrace_onnx.passes.pipeline import ModelGraphs
from backtrace_onnx.targets.question import Question

Weights = dict[str, npt.NDArray[Any]]
_EMBED_BYTES = 1_800_000_000


def write(
    graphs: ModelGraphs,
    path: str | os.PathLike[str],
    question: Question,
    target: TargetInput,
    tensors: Sequence[str] | None,
    baselines: Baselines | None = None,
) -> None:
    """Compile and save. Weights over 1.8 GB go to `<path>.data`. Nothing is left half-written.

    Raises CompileError naming the node that cannot be written as ONNX nodes, and RequestError
    where the file cannot be put there.
    """
    path = Path(path)
    _check_place(path, graphs.model)
    made = build(graphs, question, tensors, target=target, baselines=baselines)
    embedded = onnx.ModelProto()
    embedded.CopyFrom(made.proto)
    del embedded.graph.initializer[:]
    _state_shapes(embedded, made.plan.graph)
    aside = sum(w.nbytes for w in made.weights.values()) > _EMBED_BYTES
    if aside:
        _write_aside(embedded, made.weights, path)
        return
    embedded.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(w, order="C"), name) for name, w in made.weights.items()
    )
    _check(embedded, path)
    _replace(path, lambda part: part.write_bytes(embedded.SerializeToString()))


def _check_place(path: Path, model: Model) -> None:
    """Say at once what would fail after minutes, or destroy the model itself."""
    if path.is_dir():
        raise RequestError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise RequestError(f"{path}: cannot be written (there is no folder {path.parent})")
    if model.folder is not None and path.exists() and path.samefile(model.name):
        raise RequestError(f"{path}: is the model itself; choose another name")


def _state_shapes(proto: onnx.ModelProto, graph: Graph) -> None:
    """Give outputs whose shape the file leaves out the inferred one: a valid model states it."""
    for value in proto.graph.output:
        if value.type.WhichOneof("value") not in (None, "tensor_type"):
            continue
        if value.type.tensor_type.HasField("shape"):
            continue
        kind = graph.type(value.name)
        if kind.shape is None:
            raise CompileError(
                f"the shape of output {value.name!r} is not known; run shape inference on the "
                "model first (onnx.shape_inference), or state it in the file"
            )
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind.dtype, kind.shape))


def _check(model: onnx.ModelProto | str, path: Path) -> None:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().split("\n")[0]
        raise CompileError(
            f"{path}: the compiled model would not be valid ONNX: {reason}"
        ) from None


def _replace(path: Path, put: Callable[[Path], object]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        put(part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RequestError(f"{path}: cannot be written ({error.strerror})") from None


def _write_aside(proto: onnx.ModelProto, weights: Weights, path: Path) -> None:
    """Weights to `<path>.data`, streamed; then the model that points there.

    Small ones stay in the model: onnxruntime reads shapes and axes from there only.
    """
    data = path.name + ".data"

    def put(part: Path) -> None:
        with part.open("wb") as file:
            for name, array in weights.items():
                if stays_inline(array):
                    proto.graph.initializer.append(numpy_helper.from_array(array, name))
                else:
                    proto.graph.initializer.append(_pointer(name, array, data, file.tell()))
                    np.asarray(array, order="C").tofile(file)

    _replace(path.with_name(data), put)
    _replace(path, lambda part: part.write_bytes(proto.SerializeToString()))
    _check(str(path), path)


def _pointer(name: str, array: npt.NDArray[Any], file: str, offset: int) -> TensorProto:
    """An initializer whose data lie in a file beside the model."""
    tensor = TensorProto(
        name=name,
        data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        dims=array.shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in {"location": file, "offset": offset, "length": array.nbytes}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor
