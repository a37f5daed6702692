"""All pictures of a global explanation that fit its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backtrace_onnx.errors import RequestError
from backtrace_onnx.report.picture_style import save
from backtrace_onnx.summary import bar_pictures, map_pictures, row_pictures
from backtrace_onnx.summary.records import KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from backtrace_onnx.summary.over_rows import OverRows

Picture = tuple[str, Callable[[], "Figure"]]


def write_pictures(made: OverRows, folder: Path, most: int) -> list[Path]:
    """Write them into a folder and return their paths. Raises RequestError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{folder}: cannot be written ({error.strerror})") from None
    written = []
    for name, draw in _pictures(made, max(most, 1)):
        save(folder / f"{name}.png", draw)
        written.append(folder / f"{name}.png")
    return written


def _pictures(made: OverRows, most: int) -> Iterator[Picture]:
    whole = made.whole
    for kind, means in zip(KINDS, (whole.features, whole.groups, whole.modules), strict=True):
        if means:
            yield f"{kind}s", lambda k=kind, m=means: bar_pictures.bars(made, k, m, most)  # type: ignore[misc]
    for by in dict.fromkeys(one.by for one in made.slices):
        if whole.features:
            yield _file(f"by-{by}"), lambda b=by: bar_pictures.by_slices(made, b, most)  # type: ignore[misc]
    if whole.features and len(made.drawn.rows):
        yield "beeswarm", lambda: row_pictures.beeswarm(made, most)
        yield "heatmap", lambda: row_pictures.heat_map(made, most)
        if row_pictures.dependent(made, most):
            yield "dependence", lambda: row_pictures.dependence(made, most)
    for name in whole.maps:
        yield _file(f"map-{name}"), lambda n=name: map_pictures.maps(made, n)  # type: ignore[misc]
    for name, words in whole.words.items():
        if words:
            yield _file(f"words-{name}"), lambda n=name: map_pictures.words(made, n)  # type: ignore[misc]


def _file(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
