"""Tables as inputs: which column goes into which input, and what is left over."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.errors import InputError, InputWarning, RowError
from backtrace_onnx.graph.graph import NO_TENSOR, Graph, TensorType
from backtrace_onnx.graph.input_checking import describe
from backtrace_onnx.graph.missing_values import takes_missing
from backtrace_onnx.inputs.arrow_cells import column_elements
from backtrace_onnx.inputs.columns import CellError, Missing, count_missing, encode
from backtrace_onnx.inputs.frames import (
    Table,
    from_columns,
    from_frame,
    from_records,
    is_columns,
    is_frame,
    is_records,
    left_out,
)
from backtrace_onnx.inputs.tables import ColumnInput, TableInput
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.messages.similar_names import find_alike

if TYPE_CHECKING:
    from backtrace_onnx.inputs.sidecar import Sidecar

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FilledInputs:
    """Inputs made of a table.

    Attributes:
        feeds: the arrays, by input name.
        names: what the entries of these inputs are called, by input name.
        notes: what was assumed or left over.
        unused: the columns that no input takes.
    """

    feeds: Mapping[str, Any]
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    unused: tuple[str, ...] = ()


def read_given(inputs: Any, graph: Graph, sidecar: Sidecar | None = None) -> FilledInputs:
    """What a caller gives, a table or arrays, as arrays by input name.

    Tables are data frames, lists of rows by column, and columns by name for a model whose inputs
    are columns. Warns InputWarning of columns that no input takes; raises InputError.
    """
    table = _as_table(inputs, graph, sidecar)
    if table is None:
        return FilledInputs(inputs, column_names(graph))
    filled = fill(table, graph, sidecar)
    if filled.unused:
        warnings.warn(left_out(table.source, filled.unused), InputWarning, stacklevel=4)
    return filled


def column_names(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The inputs that are columns, by name: a column's entry is called like its input."""
    return {name: (name,) for name in graph.inputs if is_column(graph.type(name))}


def is_column(kind: TensorType) -> bool:
    """Whether an input of that type is one column of a table: [rows, 1], or [rows] if open."""
    if kind.shape is None or kind.dtype == NO_TENSOR:
        return False
    if len(kind.shape) == 1:
        return not isinstance(kind.shape[0], int)
    return len(kind.shape) == 2 and kind.shape[1] == 1


def tabled(graph: Graph, sidecar: Sidecar | None) -> list[str]:
    """The inputs that a table with a header fills: columns, and tables by the sidecar."""
    entries = sidecar.inputs if sidecar else {}
    return [
        name
        for name in graph.inputs
        if isinstance(entries.get(name), TableInput | ColumnInput)
        or (name not in entries and is_column(graph.type(name)))
    ]


def fill(
    table: Table,
    graph: Graph,
    sidecar: Sidecar | None = None,
    *,
    given: Collection[str] = (),
    only: str | None = None,
) -> FilledInputs:
    """The inputs that a table's columns make up, but those that are given otherwise.

    Raises InputError naming the columns that are missing, or row and column of what does not fit.
    """
    target = only or (graph.inputs[0] if len(graph.inputs) == 1 else None)
    if target is not None and not says_columns(target, table.columns, graph, sidecar):
        return _in_order(table, graph, target)
    names = [only] if only else [n for n in tabled(graph, sidecar) if n not in given]
    if not names:
        raise InputError(f"{table.source}: no input is a column; the model has: {describe(graph)}")
    filling = _Filling(table, graph, sidecar, names)
    feeds = {name: filling.input(name) for name in names}
    unused = () if only else tuple(c for c in table.columns if c not in filling.used)
    return FilledInputs(feeds, filling.names, filling.notes(unused), unused)


def find_column(name: str, columns: Iterable[str], taken: Collection[str] = ()) -> str | None:
    """The column of that name, perhaps without blanks around it, as tables have them; else the one
    whose name skl2onnx turns into it."""
    columns = list(columns)
    if name in columns or name.strip() in columns:
        return name if name in columns else name.strip()
    alike = [c for c in columns if _plain(c) == _plain(name) and c not in taken]
    return alike[0] if len(alike) == 1 else None


def named_columns(
    columns: Collection[str], graph: Graph, sidecar: Sidecar | None = None
) -> set[str]:
    """The columns of a table that inputs take by their names."""
    found: set[str] = set()
    for name in tabled(graph, sidecar):
        entry = sidecar.inputs.get(name) if sidecar else None
        if isinstance(entry, TableInput):
            found.update(feature.name for feature in entry.features)
            continue
        wanted = (entry.column if isinstance(entry, ColumnInput) else None) or name
        column = find_column(wanted, columns)
        found.update(() if column is None else (column,))
    return found & set(columns)


