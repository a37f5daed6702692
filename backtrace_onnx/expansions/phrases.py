"""Phrases that the texts of many operators share, beside the words of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, zip_longest
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Constant, Value, ints

Array = npt.NDArray[Any]
BOOL, FLOAT, FLOAT16, INT32, INT64, BFLOAT16 = 9, 1, 10, 6, 7, 16
"""Element types, as TensorProto numbers them."""

CONVOLUTION = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
"""Attributes of Conv."""


class TextOps(EmitOps):
    """The backend that texts are written in: words of ONNX, and phrases of several words."""

    def op(
        self,
        op_type: str,
        inputs: Sequence[Value],
        attributes: dict[str, Any] | None = None,
        outputs: int = 1,
        domain: str = "",
    ) -> Value:
        """One ONNX operator; inputs that are left out at the end are not named."""
        given = [i for i, x in enumerate(inputs, 1) if x is not None]
        return super().op(op_type, inputs[: max(given, default=0)], attributes, outputs, domain)

    # Elements -----------------------------------------------------------------------------------

    def floats(self, x: Value) -> Value:
        """x as the floats that the operator computes in."""
        return self.Cast(x, to=self.float_type)

    def float32(self, x: Value) -> Value:
        """x as float32."""
        return self.Cast(x, to=FLOAT)

    def int32(self, x: Value) -> Value:
        """x as int32."""
        return self.Cast(x, to=INT32)

    def int64(self, x: Value) -> Value:
        """x as int64."""
        return self.Cast(x, to=INT64)

    # Arithmetic ---------------------------------------------------------------------------------

    def added(self, *terms: Value) -> Value:
        """The sum of those terms that are there."""
        return self.sum([x for x in terms if x is not None])

    def swish(self, x: Value, alpha: float = 1.0) -> Value:
        """x * sigmoid(alpha x)."""
        return self.Mul(x, self.Sigmoid(self.times(x, alpha)))

    def times(self, x: Value, factor: float) -> Value:
        """x times a number; x where that is 1."""
        return x if factor == 1 else self.Mul(x, self.scalar(factor))

    # Layouts ------------------------------------------------------------------------------------

    def halves(self, x: Value, axis: int = -1) -> tuple[Value, Value]:
        """Both halves of x along an axis."""
        first, second = self.Split(x, axis=axis, num_outputs=2, outputs=2)
        return first, second

    def cut(self, op: Op, x: Value, sizes: Sequence[int]) -> list[Value]:
        """The input x cut along its last axis; parts of constants are constants."""
        array = op.constant(op.place(x))
        if array is None:
            return list(self.Split(x, ints(*sizes), axis=-1, outputs=len(sizes)))
        ends = np.cumsum([0, *sizes]).tolist()
        return [
            Constant(f"{op.node.name}/{x.name}:{first}", array[..., first:end])
            for first, end in pairwise(ends)
        ]

    def laid(self, x: Value, *sizes: Value) -> Value:
        """x in another shape: of numbers, one of which may be -1, and of parts of shapes."""
        shape = self.Concat(*(ints(n) if isinstance(n, int) else n for n in sizes), axis=0)
        return self.Reshape(x, shape)

    def length(self, x: Value, axis: int = 2) -> Value:
        """The size of an axis of x, int64 scalar; by default of [samples, heads, tokens, size]."""
        return self.Squeeze(self.Shape(x, start=axis, end=axis + 1), ints(0))

    def places(self, count: Value) -> Value:
        """0, 1, ..., count - 1."""
        return self.Range(np.int64(0), count, np.int64(1))

    def channels_last(self, rank: int, x: Value, text: Callable[[Value], Value]) -> Value:
        """`text` of x with its channels moved from the last axis to axis 1, and back."""
        first = self.Transpose(x, perm=[0, rank - 1, *range(1, rank - 1)])
        return self.Transpose(text(first), perm=[0, *range(2, rank), 1])


def named(names: str, inputs: Sequence[Value]) -> SimpleNamespace:
    """Inputs by their names, which stand in their order; None are those left out.

    Raises RuleError for inputs that a newer onnxruntime has added to the operator.
    """
    order = names.split()
    if any(x is not None for x in inputs[len(order) :]):
        raise RuleError(
            f"it has {len(inputs)} inputs, of which only the first {len(order)} are known here"
        )
    return SimpleNamespace(**dict(zip_longest(order, inputs[: len(order)])))
