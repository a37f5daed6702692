"""Operators that move, copy, drop or choose elements: relevance follows them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.base import Ops, Value, ints
from backtrace_onnx.structures.base import Channels, Pieces, Step, Structure

if TYPE_CHECKING:
    from backtrace_onnx.rules.window import Window


@dataclass(frozen=True)
class Reshaped(Structure):
    """The same elements in another shape."""

    shapes: tuple[int, ...] = (0,)

    def propagate(self, step: Step) -> Pieces:
        shape = step.shape(0)
        return {0: [step.ops.Reshape(r, shape) for r in step.r]}


@dataclass(frozen=True)
class Adjoint(Structure):
    """A movement whose way back is ONNX text: `back(step, r) -> relevance of input 0`."""

    back: Callable[[Step, Value], Value]
    shapes: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    results: tuple[int, ...] = ()

    def propagate(self, step: Step) -> Pieces:
        return {0: [self.back(step, r) for r in step.r]}


@dataclass(frozen=True)
class Moves(Structure):
    """Any movement: the operator itself, run on element numbers, tells where each came from.

    Attributes:
        data: indices of the inputs whose elements move.
        steering: indices of other inputs, whose values say how.
        fill: inputs that fill new places; they are given -1.
        overrides: attributes for that run (a fill value given as attribute).
        dtype: type of the numbers, where the operator takes no int64.
    """

    data: tuple[int, ...] = (0,)
    steering: tuple[int, ...] = ()
    fill: tuple[int, ...] = ()
    overrides: Mapping[str, object] = field(default_factory=dict)
    dtype: npt.DTypeLike = np.int64

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
            for i in self.data:
                pieces[i].append(self._cut(ops, flat, starts[i], shapes[i]))
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
        """For every output, the number of the element each of its own came from."""
        ops, node = step.ops, step.node
        inputs: list[Value] = []
        for i, name in enumerate(node.inputs):
            if i in self.data:
                inputs.append(self._cast(ops, ops.ids(shapes[i], starts[i])))
            elif i in self.fill:
                inputs.append(np.asarray(-1, self.dtype))
            else:
                inputs.append(step.value(i) if name else None)
        made = ops.rerun(_overridden(node, self.overrides), inputs)
        return [x if x is None else ops.Cast(x, to=7) for x in made]

    def _cast(self, ops: Ops, ids: Value) -> Value:
        from onnx.helper import np_dtype_to_tensor_dtype

        if np.dtype(self.dtype) == np.int64:
            return ids
        return ops.Cast(ids, to=int(np_dtype_to_tensor_dtype(np.dtype(self.dtype))))

    def _cut(self, ops: Ops, flat: Value, start: Value, shape: Value) -> Value:
        if len(self.data) == 1:
            return ops.Reshape(flat, shape)
        first = ops.Reshape(start, ints(1))
        size = ops.ReduceProd(shape, keepdims=1)
        return ops.Reshape(ops.Slice(flat, first, ops.Add(first, size)), shape)


def _overridden(node, overrides):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(node, attributes={**node.attributes, **overrides}) if overrides else node


@dataclass(frozen=True)
class Winner(Structure):
    """To the elements that equal the result along `axes(step)`; ties share alike."""

    axes: Callable[[Step], tuple[int, ...] | None]
    keepdims: bool = True
    values: tuple[int, ...] = (0,)
    results: tuple[int, ...] = (0,)
    shapes: tuple[int, ...] = (0,)

    def propagate(self, step: Step) -> Pieces:
        ops, axes = step.ops, self.axes(step)
        best, r = step.result(), list(step.r)
        if not self.keepdims:
            shape = self._kept_shape(step, axes)
            best, r = ops.Reshape(best, shape), [ops.Reshape(x, shape) for x in r]
        return {0: [ops.split_ties(step.value(0), best, x, axes) for x in r]}

    def _kept_shape(self, step: Step, axes: tuple[int, ...] | None) -> Value:
        ops, shape = step.ops, step.shape(0)
        if axes is None:
            return ops.Expand(ints(1), ops.shape(shape))
        if not axes:
            return shape
        return ops.ScatterElements(shape, np.array(axes, np.int64), np.ones(len(axes), np.int64))


@dataclass(frozen=True)
class ElementwiseWinner(Structure):
    """To the operands that equal the result, elementwise; ties share alike."""

    count: int
    results: tuple[int, ...] = (0,)

    @property
    def values(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(range(self.count))

    shapes = values
    broadcasts = values

    def propagate(self, step: Step) -> Pieces:
        ops, best = step.ops, step.result()
        wins = [ops.Cast(ops.Equal(step.value(i), best), to=ops.float_type) for i in self.values]
        ties = ops.Max(ops.sum(wins), ops.scalar(1))
        shares = [ops.Div(r, ties) for r in step.r]
        return {i: [ops.Mul(win, share) for share in shares] for i, win in enumerate(wins)}


@dataclass(frozen=True)
class LookUp(Structure):
    """A constant table looked up by ids: input 1 is sent its row's relevance, summed over `over`."""

    over: tuple[int, ...]

    def propagate(self, step: Step) -> Pieces:
        if not self.over:
            return {1: step.r}
        axes = ints(*self.over)
        return {1: [step.ops.ReduceSum(r, axes, keepdims=0) for r in step.r]}


@dataclass(frozen=True)
class WindowWinner(Structure):
    """To the elements of each window that equal its maximum; ties share alike."""

    window: Window
    values: tuple[int, ...] = (0,)
    results: tuple[int, ...] = (0,)

    def propagate(self, step: Step) -> Pieces:
        if step.outgoing[0] is None:
            return {}
        x, best = step.value(0), step.result()
        return {0: [step.ops.split_windows(x, best, r, self.window) for r in step.r]}
