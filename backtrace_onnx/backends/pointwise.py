"""Loops made of the text of a function, element by element: few sweeps in place of one per node.

The text is asked once with words that write lines of Python for the entries at one place
(`backends.pointwise_lines`). Words that onnxruntime computes by its own approximations, faster
than a loop would, stay its own: what is written before one makes its argument in a loop, and what
comes behind it reads what it made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.pointwise_lines import Lines, NoLineError, WrittenFunction
from backtrace_onnx.kernels.jit import fused
from backtrace_onnx.kernels.pointwise import everywhere
from backtrace_onnx.kernels.threads import cut, run_all
from backtrace_onnx.ops.vocabulary import Ops, Value

Array = npt.NDArray[Any]
_FEW = 6  # lines around a word that a session computes as fast (scripts/bench/RESULTS.md)


@dataclass(frozen=True)
class _Sweep:
    """A loop over arrays, and the word of what it makes.

    Attributes:
        reads: names of the arrays; None for `loop`: the only one itself.
        word: what onnxruntime makes of it; "" where this is the end.
    """

    reads: tuple[str, ...]
    loop: Callable[..., None] | None
    word: str

    def run(self, arrays: dict[str, Array], ops: Ops) -> Array:
        """What is made of the arrays of these names, which are flat."""
        own = tuple(arrays[name] for name in self.reads)
        made = own[0]
        if self.loop is not None:
            made = np.empty_like(own[0])
            parts = cut(made.size, made.size)
            run_all([partial(self.loop, tuple(x[p] for x in own), made[p]) for p in parts])
        return np.asarray(ops.op(self.word, [made])) if self.word else made


class PointwiseLoops:
    """The sweeps of texts, by the keys that these are known by."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], tuple[_Sweep, ...]] = {}

    def run(self, key: str, text: Callable[..., Value], args: Sequence[Value], ops: Ops) -> Any:
        """`text(ops, *args)` of arrays that are alike; None where no loop does it."""
        shape, dtype = getattr(args[0], "shape", None), ops.dtype
        for x in args:
            if type(x) is not np.ndarray or x.dtype != dtype or x.shape != shape:
                return None
        named = (key, dtype.str, len(args))
        if named not in self._known:
            self._known[named] = _sweeps(text, len(args), dtype)
        if not (sweeps := self._known[named]):
            return None
        arrays = {}
        for i, x in enumerate(args):
            flat = np.ascontiguousarray(x).reshape(-1)
            arrays[f"x{i}"] = flat if flat.flags.writeable else flat.copy()  # one type for loops
        for i, sweep in enumerate(sweeps):
            made = arrays[f"w{i}"] = sweep.run(arrays, ops)
        return made.reshape(shape)


def _sweeps(text: Callable[..., Value], count: int, dtype: np.dtype[Any]) -> tuple[_Sweep, ...]:
    """Those of a text of so many arrays; none where a session does as well, or it has no lines."""
    try:
        lines = Lines.of(text, count, dtype)
    except NoLineError:
        return ()
    if len(lines.lines) <= _FEW * len(lines.words):
        return ()
    parts = [*lines.words, ("", lines.result)]
    return tuple(_sweep(lines.until(result), word, dtype) for word, result in parts)


def _sweep(made: WrittenFunction, word: str, dtype: np.dtype[Any]) -> _Sweep:
    if not made.text:
        return _Sweep(made.reads, None, word)
    return _Sweep(made.reads, fused(everywhere, len(made.reads), made.text, dtype.name), word)


__all__ = ["PointwiseLoops"]
