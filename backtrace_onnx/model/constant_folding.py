"""Values of all tensors that depend on no input, computed once by onnxruntime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ValueInfoProto, helper, shape_inference

from backtrace_onnx.errors import ModelError
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.sessions import (
    first_line,
    initializer,
    make_session,
    stays_inline,
)
from backtrace_onnx.model.topology import captured, subgraphs

Array = npt.NDArray[Any]
RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_BYTES = 2 << 30


def fold(model: Model) -> tuple[dict[str, Array], set[str]]:
    """(constants by name, names of the nodes they replace).

    Constants are the weights and what is computed from them, as far as other nodes or the model's
    outputs read it. Raises ModelError where they cannot be computed, or would take gigabytes.
    """
    constants: dict[str, Array] = dict(model.weights)
    computed = _computed(model)
    wanted = _frontier(model, computed)
    if not wanted:
        return constants, {node.name for node in computed}
    proto, aside = _program(model, _ancestors(computed, wanted), wanted)
    _check_size(proto, model)
    try:
        session = make_session(proto, aside, optimise=False, threads=0 if aside else 1)
        values = session.run(wanted, {})
    except Exception as error:  # onnxruntime raises many types
        raise ModelError(
            f"{model.name}: its constants cannot be computed ({first_line(error)})"
        ) from None
    found = {k: v for k, v in zip(wanted, values, strict=True) if isinstance(v, np.ndarray)}
    constants.update(found)
    lost = set(wanted) - found.keys()
    kept = {node.name for node in _ancestors(computed, lost)}
    return constants, {node.name for node in computed} - kept


def _computed(model: Model) -> list[onnx.NodeProto]:
    """Nodes whose every input is constant."""
    known = set(model.weights) | {""}
    computed: list[onnx.NodeProto] = []
    for node in model.proto.graph.node:
        if node.op_type in RANDOM or any(subgraphs(node)):
            continue
        if all(i in known for i in node.input):
            computed.append(node)
            known.update(node.output)
    return computed


def _frontier(model: Model, computed: Sequence[onnx.NodeProto]) -> list[str]:
    """Folded tensors that other nodes, or the model's outputs, read."""
    made = {out for node in computed for out in node.output if out}
    inside = {node.name for node in computed}
    read = {o.name for o in model.proto.graph.output}
    for node in model.proto.graph.node:
        if node.name not in inside:
            read.update((*node.input, *captured(node)))
    return sorted(made & read)


def _ancestors(nodes: Sequence[onnx.NodeProto], wanted: Iterable[str]) -> list[onnx.NodeProto]:
    needed, found = set(wanted), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            found.append(node)
    return found[::-1]


def _program(
    model: Model, nodes: Sequence[onnx.NodeProto], wanted: Sequence[str]
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The model that computes `wanted`, and the weights given to its session."""
    read = {name for node in nodes for name in node.input}
    used = {name: w for name, w in model.weights.items() if name in read}
    outputs = [ValueInfoProto(name=name) for name in wanted]
    stored = [initializer(name, w) for name, w in used.items()]
    graph = helper.make_graph(list(nodes), "constants", [], outputs, stored)
    proto = helper.make_model(
        graph,
        opset_imports=model.proto.opset_import,
        ir_version=model.proto.ir_version,
        functions=model.proto.functions,
    )
    return proto, {name: w for name, w in used.items() if not stays_inline(w)}


def _check_size(proto: onnx.ModelProto, model: Model) -> None:
    """Refuse constants far larger than the weights they are made of."""
    allowed = _BYTES + 2 * sum(w.nbytes for w in model.weights.values())
    needed = sum(_range_bytes(node, model.weights) for node in proto.graph.node)
    if needed <= allowed:
        needed = _inferred_bytes(proto)
    if needed > allowed:
        raise ModelError(
            f"{model.name}: its constants would take {needed / 2**30:,.0f} GB of memory "
            f"(at most {allowed / 2**30:,.0f} GB are allowed); look for a damaged or hostile "
            "ConstantOfShape, Expand, Tile or Range"
        )


def _inferred_bytes(proto: onnx.ModelProto) -> int:
    try:
        shaped = shape_inference.infer_shapes(proto, data_prop=True).graph
    except Exception:  # what cannot be inferred fails, or not, when it is computed
        return 0
    return sum(_bytes(v.type.tensor_type) for v in (*shaped.value_info, *shaped.output))


def _range_bytes(node: onnx.NodeProto, weights: Mapping[str, Array]) -> int:
    """Size of a Range, which shape inference would write out."""
    if node.op_type != "Range" or not all(name in weights for name in node.input):
        return 0
    start, stop, step = (float(weights[name].reshape(-1)[0]) for name in node.input)
    return int(abs((stop - start) / step)) * 8 if step else 0


def _bytes(kind: onnx.TypeProto.Tensor) -> int:
    if not kind.HasField("shape") or not kind.elem_type:
        return 0
    try:
        size = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).itemsize
    except KeyError:
        return 0
    return int(prod(max(d.dim_value, 0) for d in kind.shape.dim)) * size
