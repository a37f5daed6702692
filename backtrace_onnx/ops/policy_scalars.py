"""What a policy calculates with while it is written down: numbers and truths, as in Python."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from backtrace_onnx.errors import RuleError

_EXACT = 2**53  # whole numbers beyond are floats


class Scalar:
    """One number of a unit, or one truth about it, in whatever is written: a graph or a text.

    Its words are those of Python's numbers: a truth is 1 or 0 in arithmetic, `&`, `|` and `^` are
    between truths, NumPy's numbers are numbers.

    Attributes:
        value: what is written: it knows arithmetic with itself and numbers, `where(yes, no)`
            and `safe_divide(r)`.
        truth: whether it is the outcome of a comparison.
    """

    __slots__ = ("truth", "value")
    __array_ufunc__ = None  # NumPy's numbers on the left leave it to the words below

    def __init__(self, value: Any, truth: bool = False) -> None:
        self.value, self.truth = value, truth

    def __add__(self, other: Any) -> Any:
        return _calculated(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return _calculated(operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return _calculated(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _calculated(operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return _calculated(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _calculated(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return _calculated(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _calculated(operator.truediv, other, self)

    def __pow__(self, other: Any) -> Any:
        return _calculated(operator.pow, self, other)

    def __rpow__(self, other: Any) -> Any:
        return _calculated(operator.pow, other, self)

    def __pos__(self) -> Any:
        return _made(number(self))

    def __neg__(self) -> Any:
        return _calculated(operator.neg, self)

    def __abs__(self) -> Any:
        return _calculated(operator.abs, self)

    def __lt__(self, other: Any) -> Any:
        return _calculated(operator.lt, self, other, truth=True)

    def __gt__(self, other: Any) -> Any:
        return _calculated(operator.gt, self, other, truth=True)

    def __le__(self, other: Any) -> Any:
        return _calculated(operator.le, self, other, truth=True)

    def __ge__(self, other: Any) -> Any:
        return _calculated(operator.ge, self, other, truth=True)

    def __eq__(self, other: object) -> Any:
        return _calculated(operator.eq, self, other, truth=True)

    def __ne__(self, other: object) -> Any:
        return _calculated(operator.ne, self, other, truth=True)

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> Any:
        return _made(_truth(self) & _truth(other), truth=True)

    def __or__(self, other: Any) -> Any:
        return _made(_truth(self) | _truth(other), truth=True)

    def __xor__(self, other: Any) -> Any:
        return _made(_truth(self) ^ _truth(other), truth=True)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __bool__(self) -> bool:
        """Raises RuleError: which way a number goes is not known while it is written."""
        raise RuleError(
            "`if`, `and`, `or`, `not`, `min`, `max` and chained comparisons ask whether a number "
            "of the model is true, which is known only when it runs; use `where`, `&` and `|`"
        )

    def where(self, yes: Any, no: Any) -> Any:
        """`yes` where this holds, or is not 0; else `no`."""
        condition = self if self.truth else self != 0
        if _is_truth(yes) and _is_truth(no):
            return (condition & yes) | ((condition ^ True) & no)
        return _made(condition.value.where(number(yes), number(no)))

    def safe_divide(self, r: Any) -> Any:
        """r / self, and 0 where there is no mass."""
        return _made(number(self).safe_divide(number(r)))


def number(x: Any) -> Any:
    """What is written for a number: truths are 1 and 0, numbers Python's own.

    Raises RuleError for what is no number.
    """
    if isinstance(x, Scalar):
        return x.value.where(1.0, 0.0) if x.truth else x.value
    x = plain(x)
    if isinstance(x, float):
        return x
    if isinstance(x, int):
        return int(x) if abs(x) < _EXACT else float(x)
    raise RuleError(f"it calculates with {x!r}, which is no number"[:300])


def plain(x: Any) -> Any:
    """Python's number for one of NumPy's; anything else as it is."""
    single = isinstance(x, np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0)
    return x.item() if single else x


def _is_truth(x: Any) -> bool:
    return x.truth if isinstance(x, Scalar) else isinstance(plain(x), bool)


def _truth(x: Any) -> Any:
    """What is written for a truth; 1 and 0 are True and False."""
    if isinstance(x, Scalar) and x.truth:
        return x.value
    if not isinstance(x, Scalar):
        x = plain(x)
        if isinstance(x, int) and x in (0, 1):
            return bool(x)
    raise RuleError("`&`, `|` and `^` are between comparisons, not between numbers")


def _calculated(word: Callable[..., Any], *operands: Any, truth: bool = False) -> Any:
    return _made(word(*map(number, operands)), truth)


def _made(value: Any, truth: bool = False) -> Any:
    return value if isinstance(value, int | float) else Scalar(value, truth)
