"""A picture with its relevance: a drawing that all answers of a sample share, a layer for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.answers import percent
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.input_kinds import pixels
from backtrace_onnx.report.page.map_images import map_image, picture_image
from backtrace_onnx.report.page.scale_legend import ScaleLegend, legend_of
from backtrace_onnx.report.page.writer import Safe
from backtrace_onnx.report.picture_frame import Frame
from backtrace_onnx.report.picture_panel import SMOOTHED_FROM, maps, paled, scaled, shown_frame
from backtrace_onnx.report.ranking import rank
from backtrace_onnx.report.signed_amounts import signed
from backtrace_onnx.targets.boxes import Box

Array = npt.NDArray[Any]
_OUTLINED = 256
"""Cells along a side of a mask up to which its border is drawn exactly."""


@dataclass(frozen=True)
class MapCell:
    """A region of a picture, and what it got."""

    x: float
    y: float
    width: float
    height: float
    told: str


@dataclass(frozen=True)
class MapLayer:
    """The relevance of one answer, over a picture.

    Attributes:
        told: the map in a sentence.
        cells: regions of the picture, with their amounts.
        box: of a detector, the box that is explained: x, y, width, height.
    """

    title: str
    image: Safe
    legend: ScaleLegend
    told: str
    cells: tuple[MapCell, ...]
    box: tuple[float, float, float, float] | None
    pale: bool


@dataclass(frozen=True)
class PictureView:
    """A picture, and for each of its maps the layers of all answers.

    Attributes:
        name: of the input. floor: lightness of black under relevance, from 0 to 1.
        part: x, y, width, height of what the model saw of it; whole: whether that is all.
        outline: the border of a segmentation's mask, as a path, and the transformation to it.
        maps: by map (the whole; with two channels each of them, too) a layer for every answer.
    """

    name: str
    image: Safe
    width: int
    height: int
    smooth: bool
    floor: float
    part: tuple[float, float, float, float]
    whole: bool
    outline: str
    transform: str
    maps: tuple[tuple[MapLayer, ...], ...]


def picture_view(subjects: Sequence[ExplainedSample], name: str) -> PictureView:
    """An input that is a picture, explained for each of these answers."""
    first = subjects[0]
    frame = shown_frame(first, name)
    layers = [_layers(subject, name, frame) for subject in subjects]
    outline, transform = _outline(first, frame)
    return PictureView(
        name,
        picture_image(frame.picture),
        *frame.size,
        smooth=min(frame.picture.shape[:2]) >= SMOOTHED_FROM,
        floor=paled(frame.picture)[1],
        part=_placed(frame.shown),
        whole=frame.shown == frame.whole,
        outline=outline,
        transform=transform,
        maps=tuple(zip(*layers, strict=True)),
    )


def _layers(subject: ExplainedSample, name: str, frame: Frame) -> list[MapLayer]:
    found = []
    box = subject.box and _rectangle(frame.back(subject.box))
    cells = tuple(_cells(subject, name))
    for i, (title, whole) in enumerate(maps(subject, name)):
        values, scale = scaled(frame, pixels(subject, name, whole))
        found.append(
            MapLayer(
                title,
                map_image(values, scale.limit),
                legend_of(scale, subject.explanation.mode),
                _told(values, name),
                () if i else cells,
                box,
                bool(subject.warnings),
            )
        )
    return found


def _cells(subject: ExplainedSample, name: str) -> list[MapCell]:
    """The regions that the ranking names, where they lie."""
    found = []
    for part in rank(subject, name):
        if part.box is not None:
            top, left, bottom, right = part.box
            told = f"{part.name}: {signed(part.relevance, 3)} ({percent(part.share)})"
            found.append(MapCell(left, top, right - left, bottom - top, told))
    return sorted(found, key=lambda cell: (cell.y, cell.x))


def _told(values: Array, name: str) -> str:
    """Where a map has most, in words, for who does not see it."""
    rows, columns = values.shape
    sizes = np.abs(values)
    if not sizes.any():
        return f"Map of {name}: no relevance."
    row = int(np.average(np.arange(rows), weights=sizes.sum(1)) / rows * 3)
    column = int(np.average(np.arange(columns), weights=sizes.sum(0)) / columns * 3)
    where = f"{('upper', 'middle', 'lower')[row]} {('left', 'centre', 'right')[column]}"
    return (
        f"Map of the relevance of {name}, centred on the {where}; the regions with most of it "
        "stand in the table below."
    )


def _placed(extent: Box) -> tuple[float, float, float, float]:
    """x, y, width and height of left, right, bottom and top of pixels' centres."""
    left, right, bottom, top = extent
    return left + 0.5, top + 0.5, right - left, bottom - top


def _rectangle(box: Box) -> Box | None:
    """x, y, width and height of two corners, whichever is which; None where they are no numbers."""
    if not np.isfinite(box).all():
        return None
    (left, right), (top, bottom) = sorted((box[0], box[2])), sorted((box[1], box[3]))
    return round(left, 2), round(top, 2), round(right - left, 2), round(bottom - top, 2)


def _outline(subject: ExplainedSample, frame: Frame) -> tuple[str, str]:
    """The border of a segmentation's mask, as lines between its cells, and where it lies."""
    mask = subject.mask
    if mask is None or mask.ndim < 2:
        return "", ""
    flat: npt.NDArray[np.bool_] = np.asarray(mask.reshape(-1, *mask.shape[-2:]).any(axis=0))
    if not flat.any() or flat.all() or max(flat.shape) > _OUTLINED:
        return "", ""
    placed = frame.placement
    seen: Box = (0.0, 0.0, frame.size[0], frame.size[1])
    if placed is not None:
        seen = placed.back((0, 0, placed.input[0], placed.input[1]))
    across, down = (seen[2] - seen[0]) / flat.shape[1], (seen[3] - seen[1]) / flat.shape[0]
    numbers = (f"{n:.6g}" for n in (across, down))
    return _border(flat), f"translate({seen[0]:g} {seen[1]:g}) scale({' '.join(numbers)})"


def _border(mask: npt.NDArray[np.bool_]) -> str:
    """Lines between cells inside and outside of a mask, as long as they can be."""
    padded = np.pad(mask, 1)
    across = padded[1:, 1:-1] != padded[:-1, 1:-1]
    down = (padded[1:-1, 1:] != padded[1:-1, :-1]).T
    steps = [f"M{start} {y}H{end}" for y, row in enumerate(across) for start, end in _runs(row)]
    steps += [f"M{x} {start}V{end}" for x, row in enumerate(down) for start, end in _runs(row)]
    return "".join(steps)


def _runs(row: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First place of every run of True, and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


__all__ = ["MapCell", "MapLayer", "PictureView", "picture_view"]
