"""Operators that count how often short sequences (n-grams) occur in a longer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.base import Channels, Pieces, Step, Structure


@dataclass(frozen=True)
class Grams:
    """The n-grams of one length that are counted.

    Attributes:
        terms: strings or numbers [grams, length].
        columns: place of the output where each is counted, int64[grams].
        strides: distances at which the terms of one may stand, 1 + the terms skipped between.
    """

    terms: npt.NDArray[Any]
    columns: npt.NDArray[np.int64]
    strides: tuple[int, ...]

    @property
    def length(self) -> int:
        """Terms of one gram."""
        return int(self.terms.shape[1])


@dataclass(frozen=True)
class Occurrences(Structure):
    """Columns count, perhaps weighted, how often grams occur in x[length] or x[samples, length].

    A column's relevance is shared in equal parts by the occurrences of its gram, and by the terms
    of each; a gram that does not occur leaves it unassigned. It takes memory for samples x grams x
    length numbers.

    Attributes:
        columns: how many there are.
        alone: whether x is one sample without an axis for it.
    """

    grams: tuple[Grams, ...]
    columns: int
    alone: bool
    values: tuple[int, ...] = (0,)
    shapes: tuple[int, ...] = (0,)
    converts: bool = True

    def propagate(self, step: Step) -> Pieces:
        ops = step.ops
        if any(grams.terms.dtype.kind == "O" for grams in self.grams):
            ops.require(19, "comparing texts")
        cover = ops.apply(f"{step.node.name}/cover", self._cover, step.condition(0))
        sent: Channels = []
        for channel, r in enumerate(step.r):
            piece = ops.Reshape(self._shared(ops, r, cover), step.shape(0))
            sent.append(piece)
            if ops.keeps_ledger:
                whole, shared = (ops.total(x, step.sample_axis()) for x in (r, piece))
                step.book("unassigned", channel, ops.Sub(whole, shared))
        return {0: sent}

    def _shared(self, e: Ops, r: Value, cover: Value) -> Value:
        """Every column's relevance over the places its grams cover."""
        count = e.ReduceSum(cover, ints(-1), keepdims=0)
        per_gram = e.Div(e.Reshape(r, e.Shape(count)), e.Max(count, e.scalar(1)))
        return e.MatMul(e.Unsqueeze(per_gram, ints(1)), cover)

    def _cover(self, e: Ops, x: Value) -> Value:
        """Share of every place in the occurrences of a column's gram, [samples, columns, length].

        Over the places of a column they sum to the number of occurrences.
        """
        if self.grams[0].terms.dtype.kind == "i":
            x = e.Cast(x, to=TensorProto.INT64)
        x = e.Reshape(x, ints(1, 1, -1)) if self.alone else e.Unsqueeze(x, ints(1))
        size = e.Squeeze(e.Shape(x, start=2, end=3))
        places = e.Range(np.int64(0), size, np.int64(1))
        found = [self._covered(e, x, grams, places, size) for grams in self.grams]
        order = np.full(self.columns, sum(len(g.columns) for g in self.grams), np.int64)
        order[np.concatenate([g.columns for g in self.grams])] = np.arange(order.max())
        none = e.Mul(e.Slice(found[0], ints(0), ints(1), ints(1)), e.scalar(0))
        return e.Gather(e.Concat(*found, none, axis=1), order, axis=1)

    def _covered(self, e: Ops, x: Value, grams: Grams, places: Value, size: Value) -> Value:
        covered = []
        for stride in grams.strides:
            hits = self._hits(e, x, grams, places, size, stride)
            for k in range(grams.length):
                first = e.Sub(places, np.int64(k * stride))
                moved = e.Gather(hits, e.Max(first, np.int64(0)), axis=2)
                inside = e.Cast(e.GreaterOrEqual(first, np.int64(0)), to=e.float_type)
                covered.append(e.Mul(moved, e.Mul(inside, e.scalar(1 / grams.length))))
        return e.sum(covered)

    def _hits(
        self, e: Ops, x: Value, grams: Grams, places: Value, size: Value, stride: int
    ) -> Value:
        """1 where an occurrence begins [samples, grams, length]."""
        last = e.Add(places, np.int64((grams.length - 1) * stride))
        hit = e.Less(last, size)
        for k in range(grams.length):
            place = e.Min(e.Add(places, np.int64(k * stride)), e.Sub(size, np.int64(1)))
            same = e.Equal(e.Gather(x, place, axis=2), grams.terms[:, k : k + 1])
            hit = e.And(hit, same)
        return e.Cast(hit, to=e.float_type)
