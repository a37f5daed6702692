"""Collects means over rows while they stream by: of all of them, and of every slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.summary.drawn_rows import RowDraw
from backtrace_onnx.summary.feature_groups import membership
from backtrace_onnx.summary.means import MeanMap, Slice, share_means
from backtrace_onnx.summary.resampling import ResampledMeans, Resamples
from backtrace_onnx.summary.result_rows import ResultRows
from backtrace_onnx.summary.word_means import WordSums

Array = npt.NDArray[Any]
Share = Literal["inputs", "start"]
CLASS = "class"
_VALUES, _BYTES = 50, 1 << 30
_ROLES = ("group", "label", "id")


@dataclass(frozen=True)
class GlobalSettings:
    """What is asked of the rows; see `global_explanation`."""

    by: tuple[str, ...]
    groups: Mapping[str, Sequence[str]]
    share: Share
    resamples: int
    confidence: float
    seed: int
    drawn: int


class _Sums:
    """Sums of one slice."""

    def __init__(self, resamples: int, columns: int) -> None:
        self.shares = ResampledMeans(resamples, columns)
        self.idle = 0
        self.words: dict[str, WordSums] = {}
        self.maps: dict[str, list[Array]] = {}


class Collector:
    """Takes rows in blocks; tells at the end what they are like."""

    def __init__(self, asked: GlobalSettings) -> None:
        self._asked = asked
        self._resamples = Resamples(asked.resamples, asked.seed)
        self._slices: dict[tuple[str, str | None], _Sums] = {}
        self._features: tuple[str, ...] = ()
        self._modules: tuple[str, ...] = ()
        self._groups: tuple[str, ...] = ()
        self._beside: frozenset[str] = frozenset()
        self._member: Array | None = None
        self.draw = RowDraw(asked.drawn, asked.seed)

    def add(self, rows: ResultRows) -> None:
        """Add a block. Raises RequestError where a column or a feature of a group is not there."""
        if self._member is None:
            self._features, self._modules = rows.features, rows.modules
            self._beside = frozenset(rows.beside)
            self._groups, self._member = membership(self._asked.groups, rows.features)
        words = {name: rows.words(name) for name in rows.texts}
        sizes, shares = self._shares(rows)
        columns = self._columns(rows, shares)
        weights = self._resamples.weights(rows.block, rows.count)
        classes = _classes(rows)
        if self._asked.drawn:
            self.draw.add(rows, shares, classes)
        every = np.arange(rows.count)
        self._enter(("", None), every, rows, words, sizes, columns, weights)
        for by in self._asked.by:
            cells = classes if by == CLASS else _cells(rows, by)
            for value in sorted(set(cells), key=lambda v: (v is None, v)):
                at = np.flatnonzero(cells == value)
                self._enter((by, value), at, rows, words, sizes, columns, weights)

    def slices(self) -> list[Slice]:
        """All rows, then what they are told apart by, in their order."""
        order = ("", *self._asked.by)
        keys = sorted(self._slices, key=lambda k: (order.index(k[0]), k[1] is None, k[1] or ""))
        return [self._told(key) for key in keys] or [Slice("", None, 0, 0, ())]

    def _shares(self, rows: ResultRows) -> tuple[Array, Array]:
        """What rows are divided by, and shares float64[rows, features]."""
        relevance = rows.relevance
        if self._asked.share == "start":
            sizes = rows.start
        else:
            sizes = np.abs(relevance).sum(1)
            for name in rows.texts:
                sizes = sizes + rows.token_sizes(name)
        return sizes, _divided(relevance, sizes)

    def _columns(self, rows: ResultRows, shares: Array) -> Array:
        assert self._member is not None
        parts = []
        for part in (shares, shares @ self._member, _divided(rows.received, rows.start)):
            parts += [np.abs(part), part]
        return np.concatenate(parts, 1)

    def _enter(
        self,
        key: tuple[str, str | None],
        at: Array,
        rows: ResultRows,
        words: Mapping[str, Any],
        sizes: Array,
        columns: Array,
        weights: Array,
    ) -> None:
        sums = self._slices.get(key)
        if sums is None:
            sums = self._slices[key] = self._new(key, columns.shape[1])
        if len(at) == rows.count:
            sums.shares.add(weights, columns)
        else:
            sums.shares.add(np.take(weights, at, 1), columns[at])
        sums.idle += int((sizes[at] == 0).sum())
        for name, texts in words.items():
            own = sums.words.setdefault(name, WordSums())
            for i in at:
                own.add(texts[i], float(sizes[i]))
        for name, entry in rows.lists.items():
            if entry.picture:
                pixels = (
                    entry.map(rows.array(name)[at])
                    / np.where(sizes[at], sizes[at], 1)[:, None, None]
                )
                both = [np.abs(pixels).sum(0), pixels.sum(0)]
                known = sums.maps.get(name)
                sums.maps[name] = (
                    [k + n for k, n in zip(known, both, strict=True)] if known else both
                )

    def _new(self, key: tuple[str, str | None], columns: int) -> _Sums:
        if sum(by == key[0] for by, _ in self._slices) >= _VALUES:
            raise RequestError(
                f"{key[0]!r} has more than {_VALUES} values; a column to tell rows apart by has few"
            )
        if (len(self._slices) + 1) * columns * (self._asked.resamples + 1) * 8 > _BYTES:
            raise RequestError(
                f"{len(self._slices) + 1} slices of {columns} numbers with {self._asked.resamples} "
                "resamples each take over 1 GiB; take fewer resamples, or fewer columns in by"
            )
        return _Sums(self._asked.resamples, columns)

    def _told(self, key: tuple[str, str | None]) -> Slice:
        sums, confidence = self._slices[key], self._asked.confidence
        means, intervals = sums.shares.means, sums.shares.intervals(confidence)
        replicates = None if intervals is None else sums.shares.replicates
        told, at = [], 0
        for names in (self._features, self._groups, self._modules):
            own = slice(at, at + 2 * len(names))
            at = own.stop
            parts = [None if p is None else p[own] for p in (means, intervals)]
            drawn = None if replicates is None else replicates[:, own]
            told.append(share_means(names, parts[0], parts[1], drawn, confidence))  # type: ignore[arg-type]
        told[0] = tuple(m for m in told[0] if m.mean_abs or m.name not in self._beside)
        rows = sums.shares.rows
        words = {name: own.found(confidence) for name, own in sums.words.items()}
        maps = {name: MeanMap(*(part / rows for part in both)) for name, both in sums.maps.items()}
        return Slice(*key, rows, sums.idle, told[0], told[1], told[2], words, maps)


def _divided(values: Array, sizes: Array) -> Array:
    """Values [rows, ...] in parts of sizes [rows]; 0 of none."""
    made: Array = np.divide(
        values, sizes[:, None], out=np.zeros_like(values), where=sizes[:, None] > 0
    )
    return made


def _classes(rows: ResultRows) -> Array:
    """[rows]: what each was answered: a label, or an index as text; None without classes."""
    labels, places = rows.cells("prediction_label"), rows.cells("prediction")
    made = np.empty(rows.count, object)
    made[:] = [
        label if label is not None else None if place is None else str(place)
        for label, place in zip(labels, places, strict=True)
    ]
    return made


def _cells(rows: ResultRows, column: str) -> Array:
    names = [c for c in rows.table.column_names if c.split("/")[0] in _ROLES]
    exact = [n for n in names if n == column or n.partition("/")[2] == column]
    if not exact:
        there = [n.partition("/")[2] for n in names]
        close = find_alike(column, there)
        meant = f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(there)}"
        raise RequestError(
            f"rows cannot be told apart by {column!r}: it is not among the columns that were kept"
            f"{meant if there else ' (there are none)'}. {CLASS!r} is what they were answered"
        )
    made = np.empty(rows.count, object)
    made[:] = [None if v is None or v == "" else str(v) for v in rows.cells(exact[0])]
    return made
