"""Relevance of attention, token by token: what each query owes to each key, head by head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class AttentionMap:
    """One attention.

    Attributes:
        tensor: name of its weights in the model.
        relevance: [samples, heads, queries, keys], of every weight: slope times weight in signed
            modes (in mode gradient the slope), in contrastive mode for minus against.
    """

    tensor: str
    relevance: Array

    @property
    def mean(self) -> Array:
        """The mean over the heads, [samples, queries, keys]."""
        made: Array = self.relevance.mean(1)
        return made


class AttentionMaps(Sequence[AttentionMap]):
    """The attentions that an answer depends on, in the model's order."""

    def __init__(self, maps: Sequence[AttentionMap]) -> None:
        self._maps = tuple(maps)

    @overload
    def __getitem__(self, place: int) -> AttentionMap: ...

    @overload
    def __getitem__(self, place: slice) -> AttentionMaps: ...

    def __getitem__(self, place: int | slice) -> AttentionMap | AttentionMaps:
        found = self._maps[place]
        return found if isinstance(found, AttentionMap) else AttentionMaps(found)

    def __len__(self) -> int:
        return len(self._maps)

    def __iter__(self) -> Iterator[AttentionMap]:
        return iter(self._maps)

    def total(self, heads: Literal["sum", "mean"] = "sum") -> Array:
        """The sum over layers, and over heads or their mean: [samples, queries, keys].

        Raises RequestError where there is none, or they are not of the same tokens; take some of
        them then (`maps[:6].total()`).
        """
        if heads not in ("sum", "mean"):
            raise RequestError(f"heads are summed or averaged: sum or mean, not {heads!r}")
        if not self._maps:
            raise RequestError("there is no attention to sum")
        parts = [getattr(one.relevance, heads)(1) for one in self._maps]
        shapes = {part.shape for part in parts}
        if len(shapes) > 1:
            raise RequestError(
                f"attentions of other tokens than each other's are not summed: {sorted(shapes)}; "
                "take those of one kind, such as maps[:6].total()"
            )
        made: Array = np.sum(parts, axis=0)
        return made


__all__ = ["AttentionMap", "AttentionMaps"]
