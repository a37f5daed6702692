"""A policy's function as a text that Numba compiles, whatever its author's text refers to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from backtrace_onnx import policies
from backtrace_onnx.scalars import Scalar, number


def written(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function of `count` numbers that `function` computes, line by line.

    Dictionaries, objects and functions it reads are numbers by then: those they hold now.
    """
    lines: list[str] = []
    names = [f"x{i}" for i in range(count)]
    made = function(*(Scalar(Text(name, lines)) for name in names))
    told = ", ".join(f"({', '.join(_spelled(number(x)) for x in part)},)" for part in made)
    text = "\n    ".join([f"def coefficients({', '.join(names)}):", *lines, f"return ({told},)"])
    space = {"where": policies.where, "divide": policies.divide, "inf": math.inf, "nan": math.nan}
    exec(compile(text, "<policy>", "exec"), space)  # of names and numbers only
    result: Callable[..., Any] = space["coefficients"]  # type: ignore[assignment]
    return result


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
        """A line that gives an expression a name."""
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
