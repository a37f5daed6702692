"""Lines of a .csv file that are plain enough for Arrow's reader, which is many times faster.

Plain lines are UTF-8, have as many cells as the header, end by a line feed, are not blank, and
quote whole cells only, with no quotation mark and no end of a line inside. Of these Arrow and
Python read the same.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice
from typing import IO, Any

import numpy as np

from backtrace_onnx.data.arrow import has_arrow, need_arrow
from backtrace_onnx.inputs.csv_files import Place, has_numbers_only, says_separator, separator_of

_MARK, _FEED, _RETURN = b'"\n\r'
_BOM = b"\xef\xbb\xbf"


class PlainLines:
    """Reads plain lines of an open file, up to the first that is none.

    Args:
        file: open for bytes, at its start.

    Attributes:
        header: names of the columns; None where the first line is not plain, or Arrow is not there.
        written: the same with the blanks around them.
        place: where the lines lie that were not read yet; None where the header is not plain.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.header: list[str] | None = None
        self.written: list[str] = []
        self.place: Place | None = None
        first = file.readline()
        text = _header_text(first.removeprefix(_BOM))
        if text is None or not has_arrow():
            return
        separator = separator_of(text)
        self.written = next(csv.reader([text], delimiter=separator))
        header = [name.strip() for name in self.written]
        self.place = Place(len(first), 1, separator)
        if has_numbers_only(header):
            header, self.written = [f"column {i}" for i in range(1, len(header) + 1)], []
            self.place = Place(len(first) - len(first.removeprefix(_BOM)), 0, separator)
            file.seek(self.place.offset)
        self.header = header if len(set(header)) == len(header) else None

    def read(self, rows: int) -> Any:
        """An Arrow table of texts, of up to `rows` lines; None where they are not plain, or none.

        Raises OSError.
        """
        assert self.header is not None and self.place is not None
        lines = list(islice(self._file, rows))
        table = _parsed(b"".join(lines), self.header, self.place.separator) if lines else None
        if table is None or table.num_rows != len(lines):
            return None
        place = self.place
        end = place.offset + sum(map(len, lines))
        self.place = Place(end, place.line + len(lines), place.separator)
        return table


def _header_text(line: bytes) -> str | None:
    """A first line as text; None where it is not plain."""
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return None
    plain = text.strip() and not says_separator(text) and not set('"\r\0') & set(text)
    return text if plain else None


def _parsed(data: bytes, header: Sequence[str], separator: str) -> Any:
    """Lines as an Arrow table; None where they are not plain."""
    pa = need_arrow()
    import pyarrow.csv as reader

    if b"\0" in data or not _ends_plainly(data) or not _quotes_plainly(data, separator):
        return None
    try:
        table = reader.read_csv(
            pa.BufferReader(data),
            reader.ReadOptions(
                column_names=list(header), use_threads=False, block_size=len(data) + 1
            ),
            reader.ParseOptions(delimiter=separator, ignore_empty_lines=False),
            reader.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        )
    except pa.ArrowInvalid:
        return None
    return None if _has_blank(table) else table.combine_chunks()


def _ends_plainly(data: bytes) -> bool:
    """Whether lines end by a line feed only, perhaps behind a carriage return."""
    return b"\r" not in data or data.count(b"\r") == data.count(b"\r\n")


def _quotes_plainly(data: bytes, separator: str) -> bool:
    """Whether quotation marks come in pairs of one line that have whole cells between them."""
    if b'"' not in data:
        return True
    read = np.frombuffer(b"\n" + data + b"\n", np.uint8)
    marks = np.flatnonzero(read == _MARK)
    if len(marks) % 2:
        return False
    before, after = read[marks[::2] - 1], read[marks[1::2] + 1]
    feeds = np.flatnonzero(read == _FEED)
    inside = np.searchsorted(feeds, marks)
    return bool(
        np.isin(before, (ord(separator), _FEED)).all()
        and np.isin(after, (ord(separator), _FEED, _RETURN)).all()
        and (inside[::2] == inside[1::2]).all()
    )


def _has_blank(table: Any) -> bool:
    """Whether a row holds nothing but blanks."""
    import pyarrow.compute as pc

    blank = None
    for column in table.columns:
        own = pc.equal(pc.utf8_trim_whitespace(column), "")
        blank = own if blank is None else pc.and_(blank, own)
        if not pc.any(blank).as_py():
            return False
    return True


__all__ = ["PlainLines"]
