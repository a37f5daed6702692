"""Which files of a folder or pattern are rows, and which only lie beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Generic, TypeVar

from backtrace_onnx.inputs.images import SUFFIXES
from backtrace_onnx.inputs.sound import SUFFIX as SOUND
from backtrace_onnx.messages.listing import listed

T = TypeVar("T")
_OPENED, _TABLES, _TEXTS, _UNOPENED = range(4)


@dataclass(frozen=True)
class FolderFiles(Generic[T]):
    """The files of a folder, in order.

    Attributes:
        files: those that are read. left: what the others are called.
    """

    files: tuple[T, ...]
    left: tuple[str, ...] = ()

    def notes(self, folder: str) -> tuple[str, ...]:
        """The sentence that names the others, where there are some."""
        if not self.left:
            return ()
        return (f"{folder}: {len(self.left)} file(s) there are left out: {listed(self.left)}",)


def choose_files(
    inside: Mapping[T, PurePath], endings: Collection[str], *, opens: bool = True
) -> FolderFiles[T]:
    """Those of the files that are rows of one data set; the others are named.

    Beside pictures and sound nothing else is read, and beside tables and arrays no texts: a
    readme.txt is none of the rows. For a model that opens no pictures, they lie beside the others.
    Nothing is read that is hidden.

    Args:
        inside: where in the folder each file lies. endings: of files that may be rows, with their
            dots; those of pictures and sound are known. opens: whether the model takes these.
    """
    kinds = {file: _kind(path, endings, opens) for file, path in inside.items()}
    first = min((kind for kind in kinds.values() if kind is not None), default=None)
    files = tuple(file for file, kind in kinds.items() if kind is not None and kind == first)
    chosen = {*files}
    left = (_name(path) for file, path in inside.items() if file not in chosen)
    return FolderFiles(files, tuple(dict.fromkeys(left)))


def choose_here(folder: Path, endings: Collection[str], *, opens: bool = True) -> FolderFiles[Path]:
    """The files of a folder of this machine, of those inside of it as well."""
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    return choose_files({file: file.relative_to(folder) for file in found}, endings, opens=opens)


def _kind(path: PurePath, endings: Collection[str], opens: bool) -> int | None:
    """What a file holds; None where it cannot be rows."""
    suffix = path.suffix.lower()
    if any(part.startswith(".") for part in path.parts):
        return None
    if suffix in (*SUFFIXES, SOUND):
        return _OPENED if opens else _UNOPENED
    if suffix not in endings:
        return None
    return _TEXTS if suffix == ".txt" else _TABLES


def _name(path: PurePath) -> str:
    """What a file is called: what is hidden in whole folders, by the name of the folder."""
    for i, part in enumerate(path.parts[:-1]):
        if part.startswith("."):
            return PurePath(*path.parts[: i + 1]).as_posix() + "/"
    return path.as_posix()


__all__ = ["FolderFiles", "choose_files", "choose_here"]
