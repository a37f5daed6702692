"""Tables of results as numbers: relevance by feature, modules, maps, words, and who a row is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.arrow import as_array, need_arrow
from backtrace_onnx.errors import InputError
from backtrace_onnx.metrics import grid

Array = npt.NDArray[Any]
MOST, SQUARES, STRETCHES = 1000, 8, 32
_SIDE, _CHANNELS = 8, 4  # of a picture: shorter side at least, channels at most


@dataclass(frozen=True)
class ListInput:
    """An input whose relevance is a list for every row.

    Attributes:
        shape: of a row. owner: int64[entries], the feature of each, among `names`.
        channels: axis of a picture's channels; None where it is no picture, or has none.
        picture: whether it is one.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    owner: Array
    picture: bool = False
    channels: int | None = None

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...]) -> ListInput:
        """Squares of a picture, entries where they are few, else stretches of a line, or all."""
        size = int(np.prod(shape))
        axis = _channels(shape)
        if axis is not None or (len(shape) == 2 and min(shape) >= _SIDE and size > MOST):
            return cls._squares(name, shape, axis)
        if size <= MOST:
            places = [f"{name}[{', '.join(map(str, at))}]" if at else name for at in _at(shape)]
            return cls(shape, tuple(places), np.arange(size))
        if len(shape) > 1:
            return cls(shape, (name,), np.zeros(size, np.int64))
        long = ceil(size / STRETCHES)
        ends = [(i, min(i + long, size)) for i in range(0, size, long)]
        names = tuple(f"{name}[{start}:{end}]" for start, end in ends)
        return cls(shape, names, np.arange(size) // long)

    @classmethod
    def _squares(cls, name: str, shape: tuple[int, ...], axis: int | None) -> ListInput:
        rows, columns = (n for i, n in enumerate(shape) if axis is None or i != axis % len(shape))
        side = ceil(max(rows, columns) / SQUARES)
        names = tuple(
            f"{name}[{r}:{min(r + side, rows)}, {c}:{min(c + side, columns)}]"
            for r in range(0, rows, side)
            for c in range(0, columns, side)
        )
        owner = grid(shape, side, channel_axis=axis).reshape(-1)
        return cls(shape, names, owner, True, axis)

    def sums(self, rows: Array) -> Array:
        """float64[rows, features] of relevance [rows, *shape]."""
        flat = rows.reshape(len(rows), -1).astype(np.float64)
        made = np.zeros((len(rows), len(self.names)))
        np.add.at(made.T, self.owner, flat.T)
        return made

    def map(self, rows: Array) -> Array:
        """float64[rows, height, width]: a picture's channels added up."""
        values = rows.astype(np.float64)
        return values if self.channels is None else values.sum(axis=self.channels % 3 + 1)


@dataclass(frozen=True)
class ResultRows:
    """Rows of results.

    Attributes:
        table: Arrow, as `ExplainBatches` returns them. lists: inputs of lists that are no texts.
        block: the number of these rows among all, counted in blocks.
    """

    table: Any
    lists: Mapping[str, ListInput]
    block: int = 0
    _arrays: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.table.num_rows)

    @cached_property
    def scalars(self) -> list[str]:
        """The features that are one number a row."""
        other = (*self.lists, *self.texts, *self.beside)
        return [n for n in _under(self.table, "relevance") if n not in other]

    @cached_property
    def beside(self) -> list[str]:
        """The lists that go with a text, such as its mask: as long as it, and one feature each."""
        pa = need_arrow()
        return [
            name
            for name in _under(self.table, "relevance")
            if pa.types.is_list(self.table.column(f"relevance/{name}").type)
            and name not in (*self.lists, *self.texts)
        ]

    @cached_property
    def texts(self) -> list[str]:
        """The inputs that are texts."""
        return _under(self.table, "tokens")

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Names of all features: numbers first, then those of lists."""
        named = (name for own in self.lists.values() for name in own.names)
        return (*self.scalars, *named, *self.beside)

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """Paths of the modules whose relevance was kept."""
        return tuple(_under(self.table, "module"))

    @cached_property
    def relevance(self) -> Array:
        """float64[rows, features]."""
        parts = [self._numbers("relevance", self.scalars)]
        parts += [own.sums(self.array(name)) for name, own in self.lists.items()]
        for name in self.beside:
            rows = self.table.column(f"relevance/{name}").to_pylist()
            parts.append(np.array([[sum(row)] for row in rows], np.float64).reshape(-1, 1))
        return np.concatenate(parts, 1)

    @cached_property
    def received(self) -> Array:
        """float64[rows, modules]: relevance that modules received."""
        return self._numbers("module", self.modules)

    @cached_property
    def start(self) -> Array:
        """float64[rows]: |relevance| that a row started with, all channels."""
        names = [n for n in _under(self.table, "ledger") if n.split("/")[-1] == "start"]
        made: Array = np.abs(self._numbers("ledger", names)).sum(1)
        return made

    def words(self, name: str) -> list[list[tuple[str, float]]]:
        """The words of every row's text and their relevance, in their order."""
        tokens = self.table.column(f"tokens/{name}").to_pylist()
        relevance = self.table.column(f"relevance/{name}").to_pylist()
        return [_words(*both) for both in zip(tokens, relevance, strict=True)]

    def token_sizes(self, name: str) -> Array:
        """float64[rows]: the sum of |relevance| of every row's tokens."""
        rows = self.table.column(f"relevance/{name}").to_pylist()
        return np.array([sum(map(abs, row)) for row in rows], np.float64)

    def array(self, name: str) -> Array:
        """[rows, *shape]: the relevance of an input of lists. Raises InputError if it differs."""
        if name not in self._arrays:
            found = as_array(self.table.column(f"relevance/{name}"))
            assert found is not None
            if found.shape[1:] != self.lists[name].shape and len(found):
                raise InputError(
                    f"input {name!r} is {list(found.shape[1:])} in some rows and "
                    f"{list(self.lists[name].shape)} in others; means need one shape"
                )
            self._arrays[name] = found
        return self._arrays[name]

    def value(self, feature: str) -> Array | None:
        """[rows]: what a feature holds; None where it was not kept."""
        name = f"value/{feature}"
        if name in self.table.column_names:
            column = self.table.column(name)
            single = not need_arrow().types.is_nested(column.type)
            return np.asarray(column.to_numpy()) if single else None
        for input_, own in self.lists.items():
            if feature in own.names and f"value/{input_}" in self.table.column_names:
                held = as_array(self.table.column(f"value/{input_}"))
                if held is None or own.picture:
                    return None
                at = own.owner == own.names.index(feature)
                mean: Array = held.reshape(len(held), -1)[:, at].mean(1)
                return mean
        return None

    def cells(self, column: str) -> list[Any]:
        """The values of a column of the table."""
        return list(self.table.column(column).to_pylist())

    def _numbers(self, group: str, names: Iterable[str]) -> Array:
        columns = [self.table.column(f"{group}/{name}").to_numpy() for name in names]
        return np.stack(columns, 1).astype(np.float64) if columns else np.zeros((self.count, 0))


