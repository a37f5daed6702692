"""How boxes and steps are called in reports, and which of them is the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from backtrace_onnx.explanation import Explanation
from backtrace_onnx.targets.entries import (
    CALLED,
    Columns,
    as_grid,
    entry_of,
    find_pairs,
    flat_targets,
)

Array = npt.NDArray[Any]


def entry_answer(
    made: Explanation, flat: int, y: Array, labels: Sequence[str]
) -> tuple[tuple[int, int], str]:
    """The entry and class at a place in a flattened sample y, and what they are called."""
    layout = made.layout
    entry, column = entry_of(y.shape, (layout.class_axis or 1) - 1, flat)
    columns = layout.columns or Columns()
    numbers = columns.numbers(as_grid(y, (layout.class_axis or 1) - 1))
    label = column - columns.first if numbers is None else int(numbers[entry])
    called = f"{CALLED[made.task]} {entry}"
    if layout.are_single and not labels:
        return (entry, label), called
    name = labels[label] if 0 <= label < len(labels) else f"class {label}"
    return (entry, label), f"{name}, {called}"


def best_answer(made: Explanation, chosen: int | None, y: Array) -> int:
    """The place of the best class of the best box, or of the step that is explained."""
    columns, axis = made.layout.columns or Columns(), made.layout.class_axis or 1
    step = made.task == "ctc" and chosen is not None
    entry = entry_of(y.shape, axis - 1, chosen or 0)[0] if step else -1
    pairs = find_pairs((entry, -1), y[None], made.task, axis, columns)
    return int(flat_targets(pairs, y[None], axis, columns)[0])
