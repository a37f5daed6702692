"""Keeping the books of a walk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.base import Ops
from backtrace_onnx.engine import NodeStep
from backtrace_onnx.ledger import Balance, Entry, Ledger
from backtrace_onnx.samples import SampleAxes
from backtrace_onnx.structures.base import Channels

Totals = npt.NDArray[np.float64]
BOOKED = ("data", "constants", "unassigned")


class Books:
    """Collects totals, as arrays or as symbols, node by node.

    Attributes:
        rows: by node: kind -> totals per channel; "incoming" beside the booked kinds.
        dropping: nodes whose rest is unassigned without being booked.
    """

    def __init__(self, ops: Ops, axes: SampleAxes) -> None:
        self._ops, self._axes = ops, axes
        self.rows: dict[str, dict[str, list[list[Any]]]] = {}
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
) -> Ledger:
    """The ledger of the nodes' totals, float64[channel, sample] by kind."""
    entries: dict[str, Entry] = {}
    for name, books in rows.items():
        kinds = {kind: books[kind] for kind in BOOKED}
        if name in dropping:
            kinds["unassigned"] = books["incoming"] - books["data"] - books["constants"]
        entries[name] = Entry(name, operators[name], books["incoming"], **kinds)
    constants = sum((e.constants for e in entries.values()), np.zeros_like(start))
    unassigned = sum((e.unassigned for e in entries.values()), np.zeros_like(start))
    return Ledger(entries, Balance(start, inputs, constants, unassigned))
