"""Which native activation a region is, found by running it on a few numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import POINTWISE
from backtrace_onnx.graph.regions import body, kinds
from backtrace_onnx.model.sessions import MAX_IR, initializer, make_session
from backtrace_onnx.passes.regions.axis_tracking import ALLOWED
from backtrace_onnx.passes.regions.multiples import ALONG, FUNCTIONS, fitted
from backtrace_onnx.passes.regions.spelling import spelling

Array = npt.NDArray[Any]

_SATURATING = frozenset(
    {"Exp", "LogSoftmax", "Pow", "ReduceLogSumExp", "Sigmoid", "Softmax", "Softplus", "Tanh"}
)
_FREE = ALLOWED - {"Expand", "GlobalAveragePool", "ReduceMean", "Reshape"}
"""Operators that take any sizes, and are the same function whatever these are."""
NATIVES = frozenset({*FUNCTIONS, *ALONG, "HardSigmoid"})
"""The native operators, and functions that have a name, that are looked for."""
_SHORT = 8
_REMEMBERED = 1000
_SQUASHING = frozenset({"LogSoftmax", "Sigmoid", "Softmax"})
_LEAST, _REACH, _STEEP = 0.05, 9.0, 4.0
_LARGEST = 1 << 16
_SIZES = (2, 3, 5, 4, 2, 3, 2)


@dataclass(frozen=True)
class Native:
    """The native function that a region is, of scale * x + shift.

    Attributes:
        name: of the operator, in ONNX's words.
        axis: along which it goes; None where it is a function of one number.
    """

    name: str
    scale: float = 1.0
    shift: float = 0.0
    axis: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is a function of x itself."""
        return self.scale == 1 and self.shift == 0


def function_of(region: Node, graph: Graph) -> str:
    """Name of the function of its input that the region is: "Sigmoid", "Tanh", "Softmax",
    "LogSoftmax" or "HardSigmoid"; "" if it is none of them."""
    native = native_of(region, graph)
    return native.name if native is not None and native.is_plain else ""


def native_of(region: Node, graph: Graph) -> Native | None:
    """Which of these functions the region is, of a multiple of its input perhaps."""
    known: Native | None = region.attributes.get("native")
    if known is not None:
        return known
    if not may_saturate(kinds(region)) and len(body([region])) > _SHORT:
        return None
    written = spelling(region, graph)
    if written not in _FOUND:
        if len(_FOUND) >= _REMEMBERED:
            _FOUND.clear()
        _FOUND[written] = _tried(region, graph)
    return _FOUND[written]


_FOUND: dict[Hashable, Native | None] = {}
"""What regions written the same way were found to be; networks repeat theirs."""


