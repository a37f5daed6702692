"""Resizing: nearest moves elements, linear and cubic apply one small matrix along every axis.

The matrices are what the operator itself makes of an identity: every coordinate mode, rounding
and antialiasing is the operator's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from onnx import TensorProto

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Passes, Step, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.moves import Moves

_FLOAT = int(TensorProto.FLOAT)


@rule("Resize", "Upsample")
def resize(op: Op) -> Structure:
    """Nearest follows the elements back; linear and cubic share by contribution."""
    places = _places(op)
    if op.attribute("mode", "nearest") == "nearest":
        floats = {i: _FLOAT for i in (1, 2) if op.has(i)}
        steering = tuple(range(1, len(op.node.inputs)))
        # Elements are numbered from 0: -1 marks what comes from outside of the image.
        return Moves((0,), steering, types=floats, overrides=_outside(op, -1.0), dtype=np.int32)
    _check(op)
    axes = _resized(op)
    if not axes:
        return Passes()
    probe, rank = _Probe(op, places), op.rank(0)

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        back = [e.Transpose(matrix, perm=[1, 0]) for matrix in factors[1:]]
        return _along(e, g, back, axes, rank)

    return Linear(
        forward=lambda e, x, *matrices: _along(e, x, matrices, axes, rank),
        adjoint=adjoint,
        factors=(0,),
        weights=lambda step: tuple(probe.matrix(step, axis) for axis in axes),
        positive="linear" in op.attribute("mode"),
        reads=tuple(places.values()),
        held=tuple(i for name, i in places.items() if name == "roi"),
    )


def _places(op: Op) -> dict[str, int]:
    """Which input says what, by operator version."""
    if op.node.op_type == "Upsample" or op.version < 11:
        return {"scales": 1} if op.has(1) else {}
    return {name: i for i, name in enumerate(("roi", "scales", "sizes"), 1) if _given(op, i)}


def _given(op: Op, i: int) -> bool:
    """Whether input `i` is there and not the empty tensor that stands for none."""
    constant = op.constant(i)
    return op.has(i) and (constant is None or constant.size > 0)


def _outside(op: Op, value: float) -> dict[str, object]:
    """The attribute that fills what lies outside the region of interest, where there is one."""
    crops = op.attribute("coordinate_transformation_mode") == "tf_crop_and_resize"
    return {"extrapolation_value": value} if crops else {}


def _check(op: Op) -> None:
    """Raises RuleError where the operator is not linear along one axis after the other."""
    name = f"{op.node.operator} node {op.node.name!r}"
    if op.attribute("extrapolation_value", 0.0) != 0.0:
        raise RuleError(f"{name}: an extrapolation_value other than 0 has no rule")
    outer = [axis for axis in _asked(op) if axis < 2]
    if _keeps_ratio(op) and (op.rank(0) < 3 or outer):
        raise RuleError(f"{name}: keep_aspect_ratio_policy over axes {outer} has no rule")


def _keeps_ratio(op: Op) -> bool:
    """Whether sizes are bounds, within which the picture keeps its proportions."""
    return str(op.attribute("keep_aspect_ratio_policy", "stretch")) != "stretch"


def _asked(op: Op) -> tuple[int, ...]:
    """Axes that scales or sizes speak of, in their order."""
    rank = op.rank(0)
    return tuple(int(a) % rank for a in op.attribute("axes", range(rank)))


def _resized(op: Op) -> tuple[int, ...]:
    """Axes that may change; the first two of images only if a constant says so."""
    asked, rank = _asked(op), op.rank(0)
    fixed = _fixed_scales(op)
    if fixed is not None:
        return tuple(axis for axis, scale in zip(asked, fixed, strict=True) if scale != 1)
    before, after = op.type(0).shape or (), op.output_type().shape or ()
    kept = {a for a, (m, n) in enumerate(zip(before, after, strict=False)) if m == n is not None}
    known = {
        a for a in range(len(after)) if isinstance(before[a], int) and isinstance(after[a], int)
    }
    return tuple(a for a in asked if a not in kept and (a in known or a >= 2 or rank < 3))


def _fixed_scales(op: Op) -> Sequence[float] | None:
    """The scales where they are known before the model runs."""
    given = op.attribute("scales")
    places = _places(op)
    if given is not None or "scales" not in places:
        return None if given is None else [float(s) for s in given]
    scales = op.constant(places["scales"])
    return None if scales is None else [float(s) for s in scales]


def _along(e: Ops, x: Value, matrices: Sequence[Value], axes: Sequence[int], rank: int) -> Value:
    """x with matrix [in, out] applied along every axis."""
    for matrix, axis in zip(matrices, axes, strict=True):
        if axis == rank - 1:
            x = e.MatMul(x, matrix)
            continue
        swap = list(range(rank))
        swap[axis], swap[-1] = swap[-1], swap[axis]
        x = e.Transpose(e.MatMul(e.Transpose(x, perm=swap), matrix), perm=swap)
    return x


@dataclass(frozen=True)
class _Probe:
    """Runs a resize on an identity, one axis at a time."""

    op: Op
    places: Mapping[str, int]

    def matrix(self, step: Step, axis: int) -> Value:
        """float[in, out] that the operator applies along `axis`."""
        ops = step.ops
        size = ops.Slice(step.shape(0), ints(axis), ints(axis + 1))
        identity = ops.EyeLike(
            ops.Expand(ops.scalar(0), ops.Concat(size, size, axis=0)), dtype=_FLOAT
        )
        made = (self._beside if _keeps_ratio(self.op) else self._alone)(step, axis, size, identity)
        return ops.Cast(ops.Reshape(made, ops.Concat(size, ints(-1), axis=0)), to=ops.float_type)

    def _alone(self, step: Step, axis: int, size: Value, identity: Value) -> Value:
        """Along axis 2 of [in, 1, in, 1]."""
        ops = step.ops
        x = ops.Reshape(identity, ops.Concat(size, ints(1), size, ints(1), axis=0))
        inputs: list[Value] = [x]
        for i in range(1, len(self.op.node.inputs)):
            inputs.append(np.zeros(0, np.float32) if self.op.has(i) else None)
        at = _asked(self.op).index(axis)
        for name, i in self.places.items():
            inputs[i] = getattr(self, f"_{name}")(ops, step.condition(i), at, size)
        return self._run(step, axis, inputs, self._attributes(at))

    def _scales(self, ops: Ops, scales: Value, at: int, size: Value) -> Value:
        own = ops.Cast(ops.Slice(scales, ints(at), ints(at + 1)), to=_FLOAT)
        one = np.ones(1, np.float32)
        return ops.Concat(one, one, own, one, axis=0)

    def _sizes(self, ops: Ops, sizes: Value, at: int, size: Value) -> Value:
        own = ops.Slice(sizes, ints(at), ints(at + 1))
        return ops.Concat(size, ints(1), own, ints(1), axis=0)

    def _roi(self, ops: Ops, roi: Value, at: int, size: Value) -> Value:
        roi, count = ops.Cast(roi, to=_FLOAT), len(_asked(self.op))
        start = ops.Slice(roi, ints(at), ints(at + 1))
        end = ops.Slice(roi, ints(count + at), ints(count + at + 1))
        zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
        return ops.Concat(zero, zero, start, zero, one, one, end, one, axis=0)

    def _attributes(self, at: int) -> dict[str, object]:
        left_out = ("axes", "keep_aspect_ratio_policy")
        kept = {k: v for k, v in self.op.node.attributes.items() if k not in left_out}
        if "scales" in kept:
            kept["scales"] = [1.0, 1.0, float(kept["scales"][at]), 1.0]
        return kept

    def _beside(self, step: Step, axis: int, size: Value, identity: Value) -> Value:
        """Along `axis` of [in, 1, ...], the other axes as they are: they share one scale."""
        ops, rank = step.ops, self.op.rank(0)
        ones = [ints(1)] * (rank - 1)
        ones[axis - 1] = size
        spatial = ops.Slice(step.shape(0), ints(2), ints(rank))
        x = ops.Expand(
            ops.Reshape(identity, ops.Concat(size, *ones, axis=0)),
            ops.Concat(size, ints(1), spatial, axis=0),
        )
        inputs = [
            x,
            *(step.condition(i) if i == self.places["sizes"] else None for i in range(1, 4)),
        ]
        made = self._run(step, axis, inputs, dict(self.op.node.attributes))
        others = [a for a in range(2, rank) if a != axis]
        if not others:
            return made
        return ops.Slice(made, ints(*[0] * len(others)), ints(*[1] * len(others)), ints(*others))

    def _run(
        self, step: Step, axis: int, inputs: Sequence[Value], attributes: Mapping[str, object]
    ) -> Value:
        node = self.op.node
        probe = replace(
            node, name=f"{node.name}/axis{axis}", outputs=node.outputs[:1], attributes=attributes
        )
        return step.ops.rerun(probe, inputs)[0]
