"""A policy's function as lines of arithmetic: what Numba compiles, and what tells it apart."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.policy import divide, where
from backtrace_onnx.ops.policy_scalars import Scalar, number


def written(function: Callable[..., Any], channels: int) -> Callable[..., Any]:
    """The function that a policy's computes, line by line.

    Dictionaries, objects and functions it reads are numbers by then: those they hold now.
    """
    text = _text(function, [f"x{i}" for i in range(3 + channels)])
    space = {"where": where, "divide": divide, "inf": math.inf, "nan": math.nan}
    exec(compile(text, "<policy>", "exec"), space)  # of names and numbers only
    result: Callable[..., Any] = space["coefficients"]  # type: ignore[assignment]
    return result


def identify(function: Callable[..., Any], channels: int) -> str:
    """Digest of what a policy's function computes now, with and without a negative mass and bias.

    The same in every process. Whatever the function reads, from wherever, is in what it computes.
    """
    r = [f"r{i}" for i in range(channels)]
    texts = [_text(function, ["p", n, b, *r]) for n in ("n", 0.0) for b in ("b", 0.0)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _text(function: Callable[..., Any], given: Sequence[str | float]) -> str:
    """The lines of a function, called with names and numbers. Raises RuleError."""
    lines: list[str] = []
    values = (Scalar(Text(x, lines)) if isinstance(x, str) else x for x in given)
    try:
        made = [", ".join(_spelled(number(x)) for x in part) for part in function(*values)]
    except RuleError:
        raise
    except Exception as error:  # it is anybody's code
        raise RuleError(f"it fails: {type(error).__name__}: {error}") from None
    names = ", ".join(x for x in given if isinstance(x, str))
    told = ", ".join(f"({part},)" for part in made)
    return "\n    ".join([f"def coefficients({names}):", *lines, f"return ({told},)"])


class Text:
    """A number of the text being written; arithmetic on it appends lines."""

    __slots__ = ("lines", "name")

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name, self.lines = name, lines

    def where(self, yes: Any, no: Any) -> Text:
        """`yes` where this truth holds, else `no`."""
        return self.append(f"where({self.name}, {_spelled(yes)}, {_spelled(no)})")

    def safe_divide(self, r: Any) -> Text:
        """r / self, and 0 where there is no mass."""
        return self.append(f"divide({_spelled(r)}, {self.name})")

    def __neg__(self) -> Text:
        return self.append(f"-{self.name}")

    def __abs__(self) -> Text:
        return self.append(f"abs({self.name})")

    def append(self, expression: str) -> Text:
        """Write a line that gives an expression a name; that is returned."""
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return Text(name, self.lines)


def _spelled(x: Any) -> str:
    return x.name if isinstance(x, Text) else f"({x!r})"


def _between(sign: str, *, turned: bool = False) -> Callable[[Text, Any], Text]:
    def method(self: Text, other: Any) -> Text:
        left, right = (other, self) if turned else (self, other)
        return self.append(f"{_spelled(left)} {sign} {_spelled(right)}")

    return method


for _name, _sign in {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**", "and": "&", "or": "|",
    "xor": "^", "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "eq": "==", "ne": "!=",
}.items():  # fmt: skip
    setattr(Text, f"__{_name}__", _between(_sign))
    setattr(Text, f"__r{_name}__", _between(_sign, turned=True))