def _tried(region: Node, graph: Graph) -> Native | None:
    shape = _probe_shape(region, graph)
    kind = graph.type(region.inputs[0]).dtype or TensorProto.FLOAT
    run = None if shape is None else _runner(region, graph, kind, shape)
    if shape is None or run is None:
        return None
    limit = 1e-2 if kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16) else 1e-5
    size = int(np.prod(shape))
    found = _named(*_pair(run, np.linspace(-_REACH, _REACH, size), shape), limit)
    if found is not None:
        return found
    if not may_saturate(kinds(region)) or size < 2 or _caps(region):
        return None
    halves = np.geomspace(_LEAST, _REACH, size - size // 2)
    points = np.concatenate([halves, -halves[: size // 2]])
    multiple = fitted(*_pair(run, points, shape), limit)
    if multiple is None:
        return None
    name, scale, shift, axis = multiple  # what saturates shows little: ask where it does not
    steep = (np.linspace(-_STEEP, _STEEP, size) - shift) / scale
    again = fitted(*_pair(run, steep, shape), limit)
    alike = again is not None and again[0] == name and bool(np.isclose(again[1], scale, rtol=1e-3))
    return Native(name, _short(scale), _short(shift), axis) if alike else None


def _short(number: float) -> float:
    """A number that was measured, as one of few digits where it likely is one."""
    short = float(f"{number:.4g}")
    return short if abs(short - number) <= 2e-5 * abs(number) else number


def _caps(region: Node) -> bool:
    """Whether a native function comes last, behind another one, as in softmax(9 tanh(x)): what is
    small in the last one's output does not tell of the other."""
    *before, last = (node.op_type for node in body([region]))
    return last in _SQUASHING and bool(POINTWISE.intersection(before))


def may_saturate(operators: Set[str]) -> bool:
    """Whether these can make an activation that has a saturation gate."""
    return bool(_SATURATING & operators)


def _pair(
    run: Callable[[Array], Array | None], points: Array, shape: tuple[int, ...]
) -> tuple[Array, Array]:
    """x with these entries, and what a region makes of it; not a number where it cannot run."""
    x = np.random.default_rng(0).permutation(points).reshape(shape)
    y = run(x)
    return x, np.full(shape, np.nan) if y is None else y.astype(np.float64)


def _named(x: Array, y: Array, limit: float) -> Native | None:
    def same(wanted: Array) -> bool:
        far = limit * max(1.0, np.abs(wanted).max())
        return y.shape == wanted.shape and bool(np.abs(y - wanted).max() <= far)

    for name, function in FUNCTIONS.items():
        if same(function(x)):
            return Native(name)
    for name, along in ALONG.items():
        for axis in range(x.ndim):
            if same(along(x, axis)):
                return Native(name, axis=axis)
    inside = (y > 0.01) & (y < 0.99)
    if x.shape != y.shape or inside.sum() < 2:
        return None
    slope, shift = np.polyfit(x[inside], y[inside], 1)
    is_hard = slope > 0 and same(np.clip(slope * x + shift, 0, 1))
    return Native("HardSigmoid") if is_hard else None


def _probe_shape(region: Node, graph: Graph) -> tuple[int, ...] | None:
    """A small shape the region accepts; None where all that are known are large."""
    dims = graph.type(region.inputs[0]).shape
    if dims is None:
        return _SIZES[:2]
    constants = _constants(region, graph)
    is_free = all(value.size < 2 for value in constants.values())
    if is_free and kinds(region) <= _FREE and len(dims) <= len(_SIZES):
        return _SIZES[: len(dims)] if len(dims) > 1 else _SIZES[2:][: len(dims)]
    sizes = tuple(n if isinstance(n, int) else _SIZES[a % 4] for a, n in enumerate(dims))
    return sizes if np.prod(sizes) <= _LARGEST else None


def _constants(region: Node, graph: Graph) -> dict[str, Array]:
    read = (name for node in body([region]) for name in node.inputs)
    return {name: graph.constants[name] for name in read if name in graph.constants}


def _runner(
    region: Node, graph: Graph, kind: int, shape: tuple[int, ...]
) -> Callable[[Array], Array | None] | None:
    """Runs the region on inputs of a shape; None where it cannot be loaded by itself."""
    constants = _constants(region, graph)
    sizes = dict(zip(graph.type(region.inputs[0]).shape or (), shape, strict=False))
    nodes = [_with_shape(node, graph, sizes, constants) for node in body([region])]
    stored = [initializer(name, value) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info(region.inputs[0], kind, shape)]
    outputs = [helper.make_empty_tensor_value_info(region.outputs[0])]
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    made = helper.make_graph(nodes, "region", inputs, outputs, stored)
    proto = helper.make_model(made, opset_imports=opsets, ir_version=MAX_IR)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    try:
        session = make_session(proto, optimise=False, threads=1)
    except Exception:  # it reads shapes made outside, or a type this machine does not compute
        return None

    def run(x: Array) -> Array | None:
        try:
            (y,) = session.run(None, {region.inputs[0]: x.astype(dtype)})
        except Exception:
            return None
        return np.asarray(y)

    return run


def _with_shape(
    node: Node, graph: Graph, sizes: Mapping[Any, int], constants: dict[str, Array]
) -> onnx.NodeProto:
    """A node of the body; a shape computed outside is a constant of what it is for the probe."""
    inputs, shape = list(node.inputs), graph.type(node.outputs[0]).shape
    if node.op_type in ("Expand", "Reshape") and inputs[1] not in constants and shape is not None:
        inputs[1] = f"{node.name}@shape"
        given = [n if isinstance(n, int) else sizes.get(n, -1) for n in shape]
        constants[inputs[1]] = np.array(given, np.int64)
    return helper.make_node(
        node.op_type, inputs, node.outputs, node.name, None, node.domain, **node.attributes
    )


__all__ = ["NATIVES", "Native", "function_of", "may_saturate", "native_of"]
