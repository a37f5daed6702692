"""Regions: several nodes that are one function of one tensor, walked through for their slopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy.typing as npt

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.operator_families import POOLING, REDUCING
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value
from backtrace_onnx.structures.arithmetic import Product
from backtrace_onnx.structures.base import (
    CURVED,
    Channels,
    Movement,
    Pieces,
    PlannedNode,
    Reads,
    Step,
    Structure,
)
from backtrace_onnx.structures.factors import factors_of
from backtrace_onnx.structures.functions import (
    Derivative,
    Ratio,
    secant,
    secant_between,
    times_derivative,
    times_ratio,
)
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.region_step import RegionStep
from backtrace_onnx.structures.sums import Terms

Kind = Literal["pointwise", "softmax", "normalisation", "linear", "other"]


@dataclass(frozen=True)
class Region(Structure):
    """One function of input 0, written in several nodes; relevance passes unchanged.

    Slopes are those of the nodes, by the chain rule; of a pointwise function as a whole where the
    method asks for secants, and none where it holds a softmax.

    Attributes:
        members: the nodes, in order; the last makes the output.
        structures: of those that depend on input 0, by name.
        constants: what they read of the model's constants.
        kind: what sort of function it is.
        multiple: (scale, shift) of what the members read that input 0 is: its multiple.
        level: whether all that the members make of input 0 is known to have the same shape.
        derivative, ratio: of a function of one number that is known as a whole (`Function`).
    """

    members: tuple[Node, ...]
    structures: Mapping[str, Structure]
    constants: Mapping[str, npt.NDArray[Any]]
    kind: Kind
    multiple: tuple[float, float] = (1.0, 0.0)
    level: bool = False
    derivative: Derivative | None = None
    ratio: Ratio | None = None

    @property
    def affine(self) -> bool:  # type: ignore[override]
        return self.kind == "linear"

    @property
    def fills(self) -> bool:  # type: ignore[override]
        """Whether what inputs are not worth is a constant's: that of a shift."""
        return self.kind == "linear"

    @property
    def has_slopes(self) -> bool:  # type: ignore[override]
        read = {name for node in self.members for name in node.inputs if name}
        known = {self._entry, *(name for node in self.members for name in node.outputs)}
        inside = read <= known | self.constants.keys()
        return inside and all(s.has_slopes for s in self.structures.values() if s.carries)

    def until(self, tensor: str) -> Region | None:
        """The region that ends in a tensor inside of it; None where there is none."""
        for at, node in enumerate(self.members):
            if tensor in node.outputs:
                members = self.members[: at + 1]
                kind: Kind = "linear" if all(map(self._is_affine, members)) else "other"
                return replace(self, members=members, kind=kind, derivative=None, ratio=None)
        return None

    def _is_affine(self, node: Node) -> bool:
        """Whether a member is an affine map of the one tensor that it reads."""
        structure = self.structures.get(node.name)
        read = [name for name in node.inputs if name and name not in self.constants]
        return structure is not None and structure.affine and len(read) == 1

    def propagate(self, step: Step) -> Pieces:
        return {0: step.r}

    def slopes(self, step: Step) -> Pieces:
        method, (m,) = step.method, step.r
        if self.kind == "softmax" and method.softmax == "held":
            return {}
        if self.kind == "pointwise" and method.functions != "derivative":
            return {0: [self._secant(step, m)]}
        if self.kind == "pointwise" and self.derivative is not None:
            own, key = times_derivative(self.derivative), f"{step.node.name}/derivative"
            return {0: [step.ops.pointwise(key, own, step.condition(0), m)]}
        inner = method
        if self.kind in ("pointwise", "softmax") or method.compares:
            inner = replace(
                method, functions="derivative", products="whole", statistics="derivative"
            )
        key = f"{step.node.name}/chain/{inner.functions}/{inner.products}/{inner.statistics}"

        def text(e: Ops, x: Value, m: Value) -> Value:
            return self._chain(e, inner, x, m)

        compute = step.ops.pointwise if self.kind == "pointwise" else step.ops.apply
        return {0: [compute(key, text, step.condition(0), m)]}

    def slope_reads(self, node: PlannedNode) -> Reads:
        if self.kind == "softmax" and node.method.softmax == "held":
            return Reads()
        if self.kind != "pointwise" or node.method.functions == "derivative":
            return Reads((0,))
        if self._factors and not node.method.compares:
            return Reads((0,))
        return Reads((0,), (0,), (), *(((0,), (0,)) if node.method.compares else ()))

    def bends(self, step: PlannedNode) -> int:
        return CURVED if self.kind in ("softmax", "normalisation", "other") else 0

    def leaves(self, step: PlannedNode) -> bool:
        return self.kind != "linear"

    def _secant(self, step: Step, m: Value) -> Value:
        if self._factors and not step.method.compares:
            return self._times_ratio(step, m)
        whole = replace(
            step.method, functions="derivative", products="whole", statistics="derivative"
        )

        def derivative(e: Ops, x: Value, y: Value) -> Value:
            return self._chain(e, whole, x, e.Expand(e.scalar(1), e.Shape(x)))

        def forward(e: Ops, x: Value) -> Value:
            return self._run(e, x)[self.members[-1].outputs[0]]

        key, (x, y) = f"{step.node.name}/secant", (step.condition(0), step.result())
        if step.method.compares:
            given = (x, y, step.before(0), step.result_before(), m)
            return step.ops.apply(f"{key}/between", secant_between(forward, derivative), *given)
        text = secant(forward, derivative)
        slope, at_zero = step.ops.apply(key, text, x, y, m)
        step.book("constants", 0, step.ops.total(at_zero, step.sample_axis()))
        return slope

    def _times_ratio(self, step: Step, m: Value) -> Value:
        key, x, text = f"{step.node.name}/ratio", step.condition(0), times_ratio(self._ratio)
        if self.ratio is None:
            return step.ops.pointwise(key, text, x, m)
        return step.ops.times_ratio(key, times_ratio(self.ratio), x, m, step.result)

    @cached_property
    def _factors(self) -> tuple[str, ...]:
        """Tensors that the region is input 0 times; () where it is no such product."""
        is_shifted = self.multiple[1] != 0
        return () if is_shifted else factors_of(self._entry, self.members, self.constants)

    def _ratio(self, e: Ops, x: Value) -> Value:
        """The region over input 0."""
        values = self._run(e, x)
        made = values[self._factors[0]]
        for name in self._factors[1:]:
            made = e.Mul(made, values[name])
        return e.Div(made, e.scalar(self.multiple[0])) if self.multiple[0] != 1 else made

    @cached_property
    def _entry(self) -> str:
        made = {name for node in self.members for name in node.outputs}
        first = (n for node in self.members for n in node.inputs if n and n not in made)
        return next(name for name in first if name not in self.constants)

    def _run(self, e: Ops, x: Value) -> dict[str, Value]:
        """What every member makes of input 0."""
        scale, shift = self.multiple
        if self.multiple != (1.0, 0.0):
            x = e.Div(e.Sub(x, e.scalar(shift)), e.scalar(scale))
        values: dict[str, Value] = {
            name: _constant(e, name, array) for name, array in self.constants.items()
        }
        values[self._entry] = x
        for node in self.members:
            made = e.rerun(node, [values[name] if name else None for name in node.inputs])
            values.update(zip(node.outputs, made, strict=False))
        return values

    def _chain(self, e: Ops, method: Method, x: Value, m: Value) -> Value:
        """The slope of x where that of the output is m."""
        values = self._run(e, x)
        slopes: dict[str, Value] = {self.members[-1].outputs[0]: m}
        for node in reversed(self.members):
            structure = self.structures.get(node.name)
            outgoing = [slopes.pop(name, None) for name in node.outputs]
            if structure is None or not structure.carries or all(r is None for r in outgoing):
                continue
            channels: list[Channels | None] = [None if r is None else [r] for r in outgoing]
            step = RegionStep(node, e, method, values, channels, self)
            for i, (piece,) in structure.slopes(cast(Step, step)).items():
                name = node.inputs[i]
                if not step.carries(i):
                    continue
                if i in structure.broadcasts and not self.level:
                    piece = e.unbroadcast(piece, step.shape(i))
                slopes[name] = e.Add(slopes[name], piece) if name in slopes else piece
        found = slopes.get(self._entry, e.Mul(x, e.zero()))
        return e.Div(found, e.scalar(self.multiple[0])) if self.multiple[0] != 1 else found

    @cached_property
    def carriers(self) -> frozenset[str]:
        """Tensors that depend on input 0."""
        found = {self._entry}
        for node in self.members:
            if found.intersection(node.inputs) and self.structures[node.name].carries:
                found.update(node.outputs)
        return frozenset(found)

    @cached_property
    def statistics(self) -> frozenset[str]:
        """Tensors that are less than one number for each of input 0: sums over some of its axes,
        and what is computed of these alone; but no means, which are linear in it."""
        found: set[str] = set()
        linear = {self._entry}
        for node in self.members:
            data = [name for name in node.inputs if name in self.carriers]
            if data and (node.op_type in REDUCING | POOLING or all(name in found for name in data)):
                found.update(node.outputs)
            if linear.issuperset(data) and _is_linear(self.structures.get(node.name), len(data)):
                linear.update(node.outputs)
        return frozenset(found - linear)


def _is_linear(structure: Structure | None, operands: int) -> bool:
    """Whether an operator is linear in its operands that are data."""
    if isinstance(structure, Movement | Terms):
        return True
    if isinstance(structure, Linear):
        return operands == 1 and structure.inner is None
    return operands == 1 and isinstance(structure, Product)


def _constant(e: Ops, name: str, array: npt.NDArray[Any]) -> Value:
    wide = array.astype(e.dtype) if array.dtype.kind in "fV" else array
    return Constant(f"region/{name}", wide)
