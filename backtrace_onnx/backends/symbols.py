"""Tensors of a graph that is being written, and arithmetic on them."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.policy import SMALLEST_MASS
from backtrace_onnx.ops.vocabulary import Ops, Value


class Sign(IntEnum):
    """What is known of the signs of a tensor, so that to divide by it takes as few nodes as can be.

    In this order: a sum of what is not negative has the greater sign of the two.
    """

    ANY = 0
    NONZERO = 1  # no smaller than the smallest mass
    NONNEGATIVE = 2
    MAGNITUDE = 3  # nonnegative, and where it is 0 so is all that its quotients multiply
    POSITIVE = 4


class SymbolicOps(Ops):
    """Operations that symbols append to a graph."""

    def symbol(self, x: Value) -> Symbol:
        """The tensor for a value: symbols as they are; arrays and numbers become constants."""
        raise NotImplementedError


class Symbol:
    """A tensor of the graph being written; arithmetic on it appends nodes."""

    __slots__ = ("name", "ops", "sign")

    def __init__(self, ops: SymbolicOps, name: str, sign: Sign = Sign.ANY) -> None:
        self.ops, self.name, self.sign = ops, name, sign

    def __repr__(self) -> str:
        return f"Symbol({self.name})"

    def __add__(self, other: Value) -> Symbol:
        made = self._unless_zero(other, self, "Add")
        other_sign = getattr(other, "sign", Sign.ANY)
        if made is self or min(self.sign, other_sign) < Sign.NONNEGATIVE:
            return made
        return Symbol(self.ops, made.name, max(self.sign, other_sign))

    def __sub__(self, other: Value) -> Symbol:
        return self._unless_zero(other, self, "Sub")

    def __mul__(self, other: Value) -> Value:
        if is_zero(other):
            return 0.0
        return self._binary("Mul", other)

    def __radd__(self, other: Value) -> Symbol:
        return self._unless_zero(other, self, "Add")

    def __rsub__(self, other: Value) -> Symbol:
        return -self if is_zero(other) else self._reversed("Sub", other)

    def __rmul__(self, other: Value) -> Value:
        return self * other

    def __truediv__(self, other: Value) -> Symbol:
        return self._binary("Div", other)

    def __rtruediv__(self, other: Value) -> Symbol:
        return self._reversed("Div", other)

    def __pow__(self, other: Value) -> Symbol:
        return self._binary("Pow", other)

    def __rpow__(self, other: Value) -> Symbol:
        return self._reversed("Pow", other)

    def __pos__(self) -> Symbol:
        return self

    def __neg__(self) -> Symbol:
        return self.ops.symbol(self.ops.Neg(self))

    def __abs__(self) -> Symbol:
        sign = Sign.POSITIVE if self.sign in (Sign.NONZERO, Sign.POSITIVE) else Sign.NONNEGATIVE
        return Symbol(self.ops, self.ops.Abs(self).name, sign)

    def __lt__(self, other: Value) -> Symbol:
        return self._binary("Less", other)

    def __gt__(self, other: Value) -> Symbol:
        return self._binary("Greater", other)

    def __le__(self, other: Value) -> Symbol:
        return self._binary("LessOrEqual", other)

    def __ge__(self, other: Value) -> Symbol:
        return self._binary("GreaterOrEqual", other)

    def __eq__(self, other: object) -> Symbol:  # type: ignore[override]
        return self._binary("Equal", other)

    def __ne__(self, other: object) -> Symbol:  # type: ignore[override]
        return self.ops.symbol(self.ops.Not(self._binary("Equal", other)))

    def __hash__(self) -> int:
        return hash(self.name)

    def __and__(self, other: Value) -> Value:
        if isinstance(other, bool):
            return self if other else False
        return self._binary("And", other)

    def __or__(self, other: Value) -> Value:
        if isinstance(other, bool):
            return True if other else self
        return self._binary("Or", other)

    def __xor__(self, other: Value) -> Symbol:
        return self._binary("Xor", other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__
    __array_ufunc__ = None  # numbers of NumPy on the left leave it to the words above

    def __bool__(self) -> bool:
        """Raises RuleError: which way a tensor goes is not known while it is written."""
        raise RuleError(
            "`if`, `and`, `or`, `not`, `min`, `max` and chained comparisons ask whether a tensor "
            "is true, which is known only when the model runs; use `where`, `&` and `|`"
        )

    def where(self, yes: Value, no: Value) -> Symbol:
        """`yes` where this boolean tensor holds, else `no`."""
        if is_zero(no):
            return self.ops.symbol(self.ops.Mul(yes, self.ops.Cast(self, to=self.ops.float_type)))
        return self.ops.symbol(self.ops.Where(self, yes, no))

    def safe_divide(self, r: Value) -> Symbol:
        """r / self, and next to 0 where there is no mass.

        A branch would cost a node more; where there is no mass the quotient is so small, or
        multiplies only zeros, that none is sent.
        """
        ops = self.ops
        if self.sign == Sign.POSITIVE:
            mass: Value = self
        elif self.sign == Sign.MAGNITUDE:
            mass = ops.Max(self, ops.scalar(SMALLEST_MASS))
        else:
            empty = ops.Cast(self == 0.0, to=ops.float_type)
            mass = ops.Add(self, ops.Mul(empty, ops.scalar(float(np.finfo(ops.dtype).max))))
        return ops.symbol(ops.Div(r, mass))

    def _binary(self, op_type: str, other: Value) -> Symbol:
        return self.ops.symbol(self.ops.op(op_type, (self, other)))

    def _reversed(self, op_type: str, other: Value) -> Symbol:
        return self.ops.symbol(self.ops.op(op_type, (other, self)))

    def _unless_zero(self, other: Value, unchanged: Symbol, op_type: str) -> Symbol:
        if is_zero(other):
            return unchanged
        return self._binary(op_type, other)


def is_zero(x: Value) -> bool:
    """Whether x is the number 0, which needs no node."""
    return isinstance(x, float | int) and x == 0
