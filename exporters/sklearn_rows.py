"""Rows of an example, as estimators and as exported models take them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.comparing import Array, Axes, Feeds
from backtrace_onnx.exporters.trials import trials

FEATURES = "features"
_WANTED = (
    "the example must be rows of numbers or texts [rows, features], texts [rows], or a table with "
    "named columns"
)


class ExampleRows:
    """Rows of an example, as the estimator and as the exported model take them.

    Attributes:
        feeds: what the exported model takes: [rows, features], or [rows, 1] for each column.
    """

    def __init__(self, example: Any) -> None:
        self._columns = _columns(example)
        self._frame = hasattr(example, "columns")
        self._flat = False
        if self._columns is None:
            x = _matrix(example)
            self._flat = x.ndim == 1
            self.feeds: Feeds = {FEATURES: x.reshape(len(x), -1)}
        else:
            self.feeds = {name: _column(name, x) for name, x in self._columns.items()}

    def types(self) -> list[tuple[str, Any]]:
        """(name, type) of every input, as skl2onnx wants them."""
        return [(name, _type(x)) for name, x in self.feeds.items()]

    def table(self, feeds: Feeds) -> Any:
        """Arrays of the exported model's inputs, as the estimator takes them."""
        if self._columns is None:
            x = feeds[FEATURES]
            return x.reshape(-1) if self._flat else x
        flat = {name: x.reshape(-1) for name, x in feeds.items()}
        if not self._frame:
            return np.column_stack(list(flat.values()))
        return import_module("pandas").DataFrame(flat)

    def trials(self, example: Feeds, axes: Axes, *, categories: bool = False) -> dict[str, Feeds]:
        """The rows, and random ones, each column in its own range.

        `categories`: the estimator looks values up, so that columns that may hold categories get
        values of the rows.
        """
        apart: dict[str, Array] = {}
        for name, x in example.items():
            apart |= {f"{name}\n{i}": x[:, i : i + 1] for i in range(x.shape[1])}
        opened = {key: {0: "batch"} for key in apart}
        made = trials(apart, opened)
        rng = np.random.default_rng(0)
        for feeds in made.values():
            for key, x in apart.items():
                if feeds is not apart and categories and _are_codes(x):
                    feeds[key] = rng.choice(x.reshape(-1), feeds[key].shape)  # type: ignore[index]
        return {
            words: {name: _together(name, feeds, x.shape[1]) for name, x in example.items()}
            for words, feeds in made.items()
        }


def _together(name: str, feeds: Feeds, count: int) -> Array:
    return np.concatenate([feeds[f"{name}\n{i}"] for i in range(count)], axis=1)


def _are_codes(x: Array) -> bool:
    """Whether a column may hold categories: whole numbers, or few values that come again."""
    if x.dtype.kind != "f":
        return True
    known = x[np.isfinite(x)]
    return bool((known == np.round(known)).all()) or len(np.unique(known)) < len(known)


def _columns(example: Any) -> dict[str, Any] | None:
    if isinstance(example, Mapping):
        return dict(example)
    if hasattr(example, "columns"):
        return {str(name): example[name].to_numpy() for name in example.columns}
    return None


def _matrix(example: Any) -> Array:
    x = np.asarray(example.toarray() if hasattr(example, "toarray") else example)
    texts = x.dtype.kind == "U" or (
        x.dtype.kind == "O" and all(isinstance(value, str) for value in x.flat)
    )
    if texts and x.ndim in (1, 2) and x.size:
        return x.astype(object)
    if x.ndim != 2 or x.dtype.kind not in "fiub" or not x.size:
        raise ExportError(f"{_WANTED}; this is {x.dtype}{list(x.shape)}")
    return x.astype(np.float32)


def _column(name: str, values: Any) -> Array:
    x = np.asarray(values).reshape(-1, 1)
    if x.dtype.kind in "fb":
        return x.astype(np.float32)
    if x.dtype.kind in "iu":
        return x.astype(np.int64)
    if all(isinstance(v, str) for v in x.flat):
        return x.astype(object)
    raise ExportError(f"column {name!r} holds neither numbers nor texts alone")


def _type(x: Array) -> Any:
    types = import_module("skl2onnx.common.data_types")
    kinds = {"f": "FloatTensorType", "i": "Int64TensorType", "O": "StringTensorType"}
    return getattr(types, kinds[x.dtype.kind])([None, x.shape[1]])
