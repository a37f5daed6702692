"""Which file says what matters in a row: beside its picture, in a folder, or one for all rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.inputs.images import SUFFIXES

ENDING = "_mask"
_KINDS = (".png", ".npy", *sorted(SUFFIXES - {".png"}))


def without_masks(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures, and those of them that are masks of others: `a_mask.png` beside `a.png`."""
    given = list(paths)
    stems = {(path.parent, path.stem) for path in given}
    masks = [
        path
        for path in given
        if path.stem.endswith(ENDING) and (path.parent, path.stem.removesuffix(ENDING)) in stems
    ]
    return [path for path in given if path not in set(masks)], masks


class MaskFiles:
    """Finds the file of each row's mask.

    Args:
        given: a file for all rows, or a folder that holds one for each picture, by its name; None:
            `<picture>_mask.png` beside every picture.
        pictures: all of the data's, among which names in a folder must be one's own.

    Attributes:
        shared: the file of all rows, if there is one.

    Raises InputError where what is given is not there, or two pictures have one name.
    """

    def __init__(self, given: str | os.PathLike[str] | None, pictures: Iterable[Path]) -> None:
        self._folder = None if given is None else Path(given)
        self._pictures = list(pictures)
        self.shared: Path | None = None
        if self._folder is None:
            return
        if self._folder.is_file():
            self.shared = self._folder
            return
        if not self._folder.is_dir():
            raise InputError(f"masks: {self._folder}: no such file or folder")
        names = Counter(path.stem for path in self._pictures)
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            raise InputError(
                f"masks: {self._folder}: masks are found by the names of pictures, and "
                f"{names[twice]} are called {twice!r}; keep masks beside them, as {twice}_mask.png"
            )

    def of(self, picture: Path | None) -> Path:
        """The file of a row, whose picture this is. Raises RequestError where there is none."""
        if self.shared is not None:
            return self.shared
        if picture is None:
            raise RequestError(
                "there is no mask: rows are no pictures; name a file of what matters in all of "
                "them (--masks, masks=: .json with names of columns, or .npy)"
            )
        found = self._found(picture)
        if found is None:
            folder = picture.parent if self._folder is None else self._folder
            raise RequestError(
                f"there is no mask of {picture.name}; it is looked for as "
                f"{folder / (picture.stem + ENDING)}.png"
            )
        return found

    def all(self) -> list[Path]:
        """Every file that there is, of whichever row."""
        if self.shared is not None:
            return [self.shared]
        return [found for path in self._pictures if (found := self._found(path)) is not None]

    def _found(self, picture: Path) -> Path | None:
        folder = picture.parent if self._folder is None else self._folder
        stems = [picture.stem + ENDING]
        stems += [] if self._folder is None else [picture.stem]
        tried = [folder / f"{stem}{kind}" for stem in stems for kind in _KINDS]
        return next((path for path in tried if path.is_file() and path != picture), None)


__all__ = ["ENDING", "MaskFiles", "without_masks"]
