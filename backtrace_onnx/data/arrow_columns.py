"""Columns that Arrow holds, as NumPy arrays where somebody asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.arrow import as_array, holds_lists, need_arrow
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.frames import from_frame

Array = npt.NDArray[Any]


class ArrowColumns(Mapping[str, Array]):
    """Columns by name: cells, or arrays of lists; each is converted where it is first asked for.

    Args:
        arrow: the columns as Arrow has them. source: what messages call the table.
    """

    def __init__(self, arrow: Mapping[str, Any], source: str) -> None:
        self.arrow, self._source = arrow, source
        self._made: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        """One column. Raises InputError for lists that make up no array."""
        if name not in self._made:
            self._made[name] = self._converted(name, self.arrow[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrow

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrow)

    def __len__(self) -> int:
        return len(self.arrow)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_made": {}}

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.arrow.values()), ()))

    def holds_lists(self, name: str) -> bool:
        """Whether a column is one of arrays; it is not converted."""
        return holds_lists(self.arrow[name])

    def picked(self, names: Iterable[str]) -> ArrowColumns:
        """Some of the columns."""
        return ArrowColumns({name: self.arrow[name] for name in names}, self._source)

    def _converted(self, name: str, column: Any) -> Array:
        try:
            array = as_array(column)
        except InputError as error:
            raise InputError(f"{self._source}: column {name!r} {error}") from None
        if array is not None:
            return array
        if not len(column):
            return np.empty(0, object)
        table = need_arrow().table({name: column})
        return from_frame(table, self._source).columns[name]
