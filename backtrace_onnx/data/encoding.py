"""From rows of a data set to what a model takes, by the same readers as single files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.data.array_rows import array_feeds, array_notes
from backtrace_onnx.data.row_blocks import FILE, TEXT, BadRow, RowBlock
from backtrace_onnx.errors import InputError, RowError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.input_checking import describe
from backtrace_onnx.inputs.files import InputReader
from backtrace_onnx.inputs.frames import Table, left_out
from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.series import SeriesInput
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.spectrograms import SpectrogramInput
from backtrace_onnx.inputs.table_inputs import column_names, fill, named_columns
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.text.inputs import TextInput

Array = npt.NDArray[Any]
_OPENED = ImageInput | SeriesInput | SpectrogramInput
_Encoded = tuple[dict[str, Array], Mapping[str, tuple[str, ...]], tuple[Note, ...]]


@dataclass(frozen=True)
class EncodedRows:
    """Rows as a model takes them, and those that could not be read.

    Attributes:
        rows: of which rows of the block they are.
        feeds: arrays by input name; empty where no row is left.
        names: what the entries of inputs are called, by input.
        shared: the inputs that are one for all rows.
    """

    rows: npt.NDArray[np.intp]
    feeds: Mapping[str, Array] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    bad: tuple[BadRow, ...] = ()
    shared: frozenset[str] = frozenset()

    def take(self, samples: Sequence[int], axes: Mapping[str, int]) -> EncodedRows:
        """Some of the samples; `axes`: where those of each input lie."""
        at = np.array(samples, np.intp)
        feeds = {
            name: x if name in self.shared else x.take(at, axes[name])
            for name, x in self.feeds.items()
        }
        return replace(self, rows=self.rows[at], feeds=feeds)


class RowEncoder:
    """Makes a model's inputs of rows.

    Args:
        graph: the model's inputs and what is known of them.
        sidecar: how raw data become inputs, if anybody said.
        kept: the columns that are no inputs.
    """

    def __init__(self, graph: Graph, sidecar: Sidecar | None, kept: KeptColumns) -> None:
        self.graph = self._graph = graph
        self.opens = opens_files(sidecar)
        self._sidecar, self._kept = sidecar, kept
        self._reader = InputReader(graph, sidecar)

    def encode(self, block: RowBlock, *, skip_bad: bool = False) -> EncodedRows:
        """The inputs that the rows make up.

        Rows that do not fit raise RowError naming file and line, or are left out and named where
        they may be skipped. Raises InputError where no row could fit, and warns of nothing.
        """
        self._kept.check(tuple(block.columns), block.source)
        if block.bad and not skip_bad:
            first = block.bad[0]
            raise RowError(first.reason)
        every = np.arange(block.rows)
        if not block.rows:
            return EncodedRows(every, bad=block.bad)
        try:
            return self._whole(block, every, block.bad)
        except RowError:
            if not skip_bad:
                raise
        bad = {i: reason for i in range(block.rows) if (reason := self._wrong(block, i))}
        good = np.array([i for i in range(block.rows) if i not in bad], np.intp)
        told = tuple(BadRow(block.source, _line(block, i), why) for i, why in bad.items())
        if not len(good):
            return EncodedRows(good, bad=(*block.bad, *told))
        return self._whole(block.take(good), good, (*block.bad, *told))

    def shown(self, block: RowBlock) -> Array | None:
        """The files or texts that rows are, for people to know them by; None for others."""
        if block.parts:
            every = (self.shown(part) for part in block.parts.values())
            return next((own for own in every if own is not None), None)
        if block.kind in ("files", "texts"):
            return block.columns[FILE if block.kind == "files" else TEXT]
        cells = [n for n in self._inputs(block) if not block.holds_arrays(n)]
        name = self._text_column(cells, None) or self._file_column(cells, (), None)
        return None if name is None else block.columns[name]

    def _whole(
        self, block: RowBlock, rows: npt.NDArray[np.intp], bad: tuple[BadRow, ...]
    ) -> EncodedRows:
        feeds, names, notes = self._encoded(block)
        notes = (*_found(block), *notes)
        names = {**column_names(self._graph), **names}
        feeds = {**feeds, **block.shared}
        return EncodedRows(rows, feeds, names, notes, bad, frozenset(block.shared))

    def _wrong(self, block: RowBlock, row: int) -> str | None:
        """Why a row alone does not fit; None where it does."""
        try:
            self._encoded(block.take(np.array([row])))
        except RowError as error:
            return str(error)
        return None

    def _encoded(self, block: RowBlock) -> _Encoded:
        """Inputs, names of their entries, notes."""
        if not block.parts:
            return self._part(block, {*block.shared})
        feeds: dict[str, Array] = {}
        names: dict[str, tuple[str, ...]] = {}
        notes: tuple[Note, ...] = ()
        given = {*block.shared, *block.parts} - {""}
        for name, part in block.parts.items():
            made = self._part(part, given - {name}, name or None)
            feeds |= made[0]
            names |= made[1]
            notes += made[2]
        return feeds, names, notes

    def _part(self, block: RowBlock, given: Collection[str], only: str | None = None) -> _Encoded:
        """What rows make up: the input `only`, or those that are not `given` otherwise."""
        if block.kind == "files":
            return self._opened(block, FILE, only), {}, ()
        if block.kind == "texts":
            return self._read_texts(block, TEXT, only), {}, ()
        columns = self._inputs(block)
        arrays = {name: block.columns[name] for name in columns if block.holds_arrays(name)}
        feeds = array_feeds(block, arrays, self._graph, given, only) if arrays else {}
        named = () if only or not arrays else array_notes(block, arrays, self._graph, given)
        cells = block.picked(name for name in columns if name not in arrays)
        whole = only in feeds or {*feeds, *given} >= {*self._graph.inputs}
        if whole or not cells:
            return feeds, {}, (*named, *_left(block, cells, only))
        if (said := self._text_column(cells, only)) is not None:
            left = _left(block, [name for name in cells if name != said], only)
            taken = () if only else self._taken_for(block, said)
            return {**self._read_texts(block, said, only), **feeds}, {}, (*named, *taken, *left)
        if (said := self._file_column(cells, given, only)) is not None:
            left = _left(block, [name for name in cells if name != said], only)
            return {**self._opened(block, said, only), **feeds}, {}, (*named, *left)
        lines = block.lines if block.are_lines else ()
        table = Table(block.source, cells, lines=lines, arrow=block.arrow)
        filled = fill(table, self._graph, self._sidecar, given={*feeds, *given}, only=only)
        return {**filled.feeds, **feeds}, filled.names, (*named, *filled.notes)

    def _inputs(self, block: RowBlock) -> list[str]:
        """The columns that inputs may be made of."""
        needed = named_columns(tuple(block.columns), self._graph, self._sidecar)
        for name in (*self._kept.labels, *self._kept.ids):
            if name in needed:
                what = "a label" if name in self._kept.labels else "an id"
                raise InputError(
                    f"{block.source}: column {name!r} is an input of the model, and cannot be "
                    f"{what}, which is none"
                )
        both = set(self._kept.groups) & (needed | set(self._graph.inputs))
        out = set(self._kept.names) - both
        return [name for name in block.columns if name not in out]

    def _opened(self, block: RowBlock, column: str, only: str | None) -> dict[str, Array]:
        """Pictures or sound, a file a row; those that a table names lie where it says."""
        names = [only] if only else self._opening()
        folder = Path() if block.kind == "files" else Path(block.source).parent
        files = [str(folder / str(path)) for path in block.columns[column]]
        if len(names) != 1:
            return dict(self._reader.read(files).feeds)  # which says what is missing
        try:
            return dict(self._reader.read([f"{names[0]}={file}" for file in files]).feeds)
        except InputError as error:
            raise RowError(str(error)) from None

    def _opening(self, given: Collection[str] = ()) -> list[str]:
        """The inputs that are made of pictures or sound, but those that are given otherwise."""
        entries = self._sidecar.inputs if self._sidecar else {}
        every = (name for name in self._graph.inputs if name not in given)
        return [name for name in every if isinstance(entries.get(name), _OPENED)]

    def _file_column(
        self, cells: Collection[str], given: Collection[str], only: str | None
    ) -> str | None:
        """The column that names the files of a model that takes pictures or sound."""
        inputs = self._opening(given)
        if len(inputs) != 1 or only not in (None, inputs[0]):
            return None
        return next((name for name in (inputs[0], FILE) if name in cells), None)

    def _text_column(self, cells: Collection[str], only: str | None) -> str | None:
        """The column that holds the texts of a model that reads them."""
        inputs = list(self._reader.texts)
        if len(inputs) != 1 or only not in (None, inputs[0]):
            return None
        names = (inputs[0], TEXT)
        found = next((name for name in names if name in cells), None)
        return found or (next(iter(cells)) if len(cells) == 1 else None)

    def _taken_for(self, block: RowBlock, column: str) -> tuple[Note, ...]:
        """That a table's only column is read as texts, where it is not called so."""
        (name,) = self._reader.texts
        if column in (name, TEXT):
            return ()
        return (Note(f"{block.source}: column {column!r} is taken for {name!r}, as texts"),)

    def _read_texts(self, block: RowBlock, column: str, only: str | None) -> dict[str, Array]:
        texts = block.columns[column].tolist()
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise RowError(f"{block.place(row)}: {text!r} is no text")
        entries = self._reader.texts
        entry = entries.get(only) if only else next(iter(entries.values()), None)
        if entry is None:
            return self._plain_texts(block, texts, only)
        try:
            return entry.encode(texts, self._graph)
        except InputError as error:
            if len(texts) == 1:
                raise RowError(f"{block.place(0)}: {error}") from None
            for row, text in enumerate(texts):
                self._check_text(block, row, text, entry)
            raise

    def _check_text(self, block: RowBlock, row: int, text: str, entry: TextInput) -> None:
        try:
            entry.encode([text], self._graph)
        except InputError as error:
            raise RowError(f"{block.place(row)}: {error}") from None

    def _plain_texts(self, block: RowBlock, texts: list[str], only: str | None) -> dict[str, Array]:
        """Texts as they are, for an input of texts."""
        inputs = (only,) if only else self._graph.inputs
        strings = [n for n in inputs if self._graph.type(n).dtype == TensorProto.STRING]
        if len(strings) != 1 or len(inputs) != 1:
            raise InputError(
                f"{block.source}: how texts become inputs is not known: give a tokenizer, or a "
                f"sidecar with one; the model has: {describe(self._graph)}"
            )
        shape = [len(texts)] + [1] * ((self._graph.type(strings[0]).rank or 1) - 1)
        return {strings[0]: np.array(texts, object).reshape(shape)}


def opens_files(sidecar: Sidecar | None) -> bool:
    """Whether a model takes pictures or sound, as far as its sidecar says."""
    return sidecar is not None and any(isinstance(e, _OPENED) for e in sidecar.inputs.values())


def _left(block: RowBlock, cells: Iterable[str], only: str | None) -> tuple[Note, ...]:
    """That no input takes cells; of a file for one input others may take them."""
    unused = tuple(cells)
    return (Note(left_out(block.source, unused)),) if unused and not only else ()


def _found(block: RowBlock) -> tuple[Note, ...]:
    """What is to be told of how the rows were found."""
    every = (*block.notes, *(text for part in block.parts.values() for text in part.notes))
    return tuple(Note(text) for text in every)


def _line(block: RowBlock, row: int) -> int:
    return block.lines[row] if block.lines else row + 1
