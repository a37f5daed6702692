"""The geometry that convolutions and pools share."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.words import Value, Words, ints


class Window:
    """The geometry of a convolution or pool, as its way back needs it.

    Spatial sizes may be known only when the model runs; they are computed in ONNX's words then.
    """

    def __init__(self, op: Op, kernel: Sequence[int], strides: Sequence[int] | None = None) -> None:
        rank = len(kernel)
        self.kernel = tuple(int(k) for k in kernel)
        self.strides = tuple(strides or op.attribute("strides", (1,) * rank))
        self.dilations = tuple(op.attribute("dilations", (1,) * rank))
        self.group = int(op.attribute("group", 1))
        self.auto_pad = op.attribute("auto_pad", "NOTSET")
        self.pads = (0,) * 2 * rank
        if self.auto_pad == "NOTSET":
            self.pads = tuple(op.attribute("pads", self.pads))

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    @property
    def spatial(self) -> tuple[int, ...]:
        """The spatial axes."""
        return tuple(range(2, 2 + self.rank))

    @property
    def reach(self) -> tuple[int, ...]:
        """Extent of the dilated kernel."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def attributes(self) -> dict[str, Any]:
        """ONNX attributes of the forward operator; dilations only where there are any."""
        pads = {"pads": self.pads} if self.auto_pad == "NOTSET" else {"auto_pad": self.auto_pad}
        dilations = {"dilations": self.dilations} if max(self.dilations) > 1 else {}
        return {"strides": self.strides, **dilations, **pads}

    @property
    def steps(self) -> dict[str, Any]:
        """Strides and dilations alone, for the unpadded form."""
        return {"strides": self.strides, "dilations": self.dilations}

    def size(self, e: Words, shape: Value) -> Value:
        """The spatial part of a shape."""
        return e.Slice(shape, ints(2), ints(2 + self.rank))

    def first(self, e: Words, shape: Value) -> Value:
        """Padding before every spatial axis, int64[rank]; computed where the shape decides it."""
        if not self.auto_pad.startswith("SAME"):
            return ints(*self.pads[: self.rank])
        size = self.size(e, shape)
        strides, reach = ints(*self.strides), ints(*self.reach)
        steps = e.Div(e.Sub(e.Add(size, strides), ints(1)), strides)
        total = e.Max(e.Sub(e.Add(e.Mul(e.Sub(steps, ints(1)), strides), reach), size), ints(0))
        if self.auto_pad == "SAME_LOWER":
            total = e.Add(total, ints(1))
        return e.Div(total, ints(2))

    def exact_pads(self, e: Words, shape: Value, made: Value) -> tuple[Value, Value]:
        """(before, after): pads with which the windows of a result of shape `made` just fit.

        `after` is negative where the windows leave the end of the input out.
        """
        first = self.first(e, shape)
        return first, e.Sub(self.covered(e, made), e.Add(first, self.size(e, shape)))

    def known_pads(self, size: Sequence[int]) -> tuple[list[int], list[int]]:
        """(before, after) as of `exact_pads`, of an input whose spatial sizes are known."""
        rank, reach = self.rank, self.reach
        before, after = list[int](), list[int]()
        for i in range(rank):
            if self.auto_pad.startswith("SAME"):
                made = -(-size[i] // self.strides[i])
                total = max((made - 1) * self.strides[i] + reach[i] - size[i], 0)
                first = (total + (self.auto_pad == "SAME_LOWER")) // 2
            else:
                first = self.pads[i]
                made = (size[i] + first + self.pads[rank + i] - reach[i]) // self.strides[i] + 1
            before.append(first)
            after.append((made - 1) * self.strides[i] + reach[i] - first - size[i])
        return before, after

    def covered(self, e: Words, made: Value) -> Value:
        """Extent of as many windows as a result of shape `made` has, int64[rank]."""
        steps = e.Mul(e.Sub(self.size(e, made), ints(1)), ints(*self.strides))
        return e.Add(steps, ints(*self.reach))

    def unpadded(self) -> Window:
        """The same windows on an input that is padded already."""
        bare = copy(self)
        bare.pads, bare.auto_pad = (0,) * 2 * self.rank, "NOTSET"
        return bare

    def padded(self, e: Words, x: Value, before: Value, after: Value, value: Value) -> Value:
        """x[., ., *spatial] padded, or cut where negative."""
        return e.Pad(x, e.Concat(ints(0, 0), before, ints(0, 0), after, axis=0), value)

    def cut(self, e: Words, x: Value, before: Value, after: Value) -> Value:
        """The inverse of `padded`; what was cut comes back as 0."""
        return self.padded(e, x, e.Neg(before), e.Neg(after), e.zero())

    def each_channel(self, e: Words, x: Value) -> Value:
        """x[samples, channels, *spatial] as [samples * channels, 1, *spatial]."""
        return e.Reshape(x, e.Concat(ints(-1, 1), self.size(e, e.Shape(x)), axis=0))