class _Filling:
    """Makes inputs of one table; notes what it assumes."""

    def __init__(
        self, table: Table, graph: Graph, sidecar: Sidecar | None, inputs: Sequence[str]
    ) -> None:
        self._table, self._graph = table, graph
        self._entries = sidecar.inputs if sidecar else {}
        self.used: set[str] = set()
        self.names: dict[str, tuple[str, ...]] = {}
        self._gone: list[str] = []
        self._columns = self._found(inputs)

    def input(self, name: str) -> Array:
        """One input's array."""
        entry = self._entries.get(name)
        nan = takes_missing(self._graph, name)
        if isinstance(entry, TableInput):
            self.used.update(feature.name for feature in entry.features)
            self.names[name] = entry.slots
            return entry.encode_table(self._table, nan=nan)
        column = self._columns[name]
        self.used.add(column)
        self.names[name] = (column,)
        kind, arrow = self._graph.type(name), self._table.arrow.get(column)
        missing = Missing(entry.missing if isinstance(entry, ColumnInput) else None, nan)
        made = column_elements(arrow, kind.dtype or TensorProto.FLOAT)
        if made is None:
            values = self._table.columns[column]
            try:
                made = encode(values, kind.dtype or TensorProto.FLOAT, missing)
            except CellError as error:
                raise self._wrong(name, column, error) from None
            self._note_missing(column, kind, values, missing)
        return made if kind.rank == 1 else made[:, None]

    def notes(self, unused: Sequence[str]) -> tuple[Note, ...]:
        """What was left out, and what was missing."""
        told = [*self._table.notes]
        told += [left_out(self._table.source, unused)] if unused else []
        if self._gone:
            told.append(f"missing values of {self._table.source}: {', '.join(self._gone)}")
        return tuple(map(Note, told))

    def _found(self, inputs: Sequence[str]) -> dict[str, str]:
        """Column of every input that is one. Raises InputError naming those without."""
        wanted: dict[str, str] = {}
        for name in inputs:
            entry = self._entries.get(name)
            if not isinstance(entry, TableInput):
                own = entry.column if isinstance(entry, ColumnInput) else None
                wanted[name] = own or name
        there = self._table.columns
        taken = {column for column in wanted.values() if column in there}
        found = {name: find_column(column, there, taken) for name, column in wanted.items()}
        absent = [wanted[name] for name, column in found.items() if column is None]
        if absent:
            raise InputError(_absent(self._table, absent))
        return {name: column for name, column in found.items() if column is not None}

    def _wrong(self, name: str, column: str, error: CellError) -> RowError:
        what = str(error)
        if what == "the value is missing":
            entry = {"inputs": {name: {"kind": "column", "missing": "VALUE"}}}
            answer = json.dumps(entry, ensure_ascii=False).replace('"VALUE"', "VALUE")
            what += f", and the model has no answer for that; the sidecar may give one: {answer}"
        return RowError(f"{self._table.place(error.row)}, column {column!r}: {what}")

    def _note_missing(self, column: str, kind: TensorType, values: Array, missing: Missing) -> None:
        count = count_missing(values)
        if not count:
            return
        stands = "NaN" if missing.value is None else repr(missing.value)
        if kind.dtype == TensorProto.STRING and missing.value is None:
            stands = "the empty text"
        self._gone.append(f"{column} {count} (given as {stands})")


def _as_table(inputs: Any, graph: Graph, sidecar: Sidecar | None) -> Table | None:
    if is_frame(inputs):
        return from_frame(inputs)
    if is_records(inputs):
        return from_records(inputs, "the rows")
    return from_columns(inputs, "the columns") if _by_column(inputs, graph, sidecar) else None


def _by_column(inputs: Any, graph: Graph, sidecar: Sidecar | None) -> bool:
    """Whether a mapping holds columns, one value a row, where the model wants [rows, 1]."""
    if not isinstance(inputs, Mapping):
        return False
    names = tabled(graph, sidecar)
    tables = sidecar is not None and any(isinstance(e, TableInput) for e in sidecar.inputs.values())
    wide = tables or any(graph.type(name).rank == 2 for name in names)
    return wide and set(names) == set(graph.inputs) and is_columns(inputs)


def says_columns(name: str, columns: Iterable[str], graph: Graph, sidecar: Sidecar | None) -> bool:
    """Whether a table's columns fill an input by their names, not by their order."""
    entry = sidecar.inputs.get(name) if sidecar else None
    if isinstance(entry, TableInput | ColumnInput):
        return True
    if entry is not None or not is_column(graph.type(name)):
        return False
    texts = graph.type(name).dtype == TensorProto.STRING
    return texts or find_column(name, columns) is not None


def _in_order(table: Table, graph: Graph, name: str) -> FilledInputs:
    """An input [rows, features], of the columns in their order."""
    kind = graph.type(name)
    width = kind.shape[1] if kind.shape is not None and len(kind.shape) == 2 else None
    if kind.shape is not None and len(kind.shape) != 2:
        raise InputError(f"{table.source}: a table cannot be input {describe(graph)}")
    if isinstance(width, int) and width != len(table.columns):
        raise InputError(
            f"{table.source}: has {len(table.columns)} columns ({', '.join(table.columns)}), input "
            f"{name!r} takes {width}; leave the others out, or name those it takes, in their "
            'order, in the sidecar: {"inputs": {"%s": {"kind": "table", "features": '
            '[{"name": COLUMN}, ...]}}}' % name
        )
    missing = Missing(nan=takes_missing(graph, name))
    made = [_ordered(table, c, kind.dtype or TensorProto.FLOAT, missing) for c in table.columns]
    text = f"columns were taken in the order of {table.source}: {', '.join(table.columns)}"
    notes = tuple(map(Note, (*table.notes, text)))
    return FilledInputs({name: np.stack(made, 1)}, {name: tuple(table.columns)}, notes)


def _ordered(table: Table, column: str, element: int, missing: Missing) -> Array:
    quick = column_elements(table.arrow.get(column), element)
    try:
        return encode(table.columns[column], element, missing) if quick is None else quick
    except CellError as error:
        raise RowError(f"{table.place(error.row)}, column {column!r}: {error}") from None


def _absent(table: Table, absent: Sequence[str]) -> str:
    told = []
    for name in absent:
        close = find_alike(name, table.columns)
        told.append(f"{name!r}" + (f" (did you mean: {', '.join(close)}?)" if close else ""))
    there = ", ".join(table.columns)
    return f"{table.source}: has no column {', '.join(told)}; it has: {there}{table.hint}"


def _plain(name: str) -> str:
    """A name as skl2onnx writes it: letters, digits and underscores, no digit first."""
    plain = re.sub(r"[^\w+]", "_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain
