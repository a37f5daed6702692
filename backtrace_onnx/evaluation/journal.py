"""The journal of an evaluation: a line for every row and mode, there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backtrace_onnx.data.results_folder import difference
from backtrace_onnx.errors import RequestError

FILE, HEAD = "measured.jsonl", "_manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class JournalEntry:
    """What was measured of one row and mode.

    Attributes:
        values: by metric, None where the number is none. curves: scores by curve.
        errors: by metric, or by "" for the explanation itself, why there is no number.
        used: the mode that was used, where "auto" was asked for.
    """

    row: int
    mode: str
    seconds: float = 0.0
    values: Mapping[str, float | None] = field(default_factory=dict)
    curves: Mapping[str, list[float]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    used: str = ""


class Journal:
    """Keeps the entries of one evaluation, in a folder or in memory; use it while it is locked.

    Args:
        folder: where it lies, which is there; None: nowhere. run: what it is a journal of, as JSON.
        resume: whether entries of the same run are kept; else they are removed.

    Raises RequestError where the folder holds another evaluation, or cannot be written.
    """

    def __init__(self, folder: Path | None, run: Mapping[str, Any], *, resume: bool = True) -> None:
        self.entries: dict[tuple[int, str], JournalEntry] = {}
        self._file = None if folder is None else folder / FILE
        if folder is None or self._file is None:
            return
        with _writing(folder):
            known = _head(folder) if resume else None
            if known is not None:
                self._check(folder, known, run)
                self._read(self._file)
            else:
                self._file.write_text("", encoding="utf-8")
            _replace(folder / HEAD, json.dumps({"format": FORMAT, "run": run}, indent=1) + "\n")

    def add(self, entry: JournalEntry) -> None:
        """Keep an entry; it is on the disk when this returns. Raises RequestError."""
        self.entries[entry.row, entry.mode] = entry
        if self._file is None:
            return
        with _writing(self._file.parent), self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, path: Path) -> None:
        """Read what is whole, and cut off what a killed run had begun to write."""
        if not path.is_file():
            path.write_text("", encoding="utf-8")
            return
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with path.open("r+b") as file:
                file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                entry = JournalEntry(**json.loads(line))
            except (ValueError, TypeError):
                raise RequestError(
                    f"{path}: line {number} is no entry of an evaluation; begin anew "
                    "(resume=False, --no-resume)"
                ) from None
            self.entries[entry.row, entry.mode] = entry

    @staticmethod
    def _check(folder: Path, known: Mapping[str, Any], run: Mapping[str, Any]) -> None:
        for key in run:
            if known.get(key) != json.loads(json.dumps(run[key])):
                raise RequestError(
                    f"{folder}: holds another evaluation: "
                    f"{difference(key, known.get(key), run[key])}; choose another folder, or "
                    "begin anew (resume=False, --no-resume)"
                )


def _head(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / HEAD).read_text("utf-8"))
        if found["format"] == FORMAT and isinstance(found["run"], dict):
            return dict(found["run"])
    except FileNotFoundError:
        if (folder / FILE).exists():
            raise RequestError(f"{folder}: holds a {FILE} that no {HEAD} tells of") from None
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise RequestError(f"{folder / HEAD}: is no manifest of an evaluation by this version")


def _replace(path: Path, text: str) -> None:
    whole = path.with_name(f".{path.name}")
    whole.write_text(text, encoding="utf-8")
    whole.replace(path)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestError(f"{folder}: cannot be written ({error.strerror or error})") from None


__all__ = ["Journal", "JournalEntry"]
