"""Words that write a text down as lines of Python, for the entries at one place of its arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import helper

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value

_NUMBERS = {
    "Abs": "abs({0})",
    "Add": "{0} + {1}",
    "Clip": "({1} if {0} < {1} else ({2} if {0} > {2} else {0}))",
    "Div": "{0} / {1}",
    "Expand": "{0}",
    "Identity": "{0}",
    "Max": "({0} if {0} > {1} or {0} != {0} else {1})",
    "Min": "({0} if {0} < {1} or {0} != {0} else {1})",
    "Mul": "{0} * {1}",
    "Neg": "-{0}",
    "Reciprocal": "kind(1) / {0}",
    "Sub": "{0} - {1}",
    "Where": "({1} if {0} else {2})",
}
_TRUTHS = {
    "And": "{0} and {1}",
    "Equal": "{0} == {1}",
    "Greater": "{0} > {1}",
    "GreaterOrEqual": "{0} >= {1}",
    "Less": "{0} < {1}",
    "LessOrEqual": "{0} <= {1}",
    "Not": "not {0}",
    "Or": "{0} or {1}",
}
_WORDS = frozenset(
    {"Cos", "Cosh", "Erf", "Exp", "Log", "Sigmoid", "Sin", "Sinh", "Softplus", "Tanh"}
)
_NAME = re.compile(r"\b[twx]\d+\b")


class NoLineError(Exception):
    """A word of the text has no line."""


class PlaceValue(NamedTuple):
    """The name of a number or a truth; `truth`: which of the two."""

    name: str
    truth: bool = False


class WrittenFunction(NamedTuple):
    """A function, and the arrays whose entries it is called with; "": it is the only one's."""

    text: str
    reads: tuple[str, ...]


class Lines(Ops):
    """Writes lines. Entries of arrays are x0, x1, ..., those of what words make w0, w1, ...

    Attributes:
        lines: by name what it is.
        words: those that are no lines, and the name of what each is applied to.
        result: the name of what the text makes.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype, self.keeps_ledger = dtype, False
        self.lines: dict[str, str] = {}
        self.words: list[tuple[str, str]] = []
        self.result = ""

    @staticmethod
    def of(text: Callable[..., Value], count: int, dtype: np.dtype[Any]) -> Lines:
        """The lines of a text of so many arrays. Raises NoLineError where it cannot be said so."""
        made = Lines(dtype)
        if dtype.kind != "f" or dtype.itemsize < 4:
            raise NoLineError(dtype.name)
        result = made._entry(text(made, *(PlaceValue(f"x{i}") for i in range(count))))
        if result.truth or not _NAME.fullmatch(result.name):
            raise NoLineError("a constant")
        made.result = result.name
        return made

    def until(self, result: str) -> WrittenFunction:
        """What a result takes."""
        needed = {result}
        for name in reversed(self.lines):
            if name in needed:
                needed.update(_NAME.findall(self.lines[name]))
        reads = tuple(sorted(needed - self.lines.keys()))
        if result in reads:
            return WrittenFunction("", reads)
        lines = [f"{name} = {line}" for name, line in self.lines.items() if name in needed]
        body = [f"def function({', '.join(reads)}):", *lines, f"return {result}"]
        return WrittenFunction("\n    ".join(body), reads)

    def op(
        self,
        op_type: str,
        inputs: Sequence[Value],
        attributes: dict[str, Any] | None = None,
        outputs: int = 1,
        domain: str = "",
    ) -> Value:
        if op_type == "Shape":
            return None  # there is one place
        given = [self._entry(x) for x in (inputs[:1] if op_type == "Expand" else inputs)]
        if op_type == "Cast":
            return self._as_number(given[0], attributes or {})
        if op_type == "HardSigmoid":
            return self._hard_sigmoid(given[0], **(attributes or {}))
        if attributes or outputs != 1 or domain:
            raise NoLineError(op_type)
        if op_type in _WORDS and _NAME.fullmatch(given[0].name):
            self.words.append((op_type, given[0].name))
            return PlaceValue(f"w{len(self.words) - 1}")
        written = {**_NUMBERS, **_TRUTHS}.get(op_type, "")
        if len(given) != sum(f"{{{i}}}" in written for i in range(3)):
            raise NoLineError(op_type)  # it is not known, or an input is left out
        return self._write(written.format(*(x.name for x in given)), truth=op_type in _TRUTHS)

    def rerun(self, node: Node, inputs: Sequence[Value]) -> tuple[Value, ...]:
        return (self.op(node.op_type, inputs, dict(node.attributes), 1, node.domain),)

    def apply(self, key: str, text: Callable[..., Value], *args: Value) -> Value:
        return text(self, *args)

    def unbroadcast(self, r: Value, shape: Value) -> Value:
        return r

    def _entry(self, x: Value) -> PlaceValue:
        """A value's entry: that of an array, or a number written out."""
        if isinstance(x, PlaceValue):
            return x
        array = x.array if isinstance(x, Constant) else x
        if not isinstance(array, np.ndarray) or array.size != 1 or array.dtype != self.dtype:
            raise NoLineError("a tensor")
        number = float(array.reshape(()))
        if not np.isfinite(number):
            raise NoLineError("infinity")
        return PlaceValue(f"kind({number!r})")

    def _hard_sigmoid(self, x: PlaceValue, alpha: float = 0.2, beta: float = 0.5) -> PlaceValue:
        line = self.Add(self.Mul(self.scalar(alpha), x), self.scalar(beta))
        made: PlaceValue = self.Clip(line, self.zero(), self.scalar(1))
        return made

    def _as_number(self, x: PlaceValue, attributes: dict[str, Any]) -> PlaceValue:
        if attributes.get("to") != helper.np_dtype_to_tensor_dtype(self.dtype):
            raise NoLineError("Cast")
        return self._write(f"(kind(1) if {x.name} else kind(0))") if x.truth else x

    def _write(self, expression: str, *, truth: bool = False) -> PlaceValue:
        name = f"t{len(self.lines)}"
        self.lines[name] = expression
        return PlaceValue(name, truth)


__all__ = ["Lines", "NoLineError", "PlaceValue", "WrittenFunction"]
