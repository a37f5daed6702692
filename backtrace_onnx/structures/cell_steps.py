"""The text of all steps of a recurrent cell, from the last to the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.cell_sharing import NONE_FIXED, CellSharing, Values
from backtrace_onnx.structures.cells import Cell, Operands
from backtrace_onnx.structures.equations import BEFORE


@dataclass(frozen=True)
class CellSteps:
    """The text of all steps backwards: what relevance the states have after every step.

    Its arguments are grouped: relevance of y and of the last states, the cell's values by `names`,
    weights and bias of the state and peephole, and 1 for steps before a sequence's end.
    """

    cell: Cell
    policy: Policy
    states: tuple[str, ...]
    key: str
    names: tuple[str, ...]
    operands: Operands
    sizes: tuple[int, ...]

    def __call__(self, e: Ops, *flat: Value) -> tuple[Value, ...]:
        """By channel: relevance of the states before the first step, then after every step."""
        rows, *last, values, weights, (valid,) = grouped(flat, self.sizes)
        zeros = [e.Expand(e.zero(), e.Shape(values[self.names.index(BEFORE)], start=1))]
        start = [x for r in last for x in (r or zeros * self.policy.channels)]
        o = self._read(weights)
        stacked = [*rows, *values, *([] if valid is None else [valid])]

        def step(e: Ops, carried: Sequence[Value], *row: Value) -> Any:
            arrived, v = (
                list(row[: len(rows)]),
                dict(zip(self.names, row[len(rows) :], strict=False)),
            )
            return self._step(e, carried, arrived, v, o, None if valid is None else row[-1])

        begun, after = e.scan(step, start, stacked, back=True)
        return *begun, *after

    def _read(self, weights: Sequence[Value]) -> Any:
        """What a step computes with besides values."""
        return self.operands._replace(r=weights[0], rb=weights[1], peephole=weights[2])

    def _step(
        self,
        e: Ops,
        carried: Sequence[Value],
        arrived: Channels,
        v: Values,
        o: Any,
        valid: Value | None,
    ) -> tuple[list[Value], list[Value]]:
        """(what is carried on to the step before, relevance of the states after this one)."""
        s = CellSharing(e, self.policy)
        r = dict(zip(self.states, grouped(carried, [self.policy.channels] * 2), strict=False))
        if arrived:
            r["h"] = s.plus(r["h"], arrived)
        sent = self.cell.back(s, self.key, r, v, o, NONE_FIXED)
        pulled = s.pull(self.key, sent.state or [], self.cell.states(v, o, e)[0])
        new = [*s.plus(pulled, sent.h), *(sent.c or [])]
        return living(e, new, [x for name in self.states for x in r[name]], valid)


def living(
    e: Ops, new: list[Value], old: list[Value], valid: Value | None
) -> tuple[list[Value], list[Value]]:
    """What is carried on, and what the states after a step have, where it is one of a sequence."""
    if valid is None:
        return new, old
    lives = e.Greater(valid, e.scalar(0.5))
    on = [e.Where(lives, a, b) for a, b in zip(new, old, strict=True)]
    return on, [e.Mul(x, valid) for x in old]


def grouped(values: Sequence[Value], sizes: Sequence[int]) -> list[list[Value]]:
    """Values in groups of these sizes, as far as there are any."""
    ends = np.cumsum([0, *sizes]).tolist()
    return [list(values[a:b]) for a, b in pairwise(ends)]
