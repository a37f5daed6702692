"""The words for slopes, written as nodes that keep the layout of convolutions in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from onnx import NodeProto, helper

from backtrace_onnx.backends.symbols import Symbol, SymbolicOps
from backtrace_onnx.ops.statistics import damped
from backtrace_onnx.ops.vocabulary import Value

BLOCK = 16
"""Channels in the greatest block in which onnxruntime's convolutions lay out tensors."""


def is_layout(node: NodeProto) -> bool:
    """Whether a node is what `in_blocks` writes."""
    one = [helper.make_attribute("kernel_shape", [1, 1])]
    return node.op_type == "AveragePool" and list(node.attribute) == one


class _Switched(NamedTuple):
    """Slopes m of y = max(0, t), switched off where y is 0: they are slopes of t."""

    t: str
    y: Value
    m: Value


class SlopeWriter(SymbolicOps):
    """What the emitting backend has where slopes travel.

    Args:
        blocks: whether `in_blocks` is worth a node, as it is in files.
    """

    def __init__(self, *, blocks: bool) -> None:
        self._blocks = blocks
        self._switched: dict[str, _Switched] = {}

    def switch(self, y: Value, m: Value, *, bounded: bool, of: Callable[[], Value]) -> Value:
        made = super().switch(y, m, bounded=bounded, of=of)
        if bounded:
            self._switched[made.name] = _Switched(self.symbol(of()).name, y, m)
        return made

    def damp(
        self,
        t: Value,
        m: Value,
        epsilon: float,
        sample_axis: int | None,
        known: Sequence[int | str | None],
        squares: Value | None = None,
    ) -> tuple[Value, Value | None]:
        how = (epsilon, sample_axis, self.sample_count, known)
        cut = self._switched.get(m.name) if isinstance(m, Symbol) else None
        if cut is not None and cut.t == self.symbol(t).name:
            kept = damped(self, t, cut.m, *how, cut=cut.y)  # the switch itself is left out
        else:
            kept = damped(self, t, m, *how)
        if not self.keeps_ledger:
            return kept, None
        return kept, self.total(self.Mul(t, self.Sub(m, kept)), sample_axis)

    def in_blocks(self, x: Value, known: Sequence[int | str | None]) -> Value:
        """A pool of single elements, which changes no number.

        onnxruntime keeps sums and products in the layout of its convolutions where all that they
        are made of has it, and lays out in it what it pools, if the channels fill whole blocks.
        """
        channels = known[1] if len(known) == 4 else None
        if not self._blocks or self.dtype != np.float32 or not isinstance(channels, int):
            return x
        return x if channels % BLOCK else self.AveragePool(x, kernel_shape=[1, 1])


__all__ = ["BLOCK", "SlopeWriter", "is_layout"]
