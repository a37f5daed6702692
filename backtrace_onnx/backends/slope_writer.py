"""The words for slopes, written as nodes that keep the layout of convolutions in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

from backtrace_onnx.backends.symbols import Symbol, SymbolicOps
from backtrace_onnx.backends.written_nodes import WrittenNodes
from backtrace_onnx.ops.statistics import damped
from backtrace_onnx.ops.vocabulary import Value

BLOCK = 16
"""Channels in the greatest block in which onnxruntime's convolutions lay out tensors."""
_PICTURE = 4  # axes: samples, channels, height and width


def is_layout(node: NodeProto) -> bool:
    """Whether a node is what `in_blocks` writes."""
    one = [helper.make_attribute("kernel_shape", [1, 1])]
    return node.op_type == "AveragePool" and list(node.attribute) == one


class _Ended(NamedTuple):
    """Slopes of t that were m times y / t, or m where y is no 0: y = max(0, t) then."""

    t: str
    y: Value
    m: Value
    switched: bool


class SlopeWriter(SymbolicOps):
    """What the emitting backend has where slopes travel.

    Args:
        blocks: whether `in_blocks` is worth a node, as it is in files.
        known: the nodes of the model that is written behind.
    """

    nodes: list[NodeProto]
    constants: dict[str, npt.NDArray[Any]]

    def __init__(self, *, blocks: bool, known: WrittenNodes | None) -> None:
        self._blocks = blocks
        self._ended: dict[str, _Ended] = {}
        self._file = known or WrittenNodes()

    def switch(self, y: Value, m: Value, *, bounded: bool, of: Callable[[], Value]) -> Value:
        made = super().switch(y, m, bounded=bounded, of=of)
        if bounded:
            self._ended[made.name] = _Ended(self.symbol(of()).name, y, m, switched=True)
        return made

    def times_ratio(
        self, key: str, text: Callable[..., Value], x: Value, m: Value, of: Callable[[], Value]
    ) -> Value:
        made = super().times_ratio(key, text, x, m, of)
        self._ended[made.name] = _Ended(self.symbol(x).name, of(), m, switched=False)
        return made

    def turned_product(self, a: Value, b: Value, rank: int) -> Value:
        """Of what was turned already, as (b^T a)^T.

        onnxruntime would make one transposition of both, which it joins to no product; that of b
        it joins, and that of the whole is one with the next, as keys of attention are turned, too.
        """
        self._file.follow(self.nodes)
        if not self._file.is_made_by(self.symbol(a).name, "Transpose"):
            return super().turned_product(a, b, rank)
        return self.turned(self.MatMul(self.turned(b, rank), a), rank)

    def row_sums(self, m: Value, y: Value, over: Value) -> Value:
        self._file.follow(self.nodes)
        names = self.symbol(m).name, self.symbol(y).name
        found = self._file.product_before(*names, int(over[0])) if len(over) == 1 else None
        if found is None:
            return super().row_sums(m, y, over)
        (base, part), o = self._file.unscaled(found[0], self.constants), found[1]
        return self._times(super().row_sums(Symbol(self, base), Symbol(self, o), over), part)

    def damp(
        self,
        t: Value,
        m: Value,
        epsilon: float,
        sample_axis: int | None,
        known: Sequence[int | str | None],
        squares: Value | None = None,
    ) -> tuple[Value, Value | None]:
        self._file.follow(self.nodes)
        if self._file.is_made_by(self.symbol(t).name, "MatMul"):
            known = (*known, 1)  # no pictures: scores of attention have as many axes
        how = (epsilon, sample_axis, self.sample_count, known)
        ended = self._ended.get(m.name) if isinstance(m, Symbol) else None
        if ended is not None and ended.t != self.symbol(t).name:
            ended = None
        if ended is not None and ended.switched:  # the switch itself is left out
            kept = damped(self, t, ended.m, *how, cut=ended.y)
        elif self.keeps_ledger or self._fills_blocks(known):
            kept = damped(self, t, m, *how)
        else:
            kept = self._damped(t, m, ended, how)
        if not self.keeps_ledger:
            return kept, None
        return kept, self.total(self.Mul(t, self.Sub(m, kept)), sample_axis)

    def _damped(
        self, t: Value, m: Value, ended: _Ended | None, how: tuple[Any, Any, Any, Any]
    ) -> Value:
        """Slopes damped, of what the model makes anyway; factors come last, where products take
        them in."""
        m = self.symbol(m if ended is None else ended.m).name
        base, part = self._file.unscaled(m, self.constants)
        if ended is None:  # of a multiple of units the same is left as of these
            t, _ = self._file.multiple(self.symbol(t).name)
            kept = damped(self, Symbol(self, t), Symbol(self, base), *how)
        else:
            y, factor = self._file.multiple(self.symbol(ended.y).name)
            kept = damped(self, t, Symbol(self, base), *how, left=Symbol(self, y))
            part /= abs(factor)
        return self._times(kept, part)

    def _times(self, x: Value, factor: float) -> Value:
        return x if factor == 1 else self.Mul(x, self.scalar(factor))

    def in_blocks(self, x: Value, known: Sequence[int | str | None]) -> Value:
        """A pool of single elements, which changes no number.

        onnxruntime keeps sums and products in the layout of its convolutions where all that they
        are made of has it, and lays out in it what it pools, if the channels fill whole blocks.
        """
        return self.AveragePool(x, kernel_shape=[1, 1]) if self._fills_blocks(known) else x

    def _fills_blocks(self, known: Sequence[int | str | None]) -> bool:
        channels = known[1] if len(known) == _PICTURE else None
        fills = isinstance(channels, int) and channels % BLOCK == 0
        return self._blocks and self.dtype == np.float32 and fills


__all__ = ["BLOCK", "SlopeWriter", "is_layout"]
