"""Keeping the books of a walk: totals of what every node received, sent on, absorbed and lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.ops.vocabulary import Ops
from backtrace_onnx.propagation.gauges import NOWHERE, Gauges
from backtrace_onnx.propagation.known_totals import KnownTotal, entries_of, total_of
from backtrace_onnx.propagation.ledger import (
    KINDS,
    Balance,
    Ledger,
    NodeBooks,
    Sizes,
    settled,
)
from backtrace_onnx.propagation.node_step import NodeStep
from backtrace_onnx.structures.base import Channels

Totals = npt.NDArray[np.float64]


class Books:
    """Collects totals node by node, as arrays or, while a graph is written, as symbols.

    Attributes:
        rows: by node: kind -> totals per channel; "incoming" beside the booked kinds.
        sent: by node: tensor -> totals per channel, parts of "data".
        dropping: nodes whose rest is unassigned without being booked.
        ends: totals per channel of the start, and of what reached the inputs; and of their sizes.
        cut: by tensor: totals per channel of what did not pass its condition.
    """

    def __init__(self, ops: Ops, axes: SampleAxes, gauges: Gauges = NOWHERE) -> None:
        self._ops, self._axes, self.gauges = ops, axes, gauges
        self._shared: list[list[Any]] = []
        self._entered: list[list[Any]] = []
        self.rows: dict[str, dict[str, list[list[Any]]]] = {}
        self.sent: dict[str, dict[str, list[list[Any]]]] = {}
        self.operators: dict[str, str] = {}
        self.dropping: set[str] = set()
        self.ends: dict[str, list[list[Any]]] = {}
        self.cut: dict[str, list[list[Any]]] = {}

    def enter_cut(self, tensor: str, r: Channels) -> None:
        """Enter relevance that did not pass a tensor's condition."""
        self.cut[tensor] = [[total] for total in self.totals(r, tensor)]

    def enter(self, step: NodeStep) -> None:
        """Enter a node that is done: what it received, and what it booked of that.

        A node that is walked some rows at a time is entered for each of them.
        """
        if not self._ops.keeps_ledger:
            return
        node, incoming, handed = step.node, step.books["incoming"], step.handed()
        for name, r in zip(node.outputs, handed, strict=True):
            if r is not None:
                axis = None if type(r[0]) is KnownTotal else self._axes(name)
                for x, totals in zip(r, incoming, strict=False):
                    known = type(x) is KnownTotal
                    totals.append(x.total if known else self._ops.total(x, axis))
        if node.name in self.gauges.nodes:
            self._gauge(step, handed)
        if node.name not in self.rows:
            self.rows[node.name], self.sent[node.name] = step.books, step.sent
            self.operators[node.name] = node.operator
        else:
            _add_to(self.rows[node.name], step.books)
            _add_to(self.sent[node.name], step.sent)
        if step.drops:
            self.dropping.add(node.name)

    def _gauge(self, step: NodeStep, handed: Sequence[Channels | None]) -> None:
        """Sizes where they are to be known."""
        gauges, node = self.gauges, step.node
        if node.name in gauges.sharing:
            for i, sent in step.given:
                axis = step.piece_axis(i)
                self._shared.append([self._ops.total(x, axis) for x in self._sizes(sent)])
        for name, r in zip(node.outputs, handed, strict=True):
            if name in gauges.entries and r is not None:
                self._entered.append(self.totals(self._sizes(r), name))

    def begin(self, output: str, start: Channels) -> None:
        """Enter the start of the walk, at `output`."""
        self.ends["start"] = [[total] for total in self.totals(start, output)]
        sizes = self.totals(self._sizes(start), output)
        self.ends["size of start"] = [[total] for total in sizes]

    def finish(self, inputs: Mapping[str, Channels]) -> None:
        """Enter the end of the walk: what reached the inputs."""
        reached = [self.totals(r, tensor) for tensor, r in inputs.items()]
        sizes = {tensor: self.totals(self._sizes(r), tensor) for tensor, r in inputs.items()}
        entered = [totals for tensor, totals in sizes.items() if tensor in self.gauges.entries]
        channels = range(len(self.ends["start"]))
        self.ends = {
            "start": self.ends["start"],
            "inputs": _by_channel(reached, channels),
            "size of start": self.ends["size of start"],
            "size of inputs": _by_channel(list(sizes.values()), channels),
            "size of what is shared": _by_channel(self._shared, channels),
            "size of what entered": _by_channel([*self._entered, *entered], channels),
        }

    def _sizes(self, r: Channels) -> Channels:
        return [self._ops.Abs(entries_of(x)) for x in r]

    def ledger(self, count: int, read: Callable[[Any], Any] | None = None) -> Ledger:
        """The ledger of `count` samples; `read` makes float64[samples] of a total that is none.

        Where no books of nodes were kept, it says what started and what reached the inputs.
        """
        channels = len(self.ends["start"])
        lists = [totals for table in self._tables() for row in table for totals in row]
        sums = iter(_summed(lists, count, read).reshape(-1, channels, count))
        start, inputs, *sizes = islice(sums, len(self.ends))
        if not self._ops.keeps_ledger:
            return Ledger({}, Balance(start, inputs, np.zeros_like(start), start - inputs))
        rows = np.array([*islice(sums, len(KINDS) * len(self.rows))])
        books = rows.reshape(len(self.rows), len(KINDS), channels, count).swapaxes(0, 1)
        sent = {node: dict(zip(row, sums, strict=False)) for node, row in self.sent.items()}
        cut = dict(zip(self.cut, sums, strict=True))
        return self._closed(books, sent, start, inputs, Sizes(*sizes), cut)

    def _closed(
        self,
        books: Totals,
        sent: Mapping[str, Mapping[str, Totals]],
        start: Totals,
        inputs: Totals,
        sizes: Sizes,
        cut: Mapping[str, Totals],
    ) -> Ledger:
        """The ledger of sums: of nodes [kind, node, channel, sample], all others [channel,
        sample]."""
        incoming, data, constants, unassigned = books
        for i, node in enumerate(self.rows):
            if node in self.dropping:
                unassigned[i] = incoming[i] - data[i] - constants[i]
        absorbed, lost, stopped = (
            sum(totals, np.zeros_like(start)) for totals in (constants, unassigned, cut.values())
        )
        if not self.rows:  # the start's own node is not walked: no input reaches it
            lost = start - inputs - stopped
        balance = Balance(start, inputs, absorbed, lost, stopped)
        nodes = NodeBooks(self.operators, books, sent)
        return settled(nodes, balance, sizes, cut, self.gauges.rounding)

    def every(self) -> Iterator[Any]:
        """All totals that were entered; the compiler makes an output of each."""
        for table in self._tables():
            for row in table:
                for totals in row:
                    yield from totals

    def _tables(self) -> Iterator[list[list[list[Any]]]]:
        """Totals by row of a table, channel, and as they were entered."""
        yield [*self.ends.values()]
        for by_node in (self.rows, self.sent):
            yield [channels for row in by_node.values() for channels in row.values()]
        yield [*self.cut.values()]

    def totals(self, r: Channels, tensor: str) -> list[Any]:
        """Total per channel of a tensor's relevance."""
        return [total_of(x, partial(self._axes, tensor), self._ops) for x in r]


def _add_to(books: dict[str, list[list[Any]]], more: Mapping[str, list[list[Any]]]) -> None:
    """Add totals per channel, by kind or tensor, to those that are there."""
    for kind, channels in more.items():
        for known, totals in zip(
            books.setdefault(kind, [[] for _ in channels]), channels, strict=True
        ):
            known.extend(totals)


def _by_channel(rows: Sequence[Sequence[Any]], channels: Iterable[int]) -> list[list[Any]]:
    return [[totals[channel] for totals in rows] for channel in channels]


def _summed(
    lists: Sequence[Sequence[Any]], count: int, read: Callable[[Any], Any] | None
) -> Totals:
    """The sum of each list of totals, float64[lists, samples]; all at once, as they are many."""
    every = [total for totals in lists for total in totals]
    if not every:
        return np.zeros((len(lists), count))
    totals = np.array(every if read is None else [*map(read, every)])
    places = np.repeat(np.arange(len(lists)), [*map(len, lists)])
    if count > 1:
        places = (places[:, None] * count + np.arange(count)).ravel()
    sums = np.bincount(places, totals.ravel(), len(lists) * count)  # in their order
    return np.asarray(sums, np.float64).reshape(len(lists), count)
