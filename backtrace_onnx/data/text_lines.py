"""Lines of a file in UTF-8, with their numbers."""

from __future__ import annotations

from collections.abc import Iterator

from backtrace_onnx.data.remote_files import AnyPath
from backtrace_onnx.errors import InputError


def text_lines(path: AnyPath) -> Iterator[tuple[int, str | None]]:
    """The lines that are not blank, with their numbers; None for what is no UTF-8.

    Raises InputError where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError:
                    yield number, None
                    continue
                if text.strip():
                    yield number, text
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


__all__ = ["text_lines"]
