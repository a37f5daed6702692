"""Texts as they are typed: in quotes, or a file of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from backtrace_onnx.errors import InputError

_SHOWN = 60
_ARRAYS = (".npy", ".npz", ".json", ".csv")


def read_texts(
    argument: str, entries: Collection[str], inputs: tuple[str, ...]
) -> tuple[str, list[str]] | None:
    """Input and texts of an argument; None where it is a file of arrays, or for another input.

    `TEXT` and `name=TEXT` are the text itself, `@FILE` holds one a line, and `text=TEXT` is a text
    whatever it looks like. Raises InputError for a file that cannot be read.
    """
    prefix, mark, rest = argument.partition("=")
    if mark and prefix in inputs and prefix not in entries:
        return None
    name, text = (prefix, rest) if mark and prefix in entries else ("", argument)
    if mark and prefix == "text" and "text" not in entries:
        return _only(entries), [rest]
    if _is_array_file(text):
        return None
    return name or _only(entries), _lines(Path(text[1:])) if text.startswith("@") else [text]


def shown_text(text: str) -> str:
    """A text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _only(entries: Collection[str]) -> str:
    if len(entries) != 1:
        names = ", ".join(f"{name}=TEXT" for name in entries)
        raise InputError(f"which input is the text for? Write one of: {names}")
    return next(iter(entries))


def _is_array_file(text: str) -> bool:
    """Whether a text is one word that ends like the name of a file of arrays."""
    return text.lower().endswith(_ARRAYS) and len(text.split()) == 1


def _lines(path: Path) -> list[str]:
    """The lines of a file that are not blank."""
    try:
        found = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 ({error})") from None
    if not found:
        raise InputError(f"{path}: holds no text")
    return found
