"""Loops made of the text of a function, element by element: one sweep in place of one per node.

The text is asked once with words that write lines of Python for the entries at one place. Words
that onnxruntime computes by its own approximations, faster than a loop would, have no line: a text
with one of them stays a session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import helper

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.kernels.jit import fused
from backtrace_onnx.kernels.pointwise import TEMPLATES
from backtrace_onnx.kernels.threads import cut, run_all
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value

Array = npt.NDArray[Any]

_NUMBERS = {
    "Add": "{0} + {1}",
    "Clip": "({1} if {0} < {1} else ({2} if {0} > {2} else {0}))",
    "Div": "{0} / {1}",
    "Expand": "{0}",
    "Identity": "{0}",
    "Mul": "{0} * {1}",
    "Neg": "-{0}",
    "Reciprocal": "kind(1) / {0}",
    "Sub": "{0} - {1}",
    "Abs": "abs({0})",
    "Max": "({0} if {0} > {1} or {0} != {0} else {1})",
    "Min": "({0} if {0} < {1} or {0} != {0} else {1})",
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


class _NoLineError(Exception):
    """A word of the text has no line."""


class _Entry(NamedTuple):
    """The name of a number or a truth; `truth`: which of the two."""

    name: str
    truth: bool = False


class _Lines(Ops):
    """Writes a text for the entries at one place."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype, self.lines, self.keeps_ledger = dtype, list[str](), False

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
        given = [self.entry(x) for x in (inputs[:1] if op_type == "Expand" else inputs)]
        if op_type == "Cast" and len(given) == 1:
            return self._as_number(given[0], attributes or {})
        if op_type == "HardSigmoid":
            return self._hard_sigmoid(given[0], **(attributes or {}))
        written = {**_NUMBERS, **_TRUTHS}.get(op_type)
        if written is None or attributes or outputs != 1 or domain:
            raise _NoLineError(op_type)
        if len(given) != sum(f"{{{i}}}" in written for i in range(3)):
            raise _NoLineError(op_type)  # an input is left out, or there are more than two
        return self._write(written.format(*(x.name for x in given)), truth=op_type in _TRUTHS)

    def rerun(self, node: Node, inputs: Sequence[Value]) -> tuple[Value, ...]:
        return (self.op(node.op_type, inputs, dict(node.attributes), 1, node.domain),)

    def apply(self, key: str, text: Callable[..., Value], *args: Value) -> Value:
        return text(self, *args)

    def unbroadcast(self, r: Value, shape: Value) -> Value:
        return r

    def entry(self, x: Value) -> _Entry:
        """A value's entry: that of an array, or a number written out."""
        if isinstance(x, _Entry):
            return x
        array = x.array if isinstance(x, Constant) else x
        if not isinstance(array, np.ndarray) or array.size != 1 or array.dtype != self.dtype:
            raise _NoLineError("a tensor")
        number = float(array.reshape(()))
        if not np.isfinite(number):
            raise _NoLineError("infinity")
        return _Entry(f"kind({number!r})")

    def _hard_sigmoid(self, x: _Entry, alpha: float = 0.2, beta: float = 0.5) -> _Entry:
        line = self.Add(self.Mul(self.scalar(alpha), x), self.scalar(beta))
        made: _Entry = self.Clip(line, self.zero(), self.scalar(1))
        return made

    def _as_number(self, x: _Entry, attributes: dict[str, Any]) -> _Entry:
        if attributes.get("to") != helper.np_dtype_to_tensor_dtype(self.dtype):
            raise _NoLineError("Cast")
        return self._write(f"(kind(1) if {x.name} else kind(0))") if x.truth else x

    def _write(self, expression: str, *, truth: bool = False) -> _Entry:
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return _Entry(name, truth)


class PointwiseLoops:
    """The loops of texts, by the keys that these are known by."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], Callable[..., None] | None] = {}

    def run(
        self, key: str, text: Callable[..., Value], args: Sequence[Value], dtype: np.dtype[Any]
    ) -> Array | None:
        """`text(ops, *args)` of arrays that are alike; None where no loop does it."""
        shape = getattr(args[0], "shape", None)
        for x in args:
            if type(x) is not np.ndarray or x.dtype != dtype or x.shape != shape:
                return None
        named = (key, dtype.str, len(args))
        if named not in self._known:
            self._known[named] = _loop(text, len(args), dtype)
        loop = self._known[named]
        if loop is None:
            return None
        made = np.empty(args[0].shape, dtype)
        flat = [np.ascontiguousarray(x).reshape(-1) for x in (*args, made)]
        flat = [x if x.flags.writeable else x.copy() for x in flat]  # one type for the loop
        parts = cut(made.size, made.size)
        if len(parts) == 1:
            loop(*flat)
        else:
            run_all([partial(loop, *(x[part] for x in flat)) for part in parts])
        return made


def _loop(
    text: Callable[..., Value], count: int, dtype: np.dtype[Any]
) -> Callable[..., None] | None:
    """The loop of a text of so many arrays; None where it has none."""
    if count not in TEMPLATES or dtype.kind != "f" or dtype.itemsize < 4:
        return None
    lines, names = _Lines(dtype), [f"x{i}" for i in range(count)]
    try:
        made = lines.entry(text(lines, *map(_Entry, names)))
    except _NoLineError:
        return None
    if made.truth:
        return None
    body = [f"def function({', '.join(names)}):", *lines.lines, f"return {made.name}"]
    found: Callable[..., None] = fused(TEMPLATES[count], "\n    ".join(body), dtype.name)
    return found


__all__ = ["PointwiseLoops"]
