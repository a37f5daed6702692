"""The words for decision trees, computed by kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from backtrace_onnx.backends.leaf_games import play
from backtrace_onnx.kernels import path_sums
from backtrace_onnx.ops.tree_words import LeafGames
from backtrace_onnx.ops.vocabulary import Ops, Value


class TreeKernels(Ops):
    """What the eager backend has for trees; `array` is the backend's."""

    def array(self, x: Value) -> Any:
        """The value as an array."""
        raise NotImplementedError

    def path_sums(
        self,
        rows: Value,
        slots: Value,
        changes: Value,
        targets: Value,
        shares: Value | None,
        units: tuple[int, int],
    ) -> Value:
        out = np.zeros((len(rows), *units), self.dtype)
        tables = (self.array(slots), self.array(changes), self.array(targets))
        if shares is None:
            path_sums.add_rows(rows, *tables, out)
        else:
            path_sums.add_shares(rows, *tables, shares, out)
        return out

    def leaf_games(self, text: Callable[[Any, LeafGames], Value], asked: LeafGames) -> Value:
        x, before = asked.x, asked.before
        rows = self.array(x).reshape(-1, np.shape(x)[-1])
        behind = None if before is None else self.array(before).reshape(-1, rows.shape[1])
        made = play(replace(asked, x=rows, m=self.array(asked.m), before=behind))
        return made.astype(self.dtype)


__all__ = ["TreeKernels"]
