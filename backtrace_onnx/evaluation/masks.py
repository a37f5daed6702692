"""Masks: which entries of a row should matter, as pictures, arrays or names of columns tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.evaluation.data_rows import DataRow
from backtrace_onnx.evaluation.mask_files import MaskFiles
from backtrace_onnx.evaluation.sample_view import SampleView
from backtrace_onnx.inputs.array_files import numeric, read_file
from backtrace_onnx.inputs.images import ImageInput, open_image
from backtrace_onnx.inputs.picture_shapes import picture_axes
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.tables import TableInput
from backtrace_onnx.messages.similar_names import find_alike

Array = npt.NDArray[Any]


class Masks:
    """Reads the mask of each row.

    Args:
        files: where masks lie. sidecar: what inputs mean. rows: how many the data have.

    Raises InputError where the file of all rows cannot be read.
    """

    def __init__(self, files: MaskFiles, sidecar: Sidecar | None, rows: int) -> None:
        self._files, self._rows = files, rows
        self._entries = sidecar.inputs if sidecar else {}
        self._shared = None if files.shared is None else read_file(files.shared)

    def __call__(self, row: DataRow, view: SampleView) -> Array:
        """bool shaped like the view's x: what should matter.

        Raises RequestError where nothing tells, or all or nothing matters; InputError where what is
        told does not fit the row.
        """
        path = self._files.of(row.picture)
        entry = self._entries.get(view.names[0]) if len(view.names) == 1 else None
        content = read_file(path) if self._shared is None else self._shared
        if isinstance(content, Mapping) and len(view.names) == 1:
            if view.names[0] not in content:
                raise InputError(f"{path}: holds no array called {view.names[0]!r}")
            content = content[view.names[0]]
        if isinstance(content, Path):
            content = _pixels(path, row, entry)
        if isinstance(content, list) and all(isinstance(one, str) for one in content):
            made = _named(path, content, view, _names(row, view, entry))
        else:
            made = self._fitted(path, content, row, view)
        if made.all() or not made.any():
            raise RequestError(f"{path}: {'all' if made.any() else 'nothing'} lies inside the mask")
        return made

    def _fitted(self, path: Path, content: Any, row: DataRow, view: SampleView) -> Array:
        """The mask of a row from an array of a sample's shape, of its places', or of all rows."""
        if len(view.names) > 1:
            raise InputError(
                f"{path}: an array is the mask of one input, and there are "
                f"{', '.join(view.names)}; a .json file may name columns"
            )
        inside = numeric(path, content) != 0
        sample = view.x[0]
        shapes = [sample.shape]
        axes = picture_axes(sample)
        if axes is not None and sample.ndim > 2:
            shapes.append((sample.shape[axes[0]], sample.shape[axes[1]]))
        one = [shape for shape in shapes if inside.shape == shape]
        each = [shape for shape in shapes if inside.shape == (self._rows, *shape)]
        if one and each:
            raise InputError(
                f"{path}: a mask of shape {inside.shape} may be of one sample or of all rows; "
                f"give it all axes, {(self._rows, *sample.shape)}"
            )
        if one or each:
            own = inside[row.number] if each else inside
            own = own if own.ndim == sample.ndim else _spread(own, sample.ndim, axes)
            return np.broadcast_to(own, sample.shape)[None]
        told = " or ".join(map(str, shapes))
        raise InputError(
            f"{path}: a mask of shape {inside.shape} does not fit {view.names[0]!r}; "
            f"it is {told}, of one sample, or of all {self._rows} rows of the data"
        )


def _spread(inside: Array, rank: int, axes: tuple[int, int] | None) -> Array:
    """A mask [H, W] with axes of size 1 where a picture has others."""
    assert axes is not None
    shape = [1] * rank
    shape[axes[0]], shape[axes[1]] = inside.shape
    return inside.reshape(shape)


def _pixels(path: Path, row: DataRow, entry: object) -> Array:
    """bool[H, W] of the input: what is not black, scaled and cropped as the picture is."""
    mask = open_image(path)
    inside = np.asarray(mask.convert("L")) > 0
    if not isinstance(entry, ImageInput):
        return inside
    own = (entry.width, entry.height)
    size = own if row.picture is None else open_image(row.picture).size
    if mask.size == size:
        plain = replace(entry, color="gray", layout="NCHW", filter="nearest", pad_value=0.0)
        plain = replace(plain, scale=1.0, mean=(0.0,), std=(1.0,))
        return np.asarray(plain.encode(mask.convert("L").point(lambda v: 255 * (v > 0)))[0, 0] > 0)
    if mask.size == own:
        return inside
    wide, high = mask.size
    raise InputError(
        f"{path}: the mask has {wide} x {high} pixels, {row.place} has {size[0]} x {size[1]}; a "
        "mask is as large as its picture, or as the model's input"
        + ("" if own == size else f", {own[0]} x {own[1]}")
    )


def _names(row: DataRow, view: SampleView, entry: object) -> list[str]:
    """What the entries of a row's x are called; "" where they have no names."""
    if isinstance(entry, TableInput):
        return [feature.name for feature, _ in entry.columns() for _ in range(feature.width)]
    made: list[str] = []
    for name in view.names:
        size = view.packed_size(name)
        known = row.names.get(name, ())
        alone = name if len(view.names) > 1 else ""
        made += known if len(known) == size else [alone] * size
    return made


def _named(path: Path, wanted: Sequence[str], view: SampleView, names: Sequence[str]) -> Array:
    """The mask of what is called so. Raises InputError for a name that is none."""
    there = list(dict.fromkeys(filter(None, names)))
    if not there:
        raise InputError(
            f"{path}: entries of {view.names[0]!r} have no names; an array (.npy) may be a mask"
        )
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in there):
            close = find_alike(pattern, there)
            told = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(there[:9])}"
            raise InputError(f"{path}: no column is called {pattern!r}; {told}")
    inside = [any(fnmatchcase(name, pattern) for pattern in wanted) for name in names]
    return np.array(inside).reshape(view.x.shape)


__all__ = ["Masks"]
