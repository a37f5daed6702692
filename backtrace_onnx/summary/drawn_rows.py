"""Rows drawn from all for pictures that show single rows: the same whatever the batches are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.summary.resampling import BLOCK
from backtrace_onnx.summary.result_rows import ResultRows

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DrawnRows:
    """Some rows of a data set, in its order.

    Attributes:
        features: what the columns of the shares are called.
        rows: int64[rows], their numbers among all, from 0.
        shares: float64[rows, features].
        values: [rows] by feature: what they hold, where that was kept.
        classes: what each was answered, as text; "" where there are no classes.
    """

    features: tuple[str, ...]
    rows: Array
    shares: Array
    values: dict[str, Array]
    classes: Array


class RowDraw:
    """Draws rows while they come: each has a random number, and the smallest stay.

    Args:
        most: how many are kept. seed: of the draw.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._seed = most, seed
        self._kept: dict[str, Array] = {}
        self._features: tuple[str, ...] = ()

    def add(self, rows: ResultRows, shares: Array, classes: Array) -> None:
        """Add a block of rows with their shares and classes."""
        rng = np.random.default_rng([self._seed, rows.block, 1])
        new: dict[str, Array] = {
            "chance": rng.random(BLOCK)[: rows.count],
            "row": rows.block * BLOCK + np.arange(rows.count),
            "shares": shares,
            "class": classes,
        }
        self._features = rows.features
        for feature in rows.features:
            if (held := rows.value(feature)) is not None:
                new[f"value/{feature}"] = held
        if self._kept:
            new = {name: np.concatenate([self._kept[name], new[name]]) for name in self._kept}
        if len(new["chance"]) > self._most:
            best = np.sort(np.argsort(new["chance"], kind="stable")[: self._most])
            new = {name: column[best] for name, column in new.items()}
        self._kept = new

    def drawn(self) -> DrawnRows:
        """The rows that were drawn."""
        if not self._kept:
            return DrawnRows((), np.zeros(0, np.int64), np.zeros((0, 0)), {}, np.empty(0, object))
        values = {
            name.removeprefix("value/"): column
            for name, column in self._kept.items()
            if name.startswith("value/")
        }
        kept = (self._kept["row"], self._kept["shares"], values, self._kept["class"])
        return DrawnRows(self._features, *kept)
