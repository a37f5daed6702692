"""Phrases that the texts of many operators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, zip_longest
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.expansions.registry import Constant, Op, Ops, RuleError, Value, ints

Array = npt.NDArray[Any]
BOOL, FLOAT, FLOAT16, INT32, INT64, BFLOAT16 = 9, 1, 10, 6, 7, 16
"""Element types, as TensorProto numbers them."""

CONVOLUTION = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
"""Attributes of Conv."""

# Inputs -----------------------------------------------------------------------------------------


def given(*inputs: Value) -> list[Value]:
    """The inputs that are there."""
    return [x for x in inputs if x is not None]


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


def place(op: Op, x: Value) -> int:
    """Which of the node's inputs a value is."""
    return op.node.inputs.index(x.name)


def size_of(op: Op, i: int, axis: int = -1) -> int:
    """The size of an axis of input `i`. Raises RuleError where it is not known."""
    found = known_size(op, i, axis)
    if found is None:
        raise RuleError(f"the shape of its input {op.node.inputs[i]!r} is not known")
    return found


def known_size(op: Op, i: int, axis: int = -1) -> int | None:
    """The size of an axis of input `i`, if known."""
    shape = op.type(i).shape
    found = shape[axis] if shape else None
    return found if isinstance(found, int) else None


def fixed(op: Op, i: int) -> Array:
    """Input `i`, a constant. Raises RuleError where it is computed or left out."""
    array = op.constant(i)
    if array is None:
        name = repr(op.node.inputs[i]) if op.has(i) else str(i)
        raise RuleError(
            f"its input {name} is computed while the model runs, and must be a constant; fold it "
            "first (for example with onnxslim)"
        )
    return array


def fixed_or_none(op: Op, i: int) -> Array | None:
    """Input `i`, a constant; None where it is left out. Raises RuleError where it is computed."""
    return fixed(op, i) if op.has(i) else None


def parts(e: Ops, op: Op, x: Value, sizes: Sequence[int]) -> list[Value]:
    """The input x cut along its last axis; parts of constants are constants."""
    array = op.constant(place(op, x))
    if array is None:
        return list(e.Split(x, ints(*sizes), axis=-1, outputs=len(sizes)))
    ends = np.cumsum([0, *sizes]).tolist()
    return [
        Constant(f"{op.node.name}/{x.name}:{first}", array[..., first:end])
        for first, end in pairwise(ends)
    ]


def picked(op: Op, *names: str) -> dict[str, Any]:
    """Attributes of these names; None where one is not given."""
    return {name: op.attribute(name) for name in names}


# Arithmetic -------------------------------------------------------------------------------------


def total(e: Ops, *terms: Value) -> Value:
    """The sum of those terms that are there."""
    return e.sum(given(*terms))


def swish(e: Ops, x: Value, alpha: float = 1.0) -> Value:
    """x * sigmoid(alpha x)."""
    return x * e.Sigmoid(times(e, x, alpha))


def times(e: Ops, x: Value, factor: float) -> Value:
    """x times a number; x where that is 1."""
    return x if factor == 1 else e.Mul(x, e.scalar(factor))


# Layouts ----------------------------------------------------------------------------------------


def halves(e: Ops, x: Value, axis: int = -1) -> tuple[Value, Value]:
    """Both halves of x along an axis."""
    first, second = e.Split(x, axis=axis, num_outputs=2, outputs=2)
    return first, second


def laid(e: Ops, x: Value, *sizes: Value) -> Value:
    """x in another shape: of numbers, one of which may be -1, and of parts of shapes."""
    return e.Reshape(x, e.Concat(*(ints(n) if isinstance(n, int) else n for n in sizes), axis=0))


def length(e: Ops, x: Value, axis: int = 2) -> Value:
    """The size of an axis of x, int64 scalar; by default of [samples, heads, tokens, size]."""
    return e.Squeeze(e.Shape(x, start=axis, end=axis + 1), ints(0))


def places(e: Ops, count: Value) -> Value:
    """0, 1, ..., count - 1."""
    return e.Range(np.int64(0), count, np.int64(1))


def channels_last(e: Ops, rank: int, x: Value, text: Callable[[Value], Value]) -> Value:
    """`text` of x with its channels moved from the last axis to axis 1, and back."""
    first = e.Transpose(x, perm=[0, rank - 1, *range(1, rank - 1)])
    return e.Transpose(text(first), perm=[0, *range(2, rank), 1])
