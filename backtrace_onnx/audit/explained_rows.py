"""Explanations of rows, and how those of several runs become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.row_notes import RowNote, join_notes
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.propagation.ledger import Balance

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Explained:
    """Explanations of several rows.

    Attributes:
        relevance: [rows, ...] by input, without those that are one for all rows.
        features: float64[rows, features].
        target: int64[rows], the entry that is explained; None for a regression.
        scores: float64[rows, classes]; of a regression one column.
        balance: the ledger's totals.
        first: the explanation of the first run of rows.
        notes: what explanations tell beside.
    """

    relevance: Mapping[str, Array]
    features: Array
    target: Array | None
    scores: Array
    balance: Balance
    first: Explanation
    notes: tuple[RowNote, ...] = ()

    @property
    def shares(self) -> Array:
        """float64[rows, features]: relevance in parts of each row's |relevance|; 0 of none."""
        sizes = np.abs(self.features).sum(1, keepdims=True)
        made: Array = np.divide(
            self.features, sizes, out=np.zeros_like(self.features), where=sizes > 0
        )
        return made


def join_explained(parts: list[Explained]) -> Explained:
    """The explanations of rows that lie behind one another."""
    made = JoinedRows(sum(len(part.features) for part in parts))
    for part in parts:
        made.add(part)
    return made.whole()


class JoinedRows:
    """Explanations of rows behind one another, each let go of as it is copied into the whole."""

    def __init__(self, count: int) -> None:
        self._count, self._at = count, 0
        self._only: Explained | None = None
        self._arrays: dict[str, Array] = {}
        self._first: Any = None  # explanation
        self._notes: list[RowNote] = []

    def add(self, part: Explained) -> None:
        """The next rows."""
        count = len(part.features)
        if count == self._count:
            self._only = part
            return
        self._first = self._first or part.first
        self._notes += part.notes
        span = slice(self._at, self._at + count)
        for name, array in _arrays(part).items():
            if name not in self._arrays:
                shape = list(array.shape)
                shape[_axis(name)] = self._count
                self._arrays[name] = np.empty(shape, array.dtype)
            whole = self._arrays[name]
            (whole[:, span] if _axis(name) else whole[span])[...] = array
        self._at += count

    def whole(self) -> Explained:
        """All rows that were added."""
        if self._only is not None:
            return self._only
        made = self._arrays
        relevance = {n.partition("/")[2]: x for n, x in made.items() if n.startswith("relevance/")}
        balance = Balance(*(made[f"balance/{kind}"] for kind in _BOOKS))
        how = (made.get("target"), made["scores"], balance, self._first, join_notes(self._notes))
        return Explained(relevance, made["features"], *how)


_BOOKS = ("start", "inputs", "constants", "unassigned", "cut")


def _arrays(part: Explained) -> dict[str, Array]:
    found = {f"relevance/{name}": x for name, x in part.relevance.items()}
    found |= {f"balance/{kind}": getattr(part.balance, kind) for kind in _BOOKS}
    found |= {"features": part.features, "scores": part.scores}
    return found if part.target is None else {**found, "target": part.target}


def _axis(name: str) -> int:
    """Along which axis the rows of an array lie."""
    return int(name.startswith("balance/"))


__all__ = ["Explained", "JoinedRows", "join_explained"]
