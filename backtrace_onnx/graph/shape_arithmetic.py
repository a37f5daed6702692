"""Arithmetic on the numbers that shapes are made of, as exporters write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import add, floordiv, mod, mul, sub

Numbers = tuple[int, ...]

ARITHMETIC: Mapping[str, Callable[[int, int], int]] = {
    "Add": add,
    "Sub": sub,
    "Mul": mul,
    "Div": floordiv,
    "Mod": mod,
}


def reckoned(op_type: str, a: Numbers | None, b: Numbers | None) -> Numbers | None:
    """What the operator makes of numbers, one by one, or of all and a single one.

    None where they are not known, or a quotient is no whole number: of floats it is another one.
    """
    if not a or not b or (len(a) != len(b) and 1 not in (len(a), len(b))):
        return None
    size = max(len(a), len(b))
    pairs = [*zip(a * (size // len(a)), b * (size // len(b)), strict=True)]
    if op_type == "Div" and any(not q or p % q for p, q in pairs):
        return None
    if op_type == "Mod" and not all(q > 0 for _, q in pairs):
        return None
    return tuple(ARITHMETIC[op_type](*pair) for pair in pairs)


__all__ = ["ARITHMETIC", "reckoned"]
