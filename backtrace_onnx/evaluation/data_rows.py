"""The rows that an evaluation is about: drawn from data of any size, one sample each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.encoding import RowEncoder
from backtrace_onnx.data.reading import Data, DataFile, find_files
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import BacktraceError, InputError, RowError
from backtrace_onnx.evaluation.mask_files import without_masks

Array = npt.NDArray[Any]
_AT_ONCE = 256


@dataclass(frozen=True)
class DataRow:
    """One row of the data: where it lies, and what the model takes for it.

    Attributes:
        number: in the data, from 0. names: of the entries of inputs, where known.
        picture: the file that it is, of pictures and sound.
    """

    place: str
    feeds: dict[str, Array]
    number: int = 0
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    picture: Path | None = None


class DataRows:
    """Rows drawn from a data set, in their order.

    Args:
        data: files, folders or patterns. most: how many are drawn; None: all.
        encoder: how rows become inputs. seed: of the draw.
        skip_bad: whether rows that cannot be read are left out.

    Attributes:
        files: what was read. there: how many rows there are. bad: why some were left out.
        masks: pictures that are masks of others, and no rows.
        notes: what was left out or assumed in reading those that are drawn, a sentence each.

    Raises InputError where data cannot be read; names file and line.
    """

    def __init__(
        self,
        data: Data,
        encoder: RowEncoder,
        *,
        most: int | None = None,
        seed: int = 0,
        skip_bad: bool = False,
    ) -> None:
        self.masks: list[Path] = []
        found = find_files(data, encoder.graph, opens=encoder.opens)
        self.files: list[DataFile] = [self._without_masks(file) for file in found]
        self._encoder, self._skip = encoder, skip_bad
        self.bad: list[str] = []
        self.notes: dict[str, None] = {}
        self.there = sum(block.rows for block in self._blocks())
        if not self.there:
            raise InputError(f"{', '.join(f.called for f in self.files)}: no rows")
        if most is None or most >= self.there:
            chosen = np.arange(self.there)
        else:
            drawn = np.random.default_rng(seed).choice(self.there, most, replace=False)
            chosen = np.sort(drawn)
        self._numbers = chosen
        self._chosen = list(self._taken(chosen))

    def __len__(self) -> int:
        return len(self._chosen)

    def rows(self) -> Iterator[DataRow | None]:
        """Every row, None where it cannot be read. Raises RowError unless such are left out."""
        for number in range(len(self)):
            yield self.row(number)

    def row(self, number: int) -> DataRow | None:
        """One of them, None where it cannot be read. Raises RowError unless such are left out."""
        block = self._chosen[number]
        try:
            made = self._encoder.encode(block)
        except RowError as error:
            if not self._skip:
                raise
            self.bad.append(str(error))
            return None
        place, at = _place(block), int(self._numbers[number])
        picture = Path(place) if block.kind == "files" else None
        return DataRow(place, dict(made.feeds), at, made.names, picture)

    @property
    def pictures(self) -> list[Path]:
        """The files of all rows that are pictures or sound."""
        files = [file for file in self.files if file.kind == "files"]
        return [Path(str(path)) for file in files for path in file.paths]

    def _without_masks(self, file: DataFile) -> DataFile:
        if file.kind != "files":
            return file
        rows, masks = without_masks(Path(str(path)) for path in file.paths)
        self.masks += masks
        return replace(file, paths=tuple(rows))

    def _blocks(self) -> Iterator[RowBlock]:
        for file in self.files:
            for block in file.blocks(_AT_ONCE):
                if block.bad and not self._skip:
                    raise RowError(block.bad[0].reason)
                yield block

    def _taken(self, chosen: Array) -> Iterator[RowBlock]:
        before = 0
        for block in self._blocks():
            self.bad += [bad.reason for bad in block.bad]
            here = chosen[(chosen >= before) & (chosen < before + block.rows)] - before
            self.notes |= dict.fromkeys(self._told(block.take(here)) if len(here) else ())
            for row in here:
                yield block.take(np.array([row]))
            before += block.rows

    def _told(self, block: RowBlock) -> Iterator[str]:
        """What reading rows tells; what is wrong with them, each alone will tell."""
        if block.kind == "files":
            yield from block.notes
            return
        with suppress(BacktraceError):
            yield from (note.text for note in self._encoder.encode(block, skip_bad=True).notes)


def _place(block: RowBlock) -> str:
    if block.kind == "files":
        return str(block.columns["file"][0])
    return block.place(0)


__all__ = ["DataRow", "DataRows"]
