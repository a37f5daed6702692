"""Which native activation a region is, found by running it on a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from backtrace_onnx.graph import Graph, Node
from backtrace_onnx.regions.draft import body, kinds
from backtrace_onnx.sessions import MAX_IR, initializer, make_session

Array = npt.NDArray[Any]

_SATURATING = frozenset({"Exp", "Sigmoid", "Softmax", "Softplus", "Tanh"})
_SHAPED = frozenset({"Expand", "Reshape"})
_SHORT = 8
_REACH = 9.0
_LARGEST = 1 << 16
_SIZES = (2, 3, 5, 4, 2, 3, 2)


def function_of(region: Node, graph: Graph) -> str:
    """ "Sigmoid", "Tanh", "Softmax" or "HardSigmoid" if the region is that function, else ""."""
    if not may_saturate(kinds(region)) and len(body([region])) > _SHORT:
        return ""
    shape = _probe_shape(region, graph)
    kind = graph.type(region.inputs[0]).dtype or TensorProto.FLOAT
    if shape is None:
        return ""
    size = int(np.prod(shape))
    ramp = np.random.default_rng(0).permutation(np.linspace(-_REACH, _REACH, size))
    x = ramp.reshape(shape).astype(helper.tensor_dtype_to_np_dtype(kind))
    y = _run(region, graph, kind, x)
    return "" if y is None else _named(x.astype(np.float64), y.astype(np.float64), kind)


def may_saturate(operators: Set[str]) -> bool:
    """Whether these can make an activation that has a saturation gate."""
    return bool(_SATURATING & operators)


def _named(x: Array, y: Array, kind: int) -> str:
    limit = 1e-2 if kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16) else 1e-5

    def same(wanted: Array) -> bool:
        return y.shape == wanted.shape and bool(np.abs(y - wanted).max() <= limit)

    if same(1 / (1 + np.exp(-x))):
        return "Sigmoid"
    if same(np.tanh(x)):
        return "Tanh"
    powers = np.exp(x)
    if any(same(powers / powers.sum(axis, keepdims=True)) for axis in range(x.ndim)):
        return "Softmax"
    inside = (y > 0.01) & (y < 0.99)
    if x.shape != y.shape or inside.sum() < 2:
        return ""
    slope, shift = np.polyfit(x[inside], y[inside], 1)
    return "HardSigmoid" if slope > 0 and same(np.clip(slope * x + shift, 0, 1)) else ""


def _probe_shape(region: Node, graph: Graph) -> tuple[int, ...] | None:
    """A small shape the region accepts; None where all that are known are large."""
    dims = graph.type(region.inputs[0]).shape
    if dims is None:
        return _SIZES[:2]
    constants = _constants(region, graph)
    is_free = all(value.size < 2 for value in constants.values())
    if is_free and not kinds(region) & _SHAPED and len(dims) <= len(_SIZES):
        return _SIZES[: len(dims)] if len(dims) > 1 else _SIZES[2:][: len(dims)]
    sizes = tuple(n if isinstance(n, int) else _SIZES[a % 4] for a, n in enumerate(dims))
    return sizes if np.prod(sizes) <= _LARGEST else None


def _constants(region: Node, graph: Graph) -> dict[str, Array]:
    read = (name for node in body([region]) for name in node.inputs)
    return {name: graph.constants[name] for name in read if name in graph.constants}


def _run(region: Node, graph: Graph, kind: int, x: Array) -> Array | None:
    """The region's output; None where it cannot run by itself."""
    constants = _constants(region, graph)
    sizes = dict(zip(graph.type(region.inputs[0]).shape or (), x.shape, strict=False))
    nodes = [_with_shape(node, graph, sizes, constants) for node in body([region])]
    stored = [initializer(name, value) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info(region.inputs[0], kind, x.shape)]
    outputs = [helper.make_empty_tensor_value_info(region.outputs[0])]
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    made = helper.make_graph(nodes, "region", inputs, outputs, stored)
    proto = helper.make_model(made, opset_imports=opsets, ir_version=MAX_IR)
    try:
        (y,) = make_session(proto, optimise=False, threads=1).run(None, {region.inputs[0]: x})
    except Exception:  # it reads shapes made outside, or a type this machine does not compute
        return None
    return np.asarray(y)


def _with_shape(
    node: Node, graph: Graph, sizes: Mapping[Any, int], constants: dict[str, Array]
) -> onnx.NodeProto:
    """A node of the body; a shape computed outside is a constant of what it is for the probe."""
    inputs, shape = list(node.inputs), graph.type(node.outputs[0]).shape
    if node.op_type in _SHAPED and inputs[1] not in constants and shape is not None:
        inputs[1] = f"{node.name}@shape"
        given = [n if isinstance(n, int) else sizes.get(n, -1) for n in shape]
        constants[inputs[1]] = np.array(given, np.int64)
    return helper.make_node(
        node.op_type, inputs, node.outputs, node.name, None, node.domain, **node.attributes
    )


__all__ = ["function_of", "may_saturate"]
