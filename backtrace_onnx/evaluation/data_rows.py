"""The rows that an evaluation is about: drawn from data of any size, one sample each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.encoding import RowEncoder
from backtrace_onnx.data.reading import Data, DataFile, find_files
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import InputError, RowError

Array = npt.NDArray[Any]
_AT_ONCE = 256


@dataclass(frozen=True)
class DataRow:
    """One row of the data: where it lies, and what the model takes for it."""

    place: str
    feeds: dict[str, Array]


class DataRows:
    """Rows drawn from a data set, in their order.

    Args:
        data: files, folders or patterns. most: how many are drawn; None: all.
        encoder: how rows become inputs. seed: of the draw.
        skip_bad: whether rows that cannot be read are left out.

    Attributes:
        files: what was read. there: how many rows there are. bad: why some were left out.

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
        self.files: list[DataFile] = find_files(data)
        self._encoder, self._skip = encoder, skip_bad
        self.bad: list[str] = []
        self.there = sum(block.rows for block in self._blocks())
        if not self.there:
            raise InputError(f"{', '.join(str(f.paths[0]) for f in self.files)}: no rows")
        if most is None or most >= self.there:
            chosen = np.arange(self.there)
        else:
            drawn = np.random.default_rng(seed).choice(self.there, most, replace=False)
            chosen = np.sort(drawn)
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
            feeds = dict(self._encoder.encode(block).feeds)
        except RowError as error:
            if not self._skip:
                raise
            self.bad.append(str(error))
            return None
        return DataRow(_place(block), feeds)

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
            for row in here:
                yield block.take(np.array([row]))
            before += block.rows


def _place(block: RowBlock) -> str:
    if block.kind == "files":
        return str(block.columns["file"][0])
    return block.place(0)


__all__ = ["DataRow", "DataRows"]
