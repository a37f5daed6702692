"""Loading a model: from path, bytes or ModelProto to a checked proto beside its weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx.errors import ModelError
from backtrace_onnx.sessions import initializer, stays_inline

Weights = dict[str, npt.NDArray[Any]]
ModelLike = str | os.PathLike[str] | bytes | onnx.ModelProto


@dataclass
class Model:
    """A model whose large weights lie beside the proto, memory-mapped where the file has them so.

    Attributes:
        proto: structure; weights over a kilobyte are placeholders.
        weights: array of every initializer of the main graph, by name.
        name: how messages call it.
        folder: where external data of subgraphs lies.
    """

    proto: onnx.ModelProto
    weights: Weights
    name: str
    folder: str | None = None
    aside: Weights = field(default_factory=dict)

    @property
    def opsets(self) -> dict[str, int]:
        """Version of every imported domain; ai.onnx is ""."""
        return {_domain(o.domain): o.version for o in self.proto.opset_import}


def load(model: ModelLike) -> Model:
    """Read and check a model. Raises ModelError naming the file and what is wrong with it."""
    if isinstance(model, Model):
        return model
    proto, name, folder = _read(model)
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"{name}: not an ONNX model, or one without a graph")
    if not proto.opset_import and not proto.functions:
        raise ModelError(f"{name}: the model imports no operator set (opset_import is empty)")
    for tensor in _subgraph_tensors(proto):
        if tensor.data_location == TensorProto.EXTERNAL:
            _external_file(tensor, name, folder)
    weights = {t.name: _array(t, name, folder) for t in proto.graph.initializer}
    weights.update(_sparse(proto))
    strip(proto, weights)
    _name_nodes(proto.graph)
    sort_nodes(proto.graph, name)
    aside = {k: w for k, w in weights.items() if not stays_inline(w)}
    return Model(proto, weights, name, folder, aside)


def strip(proto: onnx.ModelProto, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Replace the initializers by small ones and placeholders."""
    del proto.graph.initializer[:]
    del proto.graph.sparse_initializer[:]
    proto.graph.initializer.extend(initializer(name, w) for name, w in weights.items())