def in_blocks(tables: Iterable[Any], size: int) -> Iterator[ResultRows]:
    """Results in blocks of `size` rows, the last one smaller, however many rows tables have."""
    pa = need_arrow()
    waiting: list[Any] = []
    lists: dict[str, ListInput] | None = None
    rows = block = 0
    for table in tables:
        if not table.num_rows:
            continue
        lists = _lists(table) if lists is None else lists
        waiting.append(table)
        rows += table.num_rows
        while rows >= size:
            whole = pa.concat_tables(waiting)
            yield ResultRows(whole.slice(0, size), lists, block)
            waiting, rows, block = [whole.slice(size)], rows - size, block + 1
    if rows and lists is not None:
        yield ResultRows(pa.concat_tables(waiting), lists, block)


def _lists(table: Any) -> dict[str, ListInput]:
    pa = need_arrow()
    texts = _under(table, "tokens")
    made: dict[str, ListInput] = {}
    for name in _under(table, "relevance"):
        column = table.column(f"relevance/{name}")
        if name in texts or not pa.types.is_list(column.type):
            continue
        if texts and not pa.types.is_list(column.type.value_type):
            continue  # goes with a text
        found = as_array(column.slice(0, 1))
        assert found is not None
        made[name] = ListInput.of(name, found.shape[1:])
    return made


def _under(table: Any, group: str) -> list[str]:
    """What follows `group/` in names of columns."""
    start = f"{group}/"
    return [name.removeprefix(start) for name in table.column_names if name.startswith(start)]


def _channels(shape: tuple[int, ...]) -> int | None:
    """The axis of a picture's channels; None where it is none, or has none."""
    if len(shape) != 3:
        return None
    if shape[0] <= _CHANNELS and min(shape[1:]) >= _SIDE:
        return 0
    return -1 if shape[2] <= _CHANNELS and min(shape[:2]) >= _SIDE else None


def _at(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return iter(np.ndindex(*shape))


def _words(tokens: list[str], relevance: list[float]) -> list[tuple[str, float]]:
    """Tokens that belong to one word together: a word begins with a space, or after a mark."""
    words: list[tuple[str, float]] = []
    for i, (token, r) in enumerate(zip(tokens, relevance, strict=True)):
        bare = token.strip()
        inner = i > 0 and bare == token and bare[:1].isalnum() and tokens[i - 1][-1:].isalnum()
        if inner and words:
            words[-1] = (words[-1][0] + bare, words[-1][1] + r)
        else:
            words.append((bare, r))
    return words
