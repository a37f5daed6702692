"""Arrays of rows as the inputs that they are for, each row checked where its file is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import InputError, RowError
from backtrace_onnx.graph.graph import NO_TENSOR, Graph, TensorType
from backtrace_onnx.graph.input_checking import as_typed, check_shape, describe, holds_sense
from backtrace_onnx.graph.missing_values import takes_missing
from backtrace_onnx.inputs.array_files import note_name, numeric, rows_shaped
from backtrace_onnx.messages.notes import Note

Array = npt.NDArray[Any]


def array_feeds(
    block: RowBlock,
    arrays: Mapping[str, Array],
    graph: Graph,
    given: Collection[str],
    only: str | None,
) -> dict[str, Array]:
    """Arrays of rows by input, each with its rows where the input has its samples.

    Args:
        arrays: [rows, ...] by name. given: the inputs that others are for. only: the one input
            that they are for.

    Raises InputError naming the file where no row could fit, RowError naming file and row where
    one does not: numbers that the input cannot hold, NaN, Inf.
    """
    feeds: dict[str, Array] = {}
    for name, content in _by_input(block, arrays, graph, given, only).items():
        kind = graph.type(name)
        if kind.dtype == TensorProto.STRING:
            array = content.astype(object)
        else:
            array = numeric(Path(block.source), content)
        array = rows_shaped(array, kind)
        axis = int(graph.samples[name]) if name in graph.samples else 0
        _check(block, name, array, graph)
        array = np.moveaxis(array, 0, axis) if axis < array.ndim else array
        _check_shape(block, name, array.shape, axis, kind)
        feeds[name] = array
    return feeds


def array_notes(
    block: RowBlock, arrays: Mapping[str, Array], graph: Graph, given: Collection[str]
) -> tuple[Note, ...]:
    """Which array is taken for the only input that no file was named for, if its name is another.

    Arguments are those of `array_feeds`.
    """
    inputs = _open_inputs(graph, given)
    if len(arrays) != 1 or len(inputs) != 1:
        return ()
    return note_name(block.source, next(iter(arrays)), inputs[0])


def _open_inputs(graph: Graph, given: Collection[str]) -> list[str]:
    return [name for name in graph.inputs if name not in given]


def _by_input(
    block: RowBlock,
    arrays: Mapping[str, Array],
    graph: Graph,
    given: Collection[str],
    only: str | None,
) -> Mapping[str, Array]:
    """The arrays by the input that each is for; a single one may have any name."""
    inputs = [only] if only else _open_inputs(graph, given)
    if len(arrays) == len(inputs) == 1:
        return {inputs[0]: next(iter(arrays.values()))}
    for name in arrays:
        if name not in inputs:
            raise InputError(
                f"{block.source}: the model has no input {name!r}; it has: {describe(graph)}. "
                "Columns that are no inputs are named as labels, ids or groups"
            )
    return arrays


def _check(block: RowBlock, name: str, array: Array, graph: Graph) -> None:
    """Raises InputError where no row is of the input's type, RowError for the first unfit row."""
    kind = graph.type(name)
    if kind.dtype == NO_TENSOR:
        return
    try:
        as_typed(name, array[:0], kind)
    except InputError as error:
        raise InputError(f"{block.source}: {error}") from None
    try:
        typed = as_typed(name, array, kind)
    except InputError as error:
        _check_each(block, name, array, kind)
        raise InputError(f"{block.source}: {error}") from None
    fits = holds_sense(typed, missing=takes_missing(graph, name))
    if fits.all():
        return
    row, *where = (int(i) for i in np.argwhere(~fits)[0])
    first = f", first at {tuple(where)}" if where else ""
    raise RowError(
        f"{block.place(row)}: input {name!r} holds NaN or Inf{first}; there is nothing to explain"
    )


def _check_each(block: RowBlock, name: str, array: Array, kind: TensorType) -> None:
    for row in range(len(array)):
        try:
            as_typed(name, array[row], kind)
        except InputError as error:
            raise RowError(f"{block.place(row)}: {error}") from None


def _check_shape(
    block: RowBlock, name: str, shape: tuple[int, ...], axis: int, kind: TensorType
) -> None:
    """Raises InputError where samples are of another shape; of these there may be any number."""
    wanted = kind.shape
    if wanted is None or (kind.dtype == TensorProto.STRING and len(shape) < len(wanted)):
        return
    count = wanted[axis] if axis < len(wanted) else None
    if isinstance(count, int) and axis < len(shape):
        shape = (*shape[:axis], count, *shape[axis + 1 :])
    try:
        check_shape(name, shape, kind)
    except InputError as error:
        raise InputError(f"{block.source}: {error}") from None


__all__ = ["array_feeds", "array_notes"]
