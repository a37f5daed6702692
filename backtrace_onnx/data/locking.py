"""One run for each folder: a lock that its process holds, and that dies with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from backtrace_onnx.errors import RequestError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold a folder's lock, and return the folder.

    Raises RequestError naming the process that holds it. The file says whose it is; the
    system lets go of it when that process ends, however it ends.
    """
    try:
        file = (folder / LOCK).open("a+", encoding="ascii")
    except OSError as error:
        raise RequestError(f"{folder}: cannot be written ({error.strerror})") from None
    with file:
        if not _take(file):
            file.seek(0)
            raise RequestError(
                f"{folder}: another run writes there (process {file.read().strip() or 'unknown'}); "
                "wait for it, or choose another folder"
            )
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield folder
        finally:
            file.seek(0)
            file.truncate()


def _take(file: IO[str]) -> bool:
    """Lock an open file, if nobody else has."""
    if sys.platform == "win32":  # a byte behind all that is written
        import msvcrt

        file.seek(1 << 20)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
