"""What classes are called where nobody says it: as the model's file does, if that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backtrace_onnx.graph.graph import Shape
from backtrace_onnx.inputs.output_meanings import OutputMeaning, labelled_axis
from backtrace_onnx.targets.entries import TASKS, Columns
from backtrace_onnx.targets.output_axes import OutputAxes


def named_by_file(meaning: OutputMeaning, told: Sequence[str], count: int | None) -> OutputMeaning:
    """The meaning of an output, with the names that the model's file has where it has none.

    Args:
        told: the names. Numbers that only count from 0 are none.
        count: how many classes the output has, 0 where it has none; None: that is not known.
    """
    counted = all(name == str(place) for place, name in enumerate(told))
    if meaning.labels or counted or count not in (None, len(told)):
        return meaning
    return replace(meaning, labels=tuple(told))


def declared_names(
    meaning: OutputMeaning, told: Sequence[str], shape: Shape | None
) -> OutputMeaning:
    """The same before the model has run, as far as the declared shape of the output tells."""
    if meaning.task == "regression":
        return meaning
    sizes = [] if shape is None else list(shape)
    if len(sizes) > 2:
        axis = meaning.class_axis or labelled_axis(told, shape)
        count = sizes[axis] if axis is not None and axis < len(sizes) else 0
    else:
        count = sizes[-1] if len(sizes) == 2 else (1 if sizes else None)
    count = None if not isinstance(count, int) else 2 if count == 1 else count
    return named_by_file(meaning, told, count)


def count_classes(task: str, binary: bool, axes: OutputAxes, shape: Sequence[int]) -> int | None:
    """How many classes a sample's output of that shape has; 0: none; None: that is not known.

    Args:
        binary: whether its one entry tells of two classes.
    """
    if binary:
        return 2
    axis = axes.class_axis
    if task in TASKS and axis is not None:
        columns = axes.columns or Columns()
        first, last = columns.within(shape[axis - 1])
        return last - first if columns.label is None else None
    if task == "segmentation" and len(shape) > 1:
        return shape[0]
    if task != "classification":
        return 0
    if axis is not None and len(shape) > 1:
        return shape[axis - 1]
    return int(shape[0]) if len(shape) == 1 else 0


__all__ = ["count_classes", "declared_names", "named_by_file"]
