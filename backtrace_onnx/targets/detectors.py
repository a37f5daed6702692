"""Detectors, recognised: which output holds the scores, and which of its columns are classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph, Shape
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.targets.axis_search import GivenAxes, find_axes, may_hold_steps
from backtrace_onnx.targets.detector_columns import (
    COORDINATES,
    class_columns,
    end_to_end,
    joins_boxes,
    keeps_boxes,
    likeness,
)
from backtrace_onnx.targets.entries import TASKS, Columns, as_grid
from backtrace_onnx.targets.output_axes import OutputAxes

if TYPE_CHECKING:
    from backtrace_onnx.targets.question import Question

Array = npt.NDArray[Any]
_BOXES = re.compile(r"box|loc|reg|coord", re.IGNORECASE)
_SCORES = re.compile(r"score|conf|prob|cls|class|label|logit", re.IGNORECASE)


def sees_pictures(graph: Graph) -> bool:
    """Whether the model has one input [N, C, H, W] or [N, H, W, C] that looks like a picture."""
    shapes = [graph.type(name).shape or () for name in graph.inputs]
    wide = [s for s in shapes if len(s) == 4 and (s[1] in (1, 3, 4) or s[3] in (1, 3, 4))]
    return len(wide) == 1


def scores_beside(graph: Graph, boxes: str) -> str | None:
    """The output with the scores of the boxes that this output holds; None where it is no such."""
    if not sees_pictures(graph):
        return None
    for name in graph.outputs:
        if name == boxes or not graph.type(name).is_float or name in graph.constants:
            continue
        if _pair(graph.type(boxes).shape, graph.type(name).shape) is None:
            continue
        named = _BOXES.search(boxes) or _SCORES.search(name)
        if name in graph.classes or named or keeps_boxes(graph, name):
            return name
    return None


def _pair(boxes: Shape | None, scores: Shape | None) -> int | None:
    """The axis on which one shape has 4 coordinates and the other its classes, that after the last
    one where it has but one score for every box; else None."""
    if boxes is None or scores is None:
        return None
    if len(boxes) == len(scores) + 1 and scores:
        return _pair(boxes, (*scores, 1)) and len(scores)
    if len(boxes) != len(scores) or len(boxes) < 2:
        return None
    for axis in (1, len(boxes) - 1):
        rest = [
            not (isinstance(a, int) and isinstance(b, int)) or a == b
            for i, (a, b) in enumerate(zip(boxes, scores, strict=True))
            if i != axis
        ]
        if boxes[axis] == COORDINATES and scores[axis] != COORDINATES and all(rest):
            return axis
    return None


def boxes_beside(graph: Graph, scores: str, shapes: Mapping[str, Shape]) -> tuple[str, int] | None:
    """The output with the boxes of these scores, and the axis of its coordinates."""
    for name in graph.outputs:
        axis = _pair(shapes.get(name), shapes.get(scores)) if name != scores else None
        if axis is not None:
            return name, axis
    return None


def _find_columns(
    graph: Graph, output: str, axis: int, shapes: Mapping[str, Shape], labels: int
) -> tuple[Columns, str]:
    """Which columns of an entry are classes, and that in words.

    Raises:
        RequestError: there are four columns, coordinates. LabelsError: labels do not fit.
    """
    shape = shapes.get(output) or ()
    size = (*shape, 1)[axis]
    if boxes_beside(graph, output, shapes) is not None:
        background = 0 if output in graph.classes and size != 1 else None
        none = ", class 0 for no object" if background == 0 else ""
        return Columns(background=background), f"all of them classes{none}"
    numbered = end_to_end(graph, output)
    if numbered is not None and numbered[0] == axis:
        columns = numbered[1]
        told = f"{columns.first} the score, {columns.label} the number of the class, from a choice"
        return columns, f"{told} through which nothing flows; the others tell where the box lies"
    if size == COORDINATES and labels != size:
        raise RequestError(_no_scores(graph, output, shape))
    if not isinstance(size, int) or size <= COORDINATES:
        return Columns(), "all of them classes"
    return class_columns(graph, output, axis, size, labels, last=axis == len(shape) - 1)


def _no_scores(graph: Graph, output: str, shape: Shape) -> str:
    others = [n for n in graph.outputs if n != output and graph.type(n).is_float]
    instead = f" (here {', '.join(map(repr, others))})" if others else ""
    return (
        f"output {output!r} of shape {tuple(shape)} has four columns, as many as a box has "
        f"coordinates, and none of scores: explain the output that has these{instead} with "
        "output=, or say by columns= which columns are classes; all of them: columns=Columns()"
    )


def _class_axis(
    task: str, graph: Graph, output: str, shapes: Mapping[str, Shape], samples: int | None
) -> int | None:
    """The class axis that a task of entries suggests; None where the graph tells better."""
    shape = shapes.get(output) or ()
    beside = boxes_beside(graph, output, shapes)
    if task == "detection" and beside is not None:
        return beside[1]
    numbered = end_to_end(graph, output) if task == "detection" else None
    if numbered is not None:
        return numbered[0]
    if output in graph.classes or not shape:
        return None
    if task == "detection" and len(shape) == 2 and keeps_boxes(graph, output):
        return 1
    if task == "ctc":
        return len(shape) - 1
    if len(shape) != 3:
        return None
    one, other = (axis for axis in range(3) if axis != (samples or 0))
    if joins_boxes(graph, output, other) != joins_boxes(graph, output, one):
        return other if joins_boxes(graph, output, other) else one
    first, last = shape[one], shape[other]  # there are more boxes than columns
    if isinstance(first, int) and (not isinstance(last, int) or first < last):
        return one
    return other if isinstance(last, int) else None


def _whole(shape: Shape) -> tuple[int, ...] | None:
    """A shape of which every size is known."""
    sizes = tuple(n for n in shape if isinstance(n, int))
    return sizes if len(sizes) == len(shape) else None


def declared(
    task: str, graph: Graph, output: str, said: GivenAxes, shapes: Mapping[str, Shape] | None = None
) -> tuple[GivenAxes, tuple[Note, ...]]:
    """What is said of an output, completed for a task of entries by what the shapes tell.

    Args:
        shapes: of the outputs in a run; default: as the file declares them.

    Raises:
        RequestError: the output has no axis of entries beside one of classes.
    """
    if task not in TASKS:
        return said, ()
    known = shapes or {name: graph.type(name).shape or () for name in (*graph.outputs, output)}
    shape = known.get(output) or ()
    said = _about_boxes(said, graph, output, known, task)
    axes = find_axes(graph, output, said, shape=_whole(shape))
    if axes.class_axis is None or axes.classes is None:
        raise RequestError(
            f"output {output!r} of shape {tuple(shape)} has no axis of entries beside one of "
            "classes; name both (sample_axis, class_axis), or choose another task"
        )
    said = replace(said, classes=axes.classes)
    if said.columns is not None:
        return said, ()
    if task == "ctc":
        return replace(said, columns=Columns(background=0)), ()
    columns, told = _find_columns(graph, output, axes.classes, known, said.labels)
    beside = boxes_beside(graph, output, known)
    where = f" (their boxes are in {beside[0]!r})" if beside else ""
    own = "its score" if axes.are_single else f"axis {axes.classes} its columns ({told})"
    note = Note(
        f"output {output!r} is explained as a detector's{where}: one entry per box, {own}; the "
        f"target is a box{'' if axes.are_single else ' and a class'}"
    )
    return replace(said, columns=columns), (note,)


def asks_for_boxes(target: Any) -> bool:
    """Whether a target may be a box, or a box and its class; an index of three axes is none."""
    try:
        shape = np.shape(target) if target is not None else ()
    except ValueError:  # ragged, which is refused elsewhere
        return False
    return not shape or shape[-1] <= 2


def recognised(
    question: Question, graph: Graph, outputs: Mapping[str, Any], fed: Mapping[str, tuple[int, ...]]
) -> tuple[Question, tuple[Note, ...]]:
    """The question, with what the outputs of a run tell of a detector, and what was assumed."""
    if question.start is not None:
        return question, ()
    y = outputs[question.output]
    shapes = {n: x.shape for n, x in outputs.items() if isinstance(x, np.ndarray)}
    task = question.task
    if task == "classification" and question.open and is_shown(graph, question.output):
        task = "detection"
    elif task == "classification" and question.open and sees_pictures(graph):
        said = _about_boxes(question.axes, graph, question.output, shapes, fed=fed)
        axes = find_axes(graph, question.output, said, shape=y.shape, fed=fed)
        task = "detection" if _is_detector(graph, question.output, axes, y, shapes) else task
        if task == "classification" and y.ndim == 3:
            return replace(question, task=task), likeness(graph, question.output, axes.samples)
    said, notes = declared(task, graph, question.output, question.axes, shapes)
    return replace(question, task=task, axes=said), notes


def _about_boxes(
    said: GivenAxes,
    graph: Graph,
    output: str,
    shapes: Mapping[str, Shape],
    task: str = "detection",
    fed: Mapping[str, tuple[int, ...]] | None = None,
) -> GivenAxes:
    """What is said of an output, with the axes that a task of entries suggests."""
    few = task == "detection" and len(shapes.get(output) or ()) < 3
    rows = few and keeps_boxes(graph, output)
    if rows and said.samples is None:
        said = replace(said, samples="none")
    if task == "ctc" and said.samples is None:  # one place along axis 1 is no step
        found = find_axes(graph, output, said, shape=_whole(shapes.get(output) or ()), fed=fed)
        said = replace(said, samples=1) if may_hold_steps(graph, output, found.samples) else said
    if said.classes is None:
        shape = shapes.get(output) or ()
        samples = find_axes(graph, output, said, shape=_whole(shape), fed=fed).samples
        classes = _class_axis(task, graph, output, shapes, samples)
        alone = classes == len(shape) == 1 and samples is not None  # one box for each
        said = replace(said, classes=None if alone else classes, single=True)
    return said


def is_shown(graph: Graph, output: str) -> bool:
    """Whether the graph alone shows a detector: boxes beside the numbers of their classes, or
    joined with scores, or beside these, and chosen by NonMaxSuppression."""
    if end_to_end(graph, output):
        return True
    if not (sees_pictures(graph) and keeps_boxes(graph, output)):
        return False
    shapes = {name: graph.type(name).shape or () for name in graph.outputs}
    beside = boxes_beside(graph, output, shapes) is not None
    rank = graph.type(output).rank or 0
    return beside or (rank > 1 and joins_boxes(graph, output, rank - 1))


def may_hold_boxes(graph: Graph, output: str) -> bool:
    """Whether the declared shapes leave open that an output is a detector's."""
    shape = graph.type(output).shape
    shapes = {name: graph.type(name).shape or () for name in graph.outputs}
    if not sees_pictures(graph) or not graph.type(output).is_float:
        return False
    if shape is None or boxes_beside(graph, output, shapes) is not None:
        return True
    known = [n if isinstance(n, int) else COORDINATES + 2 for n in shape[1:]]
    rows = len(shape) == 2 and keeps_boxes(graph, output)
    return (len(shape) == 3 or rows) and output not in graph.classes and min(known) > COORDINATES


def _is_detector(
    graph: Graph, output: str, axes: OutputAxes, y: Array, shapes: Mapping[str, Shape]
) -> bool:
    """Whether an output holds boxes' scores: boxes lie beside it, or coordinates before them."""
    chosen = keeps_boxes(graph, output)
    few = y.ndim < 3 and not axes.are_single and not chosen
    if axes.class_axis is None or axes.classes is None or few:
        return False
    if axes.are_single:
        beside = boxes_beside(graph, output, shapes)
        return chosen or bool(_SCORES.search(output) or (beside and _BOXES.search(beside[0])))
    if boxes_beside(graph, output, shapes) is not None:
        return True
    size = y.shape[axes.classes]
    if y.ndim > 3 or size <= COORDINATES or output in graph.classes or not y.size:
        return False
    grid = as_grid(y, axes.classes)
    entries = len(grid) // axes.count(y.shape)
    boxes, rest = grid[:, :COORDINATES], grid[:, COORDINATES:]
    scores = bool((rest >= 0).all() and (rest <= 1).all())
    return (entries > size or chosen) and scores and float(np.abs(boxes).max()) > 1.5
