"""Keeping the books of a walk: totals of what every node received, sent on, absorbed and lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.ops.vocabulary import Ops
from backtrace_onnx.propagation.gauges import NOWHERE, Gauges
from backtrace_onnx.propagation.ledger import Balance, Entry, Ledger, Sizes, settled
from backtrace_onnx.propagation.node_step import NodeStep
from backtrace_onnx.structures.base import Channels

Totals = npt.NDArray[np.float64]
BOOKED = ("data", "constants", "unassigned")


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
                for channel, total in enumerate(self.totals(r, name)):
                    incoming[channel].append(total)
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
            for sent, axis in step.given:
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
        return [self._ops.Abs(x) for x in r]

    def ledger(self, count: int, read: Callable[[Any], Any] | None = None) -> Ledger:
        """The ledger of `count` samples; `read` makes float64[samples] of a total that is none.

        Where no books of nodes were kept, it says what started and what reached the inputs.
        """
        channels = len(self.ends["start"])
        ends, rows, sent, cut = (_summed(table, channels, count, read) for table in self._tables())
        start, inputs, *sizes = ends[""].values()
        if not self._ops.keeps_ledger:
            return Ledger({}, Balance(start, inputs, np.zeros_like(start), start - inputs))
        how = (self.operators, self.dropping, start, inputs, sent, Sizes(*sizes))
        return close(rows, *how, cut[""])

    def every(self) -> Iterator[Any]:
        """All totals that were entered; the compiler makes an output of each."""
        for table in self._tables():
            for row in table.values():
                for kind in row.values():
                    for totals in kind:
                        yield from totals

    def _tables(self) -> tuple[dict[str, dict[str, list[list[Any]]]], ...]:
        return {"": self.ends}, self.rows, self.sent, {"": self.cut}

    def totals(self, r: Channels, tensor: str) -> list[Any]:
        """Total per channel of a tensor's relevance."""
        axis = self._axes(tensor)
        return [self._ops.total(x, axis) for x in r]


def _add_to(books: dict[str, list[list[Any]]], more: Mapping[str, list[list[Any]]]) -> None:
    """Add totals per channel, by kind or tensor, to those that are there."""
    for kind, channels in more.items():
        for known, totals in zip(
            books.setdefault(kind, [[] for _ in channels]), channels, strict=True
        ):
            known.extend(totals)


def _by_channel(rows: Sequence[Sequence[Any]], channels: Iterable[int]) -> list[list[Any]]:
    return [[totals[channel] for totals in rows] for channel in channels]


def close(
    rows: Mapping[str, Mapping[str, Totals]],
    operators: Mapping[str, str],
    dropping: set[str],
    start: Totals,
    inputs: Totals,
    sent: Mapping[str, Mapping[str, Totals]],
    sizes: Sizes | None = None,
    cut: Mapping[str, Totals] | None = None,
) -> Ledger:
    """The ledger that follows from totals of the nodes, float64[channel, sample] by kind and
    tensor.
    """
    entries: dict[str, Entry] = {}
    for name, books in rows.items():
        kinds = {kind: books[kind] for kind in BOOKED}
        if name in dropping:
            kinds["unassigned"] = books["incoming"] - books["data"] - books["constants"]
        entries[name] = Entry(name, operators[name], books["incoming"], **kinds, sent=sent[name])
    every = entries.values()
    constants = sum([e.constants for e in every], np.zeros_like(start))
    unassigned = sum([e.unassigned for e in every], np.zeros_like(start))
    lost = sum((cut or {}).values(), np.zeros_like(start))
    return settled(entries, Balance(start, inputs, constants, unassigned, lost), sizes, cut)


def _summed(
    rows: Mapping[str, Mapping[str, list[list[Any]]]],
    channels: int,
    count: int,
    read: Callable[[Any], Any] | None,
) -> dict[str, dict[str, Totals]]:
    """Sums [channel, sample] of the totals booked for each node; all at once, as they are many."""
    lists = [totals for row in rows.values() for kind in row.values() for totals in kind]
    every = [total for totals in lists for total in totals]
    sums = np.zeros((len(lists), count))
    if every:
        where = np.repeat(np.arange(len(lists)), [*map(len, lists)])
        np.add.at(sums, where, np.array(every if read is None else [*map(read, every)]))
    left = iter(sums.reshape(-1, channels, count))
    return {node: dict(zip(row, left, strict=False)) for node, row in rows.items()}
