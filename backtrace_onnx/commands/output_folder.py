"""Output folders: all files of a report, or none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backtrace_onnx.errors import RequestError

REPORT = "report.json"


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write into; its files move to `target` once all are written, or vanish.

    Files of an earlier report in `target` are replaced or removed, all others stay. Raises
    RequestError if `target` is no folder or cannot be written.
    """
    check_folder(target)
    with _errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(suffix=".part", prefix=f".{target.name}.", dir=target.parent))
    try:
        yield part
        with _errors(target):
            _move(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_folder(target: Path) -> None:
    """Raise RequestError if `target` exists and is no folder that can be written."""
    if target.exists() and not target.is_dir():
        raise RequestError(f"{target}: is a file, not a folder; choose another --out")
    there = next((p for p in (target, *target.absolute().parents) if p.exists()), target)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise RequestError(f"{target}: cannot be written ({there} does not allow it)")


def _move(part: Path, target: Path) -> None:
    part.chmod(0o777 & ~_umask())
    if not target.exists():
        part.rename(target)
        return
    written = sorted(part.iterdir())
    for file in _earlier(target, [file.name for file in written]):
        file.unlink()
    for file in written:
        file.replace(target / file.name)


def _earlier(target: Path, kept: Sequence[str]) -> list[Path]:
    """Files that an earlier report in this folder lists and the new one does not replace."""
    try:
        listed = json.loads((target / REPORT).read_text("utf-8"))["files"]
        names = {Path(name).name for name in listed} - set(kept)
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [target / name for name in sorted(names) if (target / name).is_file()]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestError(f"{target}: cannot be written ({error.strerror})") from None
