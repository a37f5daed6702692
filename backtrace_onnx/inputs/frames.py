"""Tables before a model reads them: data frames, records and arrays by column, as columns."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Table:
    """Columns of one length.

    Attributes:
        source: what messages call it: the file, or "the frame".
        columns: [rows] by name: numbers, or objects, of which None and NaN are missing.
        hint: what a user may have meant if a column is not there.
        lines: where each row lies in the file, its lines counted from 1, if that is known.
        arrow: the columns as Arrow has them, where it does: these are read without a look at
            every cell.
        notes: what was assumed in reading it, a sentence each.
    """

    source: str
    columns: Mapping[str, Array]
    hint: str = ""
    lines: Sequence[int] = ()
    arrow: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()), ()))

    def place(self, row: int) -> str:
        """What messages call a row, counted from 0."""
        if self.lines:
            return f"{self.source}: line {self.lines[row]}"
        return f"{self.source}: row {row + 1}"

    def records(self) -> list[dict[str, Any]]:
        """The rows, as mappings from column to value."""
        lists = [column.tolist() for column in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*lists, strict=True)]


def is_frame(given: Any) -> bool:
    """Whether something looks like a data frame: of pandas, polars, pyarrow, ..."""
    # collect_schema first: a lazy frame warns where it is asked for its columns
    known = ("collect_schema", "columns", "column_names", "__narwhals_dataframe__")
    return not isinstance(given, Mapping | np.ndarray) and any(hasattr(given, k) for k in known)


def is_records(given: Any) -> bool:
    """Whether something is a list of rows, each a mapping from column to value."""
    return (
        isinstance(given, list | tuple)
        and bool(given)
        and all(isinstance(row, Mapping) for row in given)
    )


_SEVERAL = (Mapping, list, tuple, set, np.ndarray)


def left_out(source: str, unused: Sequence[str]) -> str:
    """That no input takes those columns, in words."""
    names = ", ".join(map(repr, unused))
    what = f"columns {names}, which are" if len(unused) > 1 else f"column {names}, which is"
    return f"{source}: the model has no input for {what} left out"


def is_columns(given: Any) -> bool:
    """Whether something holds columns by name: a list of single values, or one value, each."""
    return isinstance(given, Mapping) and bool(given) and all(map(_is_flat, given.values()))


def from_frame(frame: Any, source: str = "the frame") -> Table:
    """The columns of a data frame, by narwhals; an index is left out. Raises InputError."""
    import narwhals as nw

    try:
        known = nw.from_native(_whole(frame), eager_only=True)
    except nw.exceptions.DuplicateError as error:
        raise InputError(f"{source} names a column twice: {error}") from None
    except TypeError:
        lazy = hasattr(frame, "collect")
        what = "is lazy: give frame.collect()" if lazy else f"is no data frame: {type(frame)}"
        raise InputError(f"{source} {what}") from None
    columns: dict[str, Array] = {}
    for series in known.iter_columns():
        name = _name(series.name)
        if name in columns:
            raise InputError(f"{source} names column {name!r} twice")
        columns[name] = _values(series, f"{source}: column {name!r}", nw)
    return _checked(Table(source, columns, _index_hint(frame)))


def _whole(frame: Any) -> Any:
    """The frame itself; of one of pyarrow's batches of rows, the table."""
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None and isinstance(frame, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([frame])
    return frame


def from_records(rows: Sequence[Mapping[Any, Any]], source: str) -> Table:
    """The columns of rows, all with the same keys. Raises InputError naming the row."""
    first = list(rows[0])
    for number, row in enumerate(rows, 1):
        for key in first:
            if key not in row:
                raise InputError(f"{source}: row {number} has no {key!r}, which row 1 has")
        for key in row:
            if key not in rows[0]:
                raise InputError(f"{source}: row {number} has {key!r}, which row 1 has not")
    return _checked(
        Table(source, {str(key): _objects([row[key] for row in rows]) for key in first})
    )


def from_columns(columns: Mapping[Any, Any], source: str) -> Table:
    """Columns given by name: lists, arrays or series, or single values as one row."""
    single = all(_is_single(value) for value in columns.values())
    made = {
        str(name): _objects([value]) if single else _column(str(name), value, source)
        for name, value in columns.items()
    }
    sizes = {len(column) for column in made.values()}
    if len(sizes) > 1:
        told = ", ".join(f"{name} {len(column)}" for name, column in made.items())
        raise InputError(f"{source}: the columns are not of one length: {told}")
    return _checked(Table(source, made))


def _is_flat(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return not any(isinstance(v, list | tuple | np.ndarray | Mapping) for v in value)
    return getattr(value, "ndim", 0) == 1 or hasattr(value, "to_numpy") or _is_single(value)


def _is_single(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float | np.generic)


def _column(name: str, value: Any, source: str) -> Array:
    if hasattr(value, "to_numpy") and not isinstance(value, np.ndarray):
        return from_frame(_as_frame(name, value), source).columns[name]
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return value if value.dtype.kind in "fiub" else _objects(value.tolist())
    if isinstance(value, list | tuple):
        return _objects(value)
    raise InputError(f"{source}: column {name!r} is no list of values, one a row")


def _as_frame(name: str, series: Any) -> Any:
    """A series of any library as a frame of one column."""
    import narwhals as nw

    try:
        return nw.from_native(series, series_only=True).alias(name).to_frame().to_native()
    except TypeError:
        raise InputError(f"column {name!r} is no list of values, but {type(series)}") from None


def _checked(table: Table) -> Table:
    if not table.columns or not table.rows:
        raise InputError(f"{table.source}: has no {'rows' if table.columns else 'columns'}")
    for name, column in table.columns.items():
        kinds = set(map(type, column)) if column.dtype.kind == "O" else set[type]()
        if not any(issubclass(kind, _SEVERAL) for kind in kinds):
            continue
        for row, value in enumerate(column, 1):
            if isinstance(value, _SEVERAL):
                raise InputError(
                    f"{table.source}: row {row}, column {name!r}: holds {_kind(value)}; a cell is "
                    "one number or text"
                )
    return table


def _kind(value: Any) -> str:
    return "an object" if isinstance(value, Mapping) else "a list"


def _objects(values: Iterable[Any]) -> Array:
    """object[rows], where NumPy does not look into the values."""
    listed = list(values)
    made = np.empty(len(listed), object)
    made[:] = listed
    return made


def _values(series: Any, what: str, nw: Any) -> Array:
    """A column of a frame: an array where all of it is numbers, else objects, missing ones None."""
    gone = series.is_null()
    if series.dtype.is_numeric() and series.dtype != nw.Decimal and not gone.any():
        return np.asarray(series.to_numpy())
    if series.dtype == nw.Boolean and not gone.any():
        return np.asarray(series.to_numpy()).astype(bool)
    if isinstance(series.dtype, nw.List | nw.Array | nw.Struct):
        raise InputError(f"{what} holds {series.dtype}; a cell is one number or text")
    values = _objects(series.to_list())
    values[np.asarray(gone.to_list(), bool)] = None
    return values


def _name(name: Any) -> str:
    """A column's name as text; those of several levels are joined by dots."""
    return ".".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _index_hint(frame: Any) -> str:
    """What to do where a column was made the index of a pandas frame."""
    names = [str(n) for n in getattr(getattr(frame, "index", None), "names", ()) if n is not None]
    if not names:
        return ""
    return f"; {' and '.join(map(repr, names))} is the frame's index: give frame.reset_index()"
