"""The folder of a data set's results: parts that are there whole or not at all, and a manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backtrace_onnx.data.arrow import need_arrow
from backtrace_onnx.data.row_blocks import BadRow
from backtrace_onnx.errors import InputError, RequestError

MANIFEST = "_manifest.json"  # readers of a folder of .parquet files pass over such names
FORMAT = 1
_GROUP = 1 << 25  # bytes of a group of rows
_TOLD = 20  # bad rows that a part names


@dataclass(frozen=True)
class ResultPart:
    """One file of results.

    Attributes:
        rows: results in it. read: rows of the data that it tells of, those left out among them.
        skipped: rows that could not be read. bad: the first of these.
        notes: what was left out or missing in reading.
        bytes: how large the file is.
    """

    file: str
    rows: int
    read: int
    skipped: int
    bytes: int
    bad: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()


class ResultsFolder:
    """Keeps the parts of one run; use it within `locking.locked`.

    Args:
        path: the folder, which is there.
        run: what the run is a run of, as JSON has it.
        resume: whether parts of the same run are kept; else they are removed.

    Raises:
        RequestError: the folder holds results of another run, or other parts.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], *, resume: bool = True) -> None:
        self.path, self._run = path, run
        self.columns: dict[str, str] = {}
        self.parts: list[ResultPart] = []
        self.complete = False
        earlier = read_manifest(path)
        begun = earlier is not None and (earlier["parts"] or earlier["complete"])
        if earlier is not None and begun and resume:
            self._check(earlier["run"])
            self.columns, self.complete = earlier["columns"], earlier["complete"]
            self.parts = list(_whole(path, earlier))
            self.complete = self.complete and len(self.parts) == len(earlier["parts"])
        if earlier is None and any(path.glob("part-*.parquet")):
            raise RequestError(f"{path}: holds parts of which no {MANIFEST} tells; choose another")
        with self._writing():
            self._write(complete=self.complete)
            kept = {part.file for part in self.parts}
            for file in (*path.glob("part-*.parquet"), *path.glob(".part-*")):
                if file.name not in kept:
                    file.unlink()

    @contextmanager
    def part(self) -> Iterator[PartWriter]:
        """Write the next part; it is there once this is left, and not at all where that fails.

        Raises RequestError where the folder cannot be written, or the disk is full.
        """
        name = f"part-{len(self.parts):05}.parquet"
        writer = PartWriter(self, self.path / f".{name}", name)
        try:
            yield writer
            with self._writing():
                size = writer.close()
                writer.path.replace(self.path / name)
                self.parts.append(writer.told(size))
                self._write(complete=False)
        except BaseException:
            writer.drop()
            raise

    def finish(self) -> None:
        """Say that all of the data set is there."""
        with self._writing():
            self._write(complete=True)
        self.complete = True

    def _check(self, earlier: Mapping[str, Any]) -> None:
        for key in ("model", "data", "options", "versions"):
            was, now = earlier.get(key), self._run.get(key)
            if was != now:
                raise RequestError(
                    f"{self.path}: holds results of another run: {difference(key, was, now)}; "
                    "choose another folder, or begin anew (resume=False, --no-resume)"
                )

    def _write(self, *, complete: bool) -> None:
        about = {
            "format": FORMAT,
            "complete": complete,
            "rows": sum(part.rows for part in self.parts),
            "skipped": sum(part.skipped for part in self.parts),
            "run": self._run,
            "columns": self.columns,
            "parts": [asdict(part) for part in self.parts],
        }
        text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        whole = self.path / f".{MANIFEST}"
        try:
            with whole.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            whole.replace(self.path / MANIFEST)
        finally:
            whole.unlink(missing_ok=True)
        _sync(self.path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise RequestError(f"{self.path}: cannot be written ({reason})") from None


class PartWriter:
    """Collects the results of one part in a file that has its name only once it is whole."""

    def __init__(self, folder: ResultsFolder, path: Path, name: str) -> None:
        self.path, self._folder, self._name = path, folder, name
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._bytes = 0
        self._rows = self._read = self._skipped = 0
        self._bad: list[BadRow] = []
        self._notes: dict[str, None] = {}

    def add(self, table: Any, bad: tuple[BadRow, ...], notes: tuple[str, ...]) -> None:
        """Add the results of some rows, in their order. Raises InputError for other columns."""
        columns = {field.name: str(field.type) for field in table.schema}
        known = self._folder.columns or columns
        if columns != known:
            name = next(n for n in (*columns, *known) if columns.get(n) != known.get(n))
            raise InputError(
                f"the data's columns change on the way: result {name!r} was {known.get(name)}, "
                f"and is {columns.get(name)} now"
            )
        self._folder.columns = columns
        self._rows += table.num_rows
        self._read += table.num_rows + len(bad)
        self._skipped += len(bad)
        self._bad += bad[: _TOLD - len(self._bad)]
        self._notes |= dict.fromkeys(notes)
        self._waiting.append(table)
        self._bytes += table.nbytes
        if self._bytes >= _GROUP:
            with self._folder._writing():
                self._flush()

    def close(self) -> int:
        """Write what is left, and return how large the file is."""
        self._flush()
        self._writer.close()
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        return self.path.stat().st_size

    def told(self, size: int) -> ResultPart:
        """What the manifest says of this part."""
        bad, notes = tuple(self._bad), tuple(self._notes)
        return ResultPart(self._name, self._rows, self._read, self._skipped, size, bad, notes)

    def drop(self) -> None:
        """Leave nothing of it."""
        if self._writer is not None:
            try:
                self._writer.close()
            except Exception:  # the disk is full, say, and that is known
                self._writer = None
        self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        pa = need_arrow()
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        if self._writer is None:
            texts = _texts(table.schema)  # dictionaries of numbers that all differ only cost
            self._writer = pq.ParquetWriter(
                self.path, table.schema, compression="zstd", use_dictionary=texts
            )
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self._waiting, self._bytes = [], 0


def read_manifest(path: Path) -> dict[str, Any] | None:
    """A folder's manifest; None where there is none. Raises RequestError where it is no such."""
    file = path / MANIFEST
    try:
        found = json.loads(file.read_text("utf-8"))
        if found["format"] == FORMAT and all(k in found for k in ("run", "parts", "columns")):
            return dict(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise RequestError(f"{file}: is no manifest of results that this version writes")


def _texts(schema: Any) -> list[str]:
    """The columns of texts, as .parquet files name them."""
    pa = need_arrow()
    found = []
    for field in schema:
        kind, path = field.type, field.name
        while pa.types.is_list(kind):
            kind, path = kind.value_type, f"{path}.list.element"
        if pa.types.is_string(kind):
            found.append(path)
    return found


def _whole(path: Path, manifest: Mapping[str, Any]) -> Iterator[ResultPart]:
    """The parts up to the first that is not there as it was written."""
    for told in manifest["parts"]:
        file = path / told["file"]
        if not file.is_file() or file.stat().st_size != told["bytes"]:
            return
        bad = tuple(BadRow(**row) for row in told["bad"])
        yield ResultPart(**{**told, "bad": bad, "notes": tuple(told["notes"])})


def difference(key: str, was: Any, now: Any) -> str:
    """What is another one in the runs of two manifests, in words."""
    if isinstance(was, dict) and isinstance(now, dict):
        name = next(n for n in (*now, *was) if was.get(n) != now.get(n))
        return f"{key} {name} was {was.get(name)!r}, now {now.get(name)!r}"
    return f"the {key} are others" if key == "data" else f"{key} was {was!r}, now {now!r}"


def _sync(folder: Path) -> None:
    """Have a folder's entries on the disk, where the system can say so."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
