"""Inputs of a model as the columns of one table: entry by entry, a row each sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class RelevanceColumns:
    """Relevance and inputs side by side.

    Attributes:
        names: of the columns, each once. values: float64[samples, columns], relevance.
        data: [samples, columns], inputs; objects where some are texts.
    """

    names: tuple[str, ...]
    values: Array
    data: Array


def as_columns(
    relevance: Mapping[str, Array],
    inputs: Mapping[str, Array],
    axes: Mapping[str, int | None],
    label: Callable[[str, tuple[int, ...]], str],
) -> RelevanceColumns:
    """The entries of all inputs that are one for each sample.

    Args:
        axes: where the samples of each input lie. label: the name of an entry without its sample.

    Raises RequestError where no input has samples.
    """
    names = [name for name in inputs if axes.get(name) is not None]
    if not names:
        raise RequestError("no input has samples, so that there are no rows")
    rows = {n: np.moveaxis(np.asarray(relevance[n]), axes[n] or 0, 0) for n in names}
    data = [_flat(np.moveaxis(np.asarray(inputs[n]), axes[n] or 0, 0)) for n in names]
    called = [label(n, at) for n in names for at in np.ndindex(*rows[n].shape[1:])]
    kind: Any = object if any(d.dtype.kind not in "fiub" for d in data) else None
    values = np.concatenate([_flat(rows[n]) for n in names], 1).astype(np.float64)
    return RelevanceColumns(
        _once(called), values, np.concatenate([d.astype(kind or d.dtype) for d in data], 1)
    )


def _flat(x: Array) -> Array:
    return x.reshape(len(x), -1)


def _once(names: Sequence[str]) -> tuple[str, ...]:
    """Names, numbered where one is there twice."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(made)


__all__ = ["RelevanceColumns", "as_columns"]
