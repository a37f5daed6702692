"""Keeping the books of a walk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from backtrace_onnx.backends.base import Ops, Value, ints
from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.engine import NodeStep
from backtrace_onnx.ledger import Balance, Entry, Ledger, settled
from backtrace_onnx.samples import SampleAxes
from backtrace_onnx.structures.base import Channels

Totals = npt.NDArray[np.float64]
BOOKED = ("data", "constants", "unassigned")


class Books:
    """Collects totals, as arrays or as symbols, node by node.

    Attributes:
        rows: by node: kind -> totals per channel; "incoming" beside the booked kinds.
        sent: by node: tensor -> totals per channel, parts of "data".
        dropping: nodes whose rest is unassigned without being booked.
    """

    def __init__(self, ops: Ops, axes: SampleAxes) -> None:
        self._ops, self._axes = ops, axes
        self.rows: dict[str, dict[str, list[list[Any]]]] = {}
        self.sent: dict[str, dict[str, list[list[Any]]]] = {}
        self.operators: dict[str, str] = {}
        self.dropping: set[str] = set()

    def enter(self, step: NodeStep) -> None:
        """A node is done."""
        with self._ops.scope(step.node.name):
            incoming: list[list[Any]] = [[] for _ in range(step.policy.channels)]
            for name, r in zip(step.node.outputs, step.outgoing, strict=True):
                if r is not None:
                    for channel, total in enumerate(self.totals(r, name)):
                        incoming[channel].append(total)
        self.rows[step.node.name] = {"incoming": incoming, **step.books}
        self.sent[step.node.name] = step.sent
        self.operators[step.node.name] = step.node.operator
        if step.drops:
            self.dropping.add(step.node.name)

    def totals(self, r: Channels, tensor: str) -> list[Any]:
        """Total per channel of a tensor's relevance."""
        return [self._ops.total(x, self._axes(tensor)) for x in r]


def close(
    rows: Mapping[str, Mapping[str, Totals]],
    operators: Mapping[str, str],
    dropping: set[str],
    start: Totals,
    inputs: Totals,
    sent: Mapping[str, Mapping[str, Totals]],
) -> Ledger:
    """The ledger of the nodes' totals, float64[channel, sample] by kind and by tensor."""
    entries: dict[str, Entry] = {}
    for name, books in rows.items():
        kinds = {kind: books[kind] for kind in BOOKED}
        if name in dropping:
            kinds["unassigned"] = books["incoming"] - books["data"] - books["constants"]
        entries[name] = Entry(name, operators[name], books["incoming"], **kinds, sent=sent[name])
    constants = sum((e.constants for e in entries.values()), np.zeros_like(start))
    unassigned = sum((e.unassigned for e in entries.values()), np.zeros_like(start))
    return settled(entries, Balance(start, inputs, constants, unassigned))


def write_books(
    ops: EmitOps, books: Books, start: tuple[str, Channels], inputs: Mapping[str, Channels]
) -> list[onnx.ValueInfoProto]:
    """Write totals as outputs float64[kind, channel, sample].

    `ledger/NODE` has the kinds incoming, data, constants, unassigned, and then a row for each
    tensor that data went to; `ledger:start` and `ledger:inputs` have one kind each.
    """
    name, channels = start
    begun = [[total] for total in books.totals(channels, name)]
    reached: list[list[Any]] = [[] for _ in channels]
    for tensor, r in inputs.items():
        for channel, total in enumerate(books.totals(r, tensor)):
            reached[channel].append(total)
    tables = {
        f"ledger/{node}": [*kinds.values(), *books.sent[node].values()]
        for node, kinds in books.rows.items()
    }
    tables |= {"ledger:start": [begun], "ledger:inputs": [reached]}
    for output, kinds in tables.items():
        ops.output(
            _table(ops, [_table(ops, [_sum(ops, t) for t in kind]) for kind in kinds]), output
        )
    return [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in tables]


def _sum(ops: EmitOps, totals: list[Any]) -> Value:
    return ops.sum(totals) if totals else np.zeros(1, np.float64)


def _table(ops: EmitOps, rows: list[Value]) -> Value:
    """Rows stacked along a new first axis, broadcast to the widest."""
    if len(rows) == 1:
        return ops.Unsqueeze(rows[0], ints(0))
    widest = ops.Max(*[ops.Shape(row) for row in rows])
    wide = [ops.Unsqueeze(ops.Expand(row, widest), ints(0)) for row in rows]
    return ops.Concat(*wide, axis=0)
