"""Boxes: where the outputs of a detector keep coordinates, and which boxes are the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""

FORMATS = ("xyxy", "yxyx", "xywh", "cxcywh", "offsets")
OVERLAP = 0.45  # of two boxes of one class, over which the lesser one is the same object


@dataclass(frozen=True)
class Boxes:
    """How the coordinates of a detector's entries are read.

    Attributes:
        output: the output that holds them; None: the explained one.
        columns: the coordinates' columns.
        format: xyxy, yxyx, xywh (corner and size), cxcywh (centre and size), or offsets: of the
            corners of a cell, in its size.
        scale: pixels of the input per unit; None: the input's width and height.
        stride, cell: pixels between the cells of a grid of classes, and their size.
    """

    output: str | None = None
    columns: tuple[int, ...] = (0, 1, 2, 3)
    format: str = "cxcywh"
    scale: float | None = 1.0
    stride: float = 1.0
    cell: float | None = None

    def corners(self, coordinates: Array, size: tuple[int, int], grid: tuple[int, ...]) -> Array:
        """[entries, 4] left, top, right, bottom in pixels of an input of this width and height.

        Args:
            coordinates: [entries, columns]. grid: the axes that the entries lie along.
        """
        values = coordinates[:, list(self.columns)].astype(np.float64)
        if self.format == "offsets":
            return self._cells(grid) + values * (self.cell or 1.0)
        across, down = (self.scale, self.scale) if self.scale is not None else size
        swapped = self.format == "yxyx"
        values = values * np.array([down, across] * 2 if swapped else [across, down] * 2)
        a, b, c, d = values.T
        corners = {
            "xyxy": (a, b, c, d),
            "yxyx": (b, a, d, c),
            "xywh": (a, b, a + c, b + d),
            "cxcywh": (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
        }[self.format]
        return np.stack(corners, axis=1)

    def _cells(self, grid: tuple[int, ...]) -> Array:
        """Corners of the cells of a grid [rows, columns], of one column, or of one cell."""
        rows, columns = (1, 1, *grid)[-2:]
        y, x = np.indices((rows, columns)).reshape(2, -1) * self.stride
        cell = self.cell or self.stride
        return np.stack([x, y, x + cell, y + cell], axis=1)


@dataclass(frozen=True)
class Found:
    """One box of one sample: its entry, its class, its score, and where it lies in the input."""

    entry: int
    label: int
    score: float
    corners: Box | None = None


def best(found: Sequence[Found], count: int, overlap: float = OVERLAP) -> list[Found]:
    """The `count` best boxes, without those that lie over a better one of their class."""
    kept: list[Found] = []
    for box in sorted(found, key=lambda b: -b.score):
        if len(kept) == count:
            break
        if not any(b.label == box.label and shared(b.corners, box.corners) > overlap for b in kept):
            kept.append(box)
    return kept


def shared(a: Box | None, b: Box | None) -> float:
    """Intersection over union of two boxes; 0 where one is not known."""
    if a is None or b is None:
        return 0.0
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0.0) * max(high, 0.0)
    whole = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - both
    return both / whole if whole > 0 else 0.0
