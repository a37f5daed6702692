"""What a run's outputs say of every box or step: scores, the best classes, and where boxes lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.targets.axis_search import find_axes
from backtrace_onnx.targets.boxes import Boxes, Found
from backtrace_onnx.targets.detector_columns import COORDINATES, box_columns
from backtrace_onnx.targets.detectors import recognised
from backtrace_onnx.targets.entries import TASKS, Columns, as_grid, find_pairs
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.question import Question

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Entries:
    """The entries of one output of a run, sample by sample.

    Attributes:
        task: detection or ctc. y: the output; axes: its axes.
        outputs: all outputs of the run, by name. output: the name of this one.
        labels: of the classes, where they are known.
        notes: what was assumed to read them.
        boxes: how coordinates are read, where that is known; size: the input's width and height.
    """

    task: str
    y: Array
    axes: OutputAxes
    output: str
    outputs: Mapping[str, Any]
    labels: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    boxes: Boxes | None = None
    size: tuple[int, int] | None = None

    @property
    def columns(self) -> Columns:
        """Which columns are classes."""
        return self.axes.columns or Columns()

    @property
    def rows(self) -> Array:
        """The output as [samples, ...]."""
        return self.axes.rows(self.y)

    @property
    def grids(self) -> list[Array]:
        """[entries, columns] of every sample."""
        axis = self.axes.class_axis
        assert axis is not None
        return [as_grid(sample, axis - 1) for sample in self.rows]

    def resolved(self, sample: int, pair: tuple[int, int]) -> tuple[int, int]:
        """Entry and class of a pair in which -1 stands for the best one. Raises RequestError."""
        axis = self.axes.class_axis
        assert axis is not None
        own = self.rows[sample : sample + 1]
        entry, label = find_pairs(pair, own, self.task, axis, self.columns)[0]
        return int(entry), int(label)

    def found(self, sample: int, count: int) -> list[Found]:
        """The best class of the `count` best entries, the best first."""
        grid = self.grids[sample]
        scores, numbers = self.columns.scores(grid), self.columns.numbers(grid)
        labels, values = scores.argmax(axis=1), scores.max(axis=1)
        labels = labels if numbers is None else numbers
        order = np.argsort(-values, kind="stable")[:count]
        corners = self._corners(sample)
        return [
            Found(int(i), int(labels[i]), float(values[i]), _box(corners, int(i))) for i in order
        ]

    def corners(self, sample: int, entry: int) -> tuple[float, float, float, float] | None:
        """Left, top, right, bottom of an entry's box in pixels of the input, where known."""
        return _box(self._corners(sample), entry)

    def _corners(self, sample: int) -> Array | None:
        """[entries, 4], where the coordinates are known."""
        boxes, axis = self.boxes, self.axes.class_axis
        if boxes is None or self.size is None or axis is None:
            return None
        held = self.outputs.get(boxes.output or self.output)
        alone = self.axes.are_single  # coordinates have an axis more than scores
        if not isinstance(held, np.ndarray) or held.ndim != self.y.ndim + alone:
            return None
        own = (replace(self.axes, classes=None) if alone else self.axes).rows(held)[sample]
        grid = tuple(n for i, n in enumerate(own.shape) if i != axis - 1)
        coordinates = as_grid(own, axis - 1)
        fits = len(coordinates) == len(self.grids[sample])
        if not fits or max(boxes.columns) >= coordinates.shape[1]:
            return None
        return boxes.corners(coordinates, self.size, grid)


def _box(corners: Array | None, entry: int) -> tuple[float, float, float, float] | None:
    if corners is None or not np.isfinite(corners[entry]).all():
        return None
    left, top, right, bottom = (float(n) for n in corners[entry])
    return left, top, right, bottom


def read_entries(
    question: Question,
    graph: Graph,
    outputs: Mapping[str, Any],
    feeds: Mapping[str, Array],
    labels: tuple[str, ...],
    boxes: Boxes | None,
) -> Entries | None:
    """The entries of a run; None where the task is none of entries and no detector is recognised.

    Where nobody says how coordinates are read, those before the classes are taken for centre and
    size in pixels of the input, as most detectors write them; those beside the number of a class
    for corners.
    """
    fed = {name: x.shape for name, x in feeds.items()}
    question, notes = recognised(question, graph, outputs, fed)
    if question.task not in TASKS:
        return None
    y = outputs[question.output]
    axes = find_axes(graph, question.output, question.axes, shape=y.shape, fed=fed)
    first = axes.columns.first if axes.columns else 0
    numbered = box_columns(graph, question.output, axes.classes or 0)
    if boxes is None and question.task == "detection" and numbered:
        boxes = Boxes(columns=numbered, format="xyxy")
        notes += (Note("boxes are taken for left, top, right, bottom in pixels of the input"),)
    elif boxes is None and question.task == "detection" and first >= COORDINATES:
        boxes = Boxes()
        notes += (Note("boxes are taken for centre and size in pixels of the input"),)
    size = next((_size(graph, name, x) for name, x in feeds.items() if x.ndim == 4), None)
    return Entries(question.task, y, axes, question.output, outputs, labels, notes, boxes, size)


def _size(graph: Graph, name: str, x: Array) -> tuple[int, int]:
    """Width and height of a picture's input."""
    last = x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4)
    height, width = (x.shape[1:3] if last else x.shape[2:]) if x.ndim == 4 else (1, 1)
    return int(width), int(height)