def _read(model: ModelLike) -> tuple[onnx.ModelProto, str, str | None]:
    if isinstance(model, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return copy, model.graph.name or "model", None
    if isinstance(model, bytes | bytearray | memoryview):
        return _parse(bytes(model), "model bytes"), "model bytes", None
    if not isinstance(model, str | os.PathLike):
        raise ModelError(f"a model is a path, bytes or a ModelProto, not {type(model).__name__}")
    path = Path(model)
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise ModelError(f"{path}: is a folder, not an .onnx file") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    return _parse(data, str(path)), str(path), str(path.parent.resolve())


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    if not data:
        raise ModelError(f"{name}: the file is empty")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise ModelError(f"{name}: not an ONNX model, or a damaged or truncated one") from None
    return proto


def _array(tensor: TensorProto, name: str, folder: str | None) -> npt.NDArray[Any]:
    if tensor.data_location != TensorProto.EXTERNAL:
        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{name}: initializer {tensor.name!r} is damaged ({error})") from None
    file, offset, length = _external_file(tensor, name, folder)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    count = int(np.prod(tensor.dims, dtype=np.int64))
    if np.dtype(dtype).itemsize * count > length or tensor.data_type in _PACKED:
        if tensor.data_type in _PACKED:
            raw = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            raw.raw_data = np.fromfile(file, np.uint8, length, offset=offset).tobytes()
            return numpy_helper.to_array(raw)
        raise ModelError(
            f"{name}: initializer {tensor.name!r} needs {np.dtype(dtype).itemsize * count} bytes of "
            f"{file.name}, which holds {length} at its offset; the file is truncated"
        )
    if not count:
        return np.zeros(tuple(tensor.dims), dtype)
    return np.memmap(file, dtype, "r", offset, tuple(tensor.dims) or (1,)).reshape(
        tuple(tensor.dims)
    )


_PACKED = frozenset(
    getattr(TensorProto, kind)
    for kind in ("INT4", "UINT4", "FLOAT4E2M1", "INT2", "UINT2")
    if hasattr(TensorProto, kind)
)


def _external_file(tensor: TensorProto, name: str, folder: str | None) -> tuple[Path, int, int]:
    """(file, offset, length) of external data. Refuses files outside the model's folder."""
    info = {entry.key: entry.value for entry in tensor.external_data}
    location = info.get("location", "")
    if folder is None:
        raise ModelError(
            f"{name}: weights of {tensor.name!r} lie in the file {location!r} beside the model; "
            "give the model's path instead of its bytes"
        )
    file = Path(folder, location)
    root = Path(folder).resolve()
    if not location or Path(location).is_absolute() or root not in file.resolve().parents:
        raise ModelError(
            f"{name}: external data {location!r} of {tensor.name!r} lies outside the model's folder; "
            "refused"
        )
    if not file.is_file():
        raise ModelError(
            f"{name}: the file {location!r} with the weights of {tensor.name!r} is missing"
        )
    try:
        offset = int(info.get("offset", 0))
        available = file.stat().st_size - offset
        length = int(info.get("length", available))
    except ValueError:
        raise ModelError(
            f"{name}: external data of {tensor.name!r} has a bad offset or length"
        ) from None
    if offset < 0 or length < 0 or length > available:
        raise ModelError(
            f"{name}: {location!r} ends before the data of {tensor.name!r} (offset {offset}, length {length})"
        )
    return file, offset, length


def _sparse(proto: onnx.ModelProto) -> Weights:
    dense: Weights = {}
    for sparse in proto.graph.sparse_initializer:
        values, indices = (
            numpy_helper.to_array(sparse.values),
            numpy_helper.to_array(sparse.indices),
        )
        array = np.zeros(tuple(sparse.dims), values.dtype)
        at = tuple(indices.T) if indices.ndim == 2 else np.unravel_index(indices, array.shape)
        array[at] = values
        dense[sparse.values.name] = array
    return dense


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Bodies of a control-flow node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def captured(node: onnx.NodeProto) -> set[str]:
    """Names a node's bodies read from the graph around it."""
    names: set[str] = set()
    for graph in subgraphs(node):
        inner = {x.name for x in (*graph.input, *graph.initializer)}
        for child in graph.node:
            names |= {i for i in (*child.input, *captured(child)) if i and i not in inner}
            inner |= set(child.output)
        names |= {o.name for o in graph.output if o.name not in inner}
    return names


def _subgraph_tensors(proto: onnx.ModelProto) -> Iterator[TensorProto]:
    graphs = [g for node in proto.graph.node for g in subgraphs(node)]
    while graphs:
        graph = graphs.pop()
        yield from graph.initializer
        graphs += [g for node in graph.node for g in subgraphs(node)]


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a unique name, from its first output where the file has none."""
    taken: set[str] = set()
    for node in graph.node:
        base = node.name or next((o for o in node.output if o), node.op_type)
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        node.name = name


def sort_nodes(graph: onnx.GraphProto, name: str) -> None:
    """Sort nodes topologically in place. Raises ModelError at a cycle or an unknown tensor."""
    ready = {x.name for x in (*graph.input, *graph.initializer)} | {""}
    made = {out for node in graph.node for out in node.output}
    waiting, ordered = list(graph.node), []
    needs = {id(node): (set(node.input) | captured(node)) for node in waiting}
    while waiting:
        later = []
        for node in waiting:
            if needs[id(node)] <= ready:
                ordered.append(node)
                ready.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            _refuse_order(later, needs, ready, made, name)
        waiting = later
    if [id(n) for n in ordered] != [id(n) for n in graph.node]:
        copies = []
        for node in ordered:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copies.append(copy)
        del graph.node[:]
        graph.node.extend(copies)
    unknown = [o.name for o in graph.output if o.name not in ready]
    if unknown:
        raise ModelError(f"{name}: no node makes the output {unknown[0]!r}")


def _refuse_order(
    later: list[onnx.NodeProto],
    needs: dict[int, set[str]],
    ready: set[str],
    made: set[str],
    name: str,
) -> None:
    for node in later:
        unknown = sorted(needs[id(node)] - ready - made)
        if unknown:
            raise ModelError(
                f"{name}: node {node.name!r} reads {unknown[0]!r}, which nothing makes"
            )
    raise ModelError(
        f"{name}: the graph has a cycle through node(s) {', '.join(n.name for n in later[:5])}"
    )


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
