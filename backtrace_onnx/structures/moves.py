"""Operators that move, copy, drop or choose elements: relevance follows them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.base import (
    CURVED,
    Channels,
    Movement,
    Pieces,
    PlannedNode,
    Step,
    Structure,
)


@dataclass(frozen=True)
class Negated(Movement):
    """The elements with the other sign: relevance passes unchanged, slopes change theirs."""

    conserves: bool = True

    def propagate(self, step: Step) -> Pieces:
        return {0: step.r}

    def slopes(self, step: Step) -> Pieces:
        return {0: [step.ops.Neg(m) for m in step.r]}


@dataclass(frozen=True)
class Reshaped(Movement):
    """The elements stay in their order and get another shape; relevance is shaped back."""

    shapes: tuple[int, ...] = (0,)
    conserves: bool = True

    def propagate(self, step: Step) -> Pieces:
        shape = step.shape(0)
        return {0: [step.ops.Reshape(r, shape, allowzero=1) for r in step.r]}


@dataclass(frozen=True)
class Adjoint(Movement):
    """A movement of elements whose way back is ONNX text.

    Attributes:
        back: `(step, r) -> ` what the input is sent of the relevance r of the first output.
        data: index of the input that moves.
        fills: whether the operator also fills places of its own (padding). Relevance that `back`
            leaves out lay there, and is booked as a constant's.
        converts: whether the input is words or categories, which have no slope.
        bent: whether the elements that move may be others between a reference and the sample.
    """

    back: Callable[[Step, Value], Value]
    shapes: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    data: int = 0
    fills: bool = False
    converts: bool = False
    held: tuple[int, ...] = ()
    bent: bool = False
    conserves: bool = False

    def bends(self, step: PlannedNode) -> int:
        return CURVED if self.bent else 0

    def propagate(self, step: Step) -> Pieces:
        sent = [self.back(step, r) for r in step.r]
        if self.fills and step.ops.keeps_ledger:
            for channel, (r, piece) in enumerate(zip(step.r, sent, strict=True)):
                whole, moved = (step.ops.total(x, step.sample_axis()) for x in (r, piece))
                step.book("constants", channel, step.ops.Sub(whole, moved))
        return {self.data: sent}


@dataclass(frozen=True)
class Joined(Movement):
    """`count` inputs are laid end to end along `axis` (Concat); relevance is cut apart again."""

    count: int
    axis: int

    @property
    def shapes(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(range(self.count))

    def propagate(self, step: Step) -> Pieces:
        ops = step.ops
        sizes = [ops.Gather(step.shape(i), ints(self.axis)) for i in self.shapes]
        parts = [ops.split(r, sizes, self.axis) for r in step.r]
        return {i: [part[i] for part in parts] for i in self.shapes}


@dataclass(frozen=True)
class Parted(Movement):
    """Input 0 is cut along `axis` (Split); the parts' relevance is joined again.

    A part that received none counts as zeros.

    Attributes:
        sizes: `(step) -> ` sizes of the parts, int64[parts].
    """

    axis: int
    sizes: Callable[[Step], Value]
    values: tuple[int, ...] = ()
    shapes: tuple[int, ...] = (0,)
    every_output: bool = True

    def propagate(self, step: Step) -> Pieces:
        absent = {k: self._zeros(step, k) for k, r in enumerate(step.outgoing) if r is None}
        sent = []
        for channel in range(step.policy.channels):
            parts = [absent[k] if r is None else r[channel] for k, r in enumerate(step.outgoing)]
            sent.append(step.ops.Concat(*parts, axis=self.axis))
        return {0: sent}

    def _zeros(self, step: Step, part: int) -> Value:
        ops = step.ops
        size = ops.Gather(self.sizes(step), ints(part))
        shape = ops.ScatterElements(step.shape(0), ints(self.axis), size, axis=0)
        return ops.Expand(ops.zero(), shape)


@dataclass(frozen=True)
class Chosen(Movement):
    """Input 1 where input 0, the condition, holds, else input 2; relevance goes likewise."""

    values: tuple[int, ...] = (0,)
    shapes: tuple[int, ...] = (1, 2)
    broadcasts: tuple[int, ...] = (1, 2)

    def propagate(self, step: Step) -> Pieces:
        ops, condition = step.ops, step.condition(0)
        return {
            1: [ops.Where(condition, r, ops.zero()) for r in step.r],
            2: [ops.Where(condition, ops.zero(), r) for r in step.r],
        }


@dataclass(frozen=True)
class Moves(Movement):
    """Any movement of elements, copying and dropping among them.

    The operator itself, run on numbered elements in place of the data, tells where each entry of an
    output came from; there its relevance is added up.

    Attributes:
        data: indices of the inputs whose elements move.
        steering: indices of other inputs, whose values say how.
        fill: inputs that fill new places; they are given -1.
        overrides: attributes for that run (a fill value given as attribute).
        dtype: type of the numbers, where the operator takes no int64.
        types: element types that steering inputs are cast back to.
    """

    data: tuple[int, ...] = (0,)
    steering: tuple[int, ...] = ()
    fill: tuple[int, ...] = ()
    overrides: Mapping[str, object] = field(default_factory=dict)
    dtype: npt.DTypeLike = np.int64
    types: Mapping[int, int] = field(default_factory=dict)

    every_output: bool = True

    @property
    def shapes(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.data

    @property
    def values(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.steering

    def propagate(self, step: Step) -> Pieces:
        ops = step.ops
        shapes = {i: step.shape(i) for i in self.data}
        starts, total = self._number(ops, shapes)
        origin = self._origin(step, shapes, starts)
        pieces: dict[int, Channels] = {i: [] for i in self.data}
        for channel in range(step.policy.channels):
            flat = None
            for index, out in zip(origin, step.outgoing, strict=True):
                if out is None:
                    continue
                moved, lost = ops.scatter_add(out[channel], index, total, step.sample_axis())
                step.book("constants", channel, lost)
                flat = moved if flat is None else ops.Add(flat, moved)
            for i, part in zip(self.data, self._cut(ops, flat, shapes), strict=True):
                pieces[i].append(part)
        return pieces

    def _number(self, ops: Ops, shapes: Mapping[int, Value]) -> tuple[dict[int, Value], Value]:
        starts: dict[int, Value] = {}
        total: Value = np.int64(0)
        for i, shape in shapes.items():
            starts[i] = total
            total = ops.Add(total, ops.ReduceProd(shape, keepdims=0))
        return starts, total

    def _origin(
        self, step: Step, shapes: Mapping[int, Value], starts: Mapping[int, Value]
    ) -> Sequence[Value]:
        """For every output, the number of the data element each entry came from; -1 for none."""
        ops, node = step.ops, step.node
        inputs: list[Value] = []
        for i, name in enumerate(node.inputs):
            if i in self.data:
                inputs.append(self._cast(ops, ops.ids(shapes[i], starts[i])))
            elif i in self.fill:
                inputs.append(np.asarray(-1, self.dtype))
            else:
                value = step.condition(i) if name else None
                inputs.append(ops.Cast(value, to=self.types[i]) if i in self.types else value)
        made = ops.rerun(_overridden(node, self.overrides), inputs)
        return [x if x is None else ops.Cast(x, to=7) for x in made]

    def _cast(self, ops: Ops, ids: Value) -> Value:
        from onnx.helper import np_dtype_to_tensor_dtype

        if np.dtype(self.dtype) == np.int64:
            return ids
        return ops.Cast(ids, to=int(np_dtype_to_tensor_dtype(np.dtype(self.dtype))))

    def _cut(self, ops: Ops, flat: Value, shapes: Mapping[int, Value]) -> list[Value]:
        sizes = [ops.ReduceProd(shapes[i], keepdims=1) for i in self.data]
        parts = ops.split(flat, sizes, 0)
        return [
            ops.Reshape(part, shapes[i], allowzero=1)
            for i, part in zip(self.data, parts, strict=True)
        ]


def _overridden(node: Node, overrides: Mapping[str, object]) -> Node:
    return replace(node, attributes={**node.attributes, **overrides}) if overrides else node


@dataclass(frozen=True)
class LookUp(Structure):
    """A row of a fixed table is looked up by its id, which is sent the relevance of the row.

    Attributes:
        over: axes of the output that a row spans; its relevance is summed over them.
        ids: index of the input that holds the ids.
        parts: whether the last axis of the ids holds the parts of one id, which get equal shares.
    """

    over: tuple[int, ...]
    ids: int = 1
    parts: bool = False
    converts: bool = True

    @property
    def shapes(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.ids,) if self.parts else ()

    def propagate(self, step: Step) -> Pieces:
        return {self.ids: [self._back(step, r) for r in step.r]}

    def _back(self, step: Step, r: Value) -> Value:
        ops = step.ops
        if self.over:
            r = ops.ReduceSum(r, ints(*self.over), keepdims=0)
        if not self.parts:
            return r
        shape = step.shape(self.ids)
        count = ops.Cast(ops.Gather(shape, ints(-1)), to=ops.float_type)
        return ops.Expand(ops.Div(ops.Unsqueeze(r, ints(-1)), count), shape)
