"""What of a sample is ranked and replaced as one, by what, and how far noise moves it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.sample_view import SampleView
from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.inputs.picture_shapes import picture_axes
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.tables import TableInput
from backtrace_onnx.metrics.replacing import NAMES
from backtrace_onnx.metrics.units import grid
from backtrace_onnx.text.inputs import TextInput

Array = npt.NDArray[Any]
Kind = Literal["picture", "table", "tokens", "entries"]
SQUARES = 14
"""Of a picture: along its shorter side."""
NOISE = 0.02
"""How far noise moves an entry, in parts of its range."""


@dataclass(frozen=True)
class Parts:
    """How one sample is taken apart.

    Attributes:
        kind: what the sample is.
        units: int64 shaped like a sample; None: every entry is one.
        replace: what takes the place of units, as the metrics take it.
        background: rows to draw from, or to take the mean of.
        radius: how far noise moves an entry; None: noise makes no sense there.
    """

    kind: Kind
    units: Array | None
    replace: Any
    background: Array | None
    radius: Any

    @property
    def words(self) -> str:
        """What is replaced by what, in words."""
        size = "" if self.units is None else f" {int(self.units.max()) + 1}"
        what = {
            "picture": f"{size} squares",
            "table": f"{size} columns",
            "tokens": " tokens",
            "entries": " entries",
        }[self.kind]
        how = self.replace if isinstance(self.replace, str | int | float) else "an array"
        told = {"mean": "the mean of the rows", "background": "other rows", "blur": "a blur"}
        return f"parts are{what}; what takes their place is {told.get(str(how), str(how))}"


class PartsChooser:
    """Says how samples of a model are taken apart.

    Args:
        sidecar: what inputs mean, if anybody said.
        replace: "auto": pictures are blurred, columns become the mean of the rows (where they
            are no floats, those rows), tokens the mask; or a name or number as metrics take it.
        square: pixels along the side of a picture's units; None: a 14th of its shorter side.
        rows: views of samples that serve as the background.
        ids: inputs that hold ids, by which a table is looked up.

    Raises RequestError for a word that is no replacement.
    """

    def __init__(
        self,
        sidecar: Sidecar | None,
        replace: Any,
        square: int | None,
        rows: Sequence[SampleView] = (),
        ids: Collection[str] = (),
    ) -> None:
        if isinstance(replace, str) and replace not in ("auto", *NAMES):
            raise RequestError(
                f"unknown replacement {replace!r}; there are: {', '.join(NAMES)}, auto, a number"
            )
        self._sidecar, self._replace, self._square = sidecar, replace, square
        self._rows, self._ids = rows, ids

    def __call__(self, view: SampleView) -> Parts:
        """How a sample is taken apart. Raises RequestError where `replace` does not go with it."""
        x = view.x
        entry = self._entry(view)
        kind: Kind = (
            "tokens" if self._ids and set(view.names) <= set(self._ids) else _kind(x, entry)
        )
        if self._square is not None and kind != "picture":
            raise RequestError("squares are of pictures, and the model's input is none")
        units = self._units(x, kind, entry)
        background = self._background(x) if kind in ("table", "entries") else None
        replace = self._replace
        if isinstance(replace, str) and replace == "auto":
            replace = _usual(view, kind, entry, background)
        radius = _radius(x, kind, background) if view.floats else None
        return Parts(kind, units, replace, background, radius)

    def _entry(self, view: SampleView) -> Any:
        known = self._sidecar.inputs if self._sidecar else {}
        return known.get(view.names[0]) if len(view.names) == 1 else None

    def _units(self, x: Array, kind: Kind, entry: Any) -> Array | None:
        if isinstance(entry, TableInput):
            widths = [feature.width for feature, _ in entry.columns()]
            return np.repeat(np.arange(len(widths)), widths).reshape(x.shape[1:])
        if kind != "picture":
            return None
        axes = picture_axes(x[0])
        assert axes is not None
        rows, columns = (x.shape[1:][axis] for axis in axes)
        side = self._square or max(1, round(min(rows, columns) / SQUARES))
        flat = grid((rows, columns), side, channel_axis=None)
        shape = [1] * (x.ndim - 1)
        shape[axes[0]], shape[axes[1]] = rows, columns
        return np.broadcast_to(flat.reshape(shape), x.shape[1:]).astype(np.int64)

    def _background(self, x: Array) -> Array | None:
        rows = [view.x for view in self._rows]
        alike = [row for row in rows if row.shape == x.shape]
        return np.concatenate(alike) if alike else None


def _kind(x: Array, entry: Any) -> Kind:
    if isinstance(entry, TextInput):
        return "tokens"
    if isinstance(entry, ImageInput) or (x.ndim > 3 and picture_axes(x[0]) is not None):
        return "picture" if picture_axes(x[0]) is not None else "entries"
    return "table" if isinstance(entry, TableInput) or x.ndim == 2 else "entries"


def _usual(view: SampleView, kind: Kind, entry: Any, background: Array | None) -> Any:
    """What takes the place of units where nobody said."""
    if kind == "picture":
        return "blur"
    if kind == "tokens":
        mask = entry.tokenizer.mask if isinstance(entry, TextInput) else None
        pad = entry.tokenizer.pad if isinstance(entry, TextInput) else None
        return mask if mask is not None else pad or 0
    if background is None or len(background) < 2:
        return "zeros"
    return "mean" if view.floats else "background"


def _radius(x: Array, kind: Kind, background: Array | None) -> Any:
    """A part of the range of every entry, over the background where there is one."""
    if kind == "picture" or background is None or len(background) < 2:
        span = float(np.ptp(np.asarray(x, np.float64)))
        return NOISE * span if span > 0 else None
    spans = np.ptp(np.asarray(background, np.float64), axis=0)
    return NOISE * spans if (spans > 0).any() else None


__all__ = ["Parts", "PartsChooser"]
