"""How pictures look: colours that the colour-blind can tell apart, type, saving."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError

if TYPE_CHECKING:
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]

FOR, AGAINST = "#c4500a", "#1a66ad"
INK, FAINT, RULE = "#1f2328", "#6a737d", "#d0d7de"
DATA, CONSTANTS, UNASSIGNED = "#3f5f7f", "#e3a63b", "#c9ccd1"
ALARM = "#fdeecb"
_PALE = 0.35
_COVER: ContextVar[float] = ContextVar("cover", default=1.0)
SUFFIXES = (".png", ".svg", ".pdf")
_SHADES = {
    "for": ((0.99, 0.72, 0.42), (0.69, 0.21, 0.0)),
    "against": ((0.55, 0.76, 0.92), (0.02, 0.24, 0.54)),
}
_TEXT: Any = {
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "backtrace-onnx",
}


@dataclass(frozen=True)
class Scale:
    """Which relevance gets the full colour, and whether both signs occur."""

    limit: float
    low: bool
    high: bool

    @classmethod
    def of(cls, values: Array, percentile: float = 100.0) -> Scale:
        """The scale of an array; a percentile under 100 lets a few entries run over."""
        values = np.asarray(values, np.float64)
        limit = float(np.percentile(np.abs(values), percentile)) if values.size else 0.0
        limit = limit or float(np.abs(values).max(initial=0.0)) or 1.0
        faint = 1e-3 * limit
        return cls(limit, bool((values < -faint).any()), bool((values > faint).any()))

    @property
    def bounds(self) -> tuple[float, float]:
        """Ends of the colour bar."""
        return (-self.limit if self.low else 0.0, self.limit if self.high or not self.low else 0.0)


def colours() -> ListedColormap:
    """The colours of relevance from -1 (blue) to 1 (orange), transparent at 0."""
    from matplotlib.colors import ListedColormap

    cover, strength = _COVER.get(), np.linspace(-1, 1, 511)
    rows = [(*shade[:3], cover * shade[3]) for shade in (tint(float(s)) for s in strength)]
    return ListedColormap(rows, name="backtrace")


@contextmanager
def pale() -> Iterator[None]:
    """Paler colours, for relevance that says next to nothing and is no finding."""
    before = _COVER.set(_PALE)
    try:
        yield
    finally:
        _COVER.reset(before)


def fade(figure: Figure) -> None:
    """Make bars and boxes that are drawn already as pale as those drawn within `pale`."""
    for axis in figure.get_axes():
        for patch in axis.patches:
            patch.set_alpha(_PALE)


def shade(strength: float) -> str:
    """The colour of a strength from -1 to 1 on white paper, as #rrggbb."""
    if strength == 0:
        return "#ffffff"
    red, green, blue, cover = tint(max(-1.0, min(1.0, strength)))
    mixed = (round(255 * (cover * part + 1 - cover)) for part in (red, green, blue))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def sheet(width: float, height: float) -> Figure:
    """An empty picture of this width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


@contextmanager
def styled() -> Iterator[None]:
    """The type and colours of all pictures; glyphs that the font lacks are no warning."""
    import matplotlib

    with matplotlib.rc_context(_TEXT), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*missing from.*font", category=UserWarning)
        yield


def save(path: Path, draw: Callable[[], Figure]) -> None:
    """Draw and write a picture, whole or not at all. Raises RequestError."""
    if path.suffix.lower() not in SUFFIXES:
        raise RequestError(f"{path}: pictures are {', '.join(SUFFIXES)}")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with styled():
            figure = draw()
            kind = path.suffix[1:].lower()
            quick: Any = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
            figure.savefig(part, dpi=150, format=kind, **quick)
        part.replace(path)
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


def shortened(text: str, most: int = 48) -> str:
    """Text on one line, cut in its middle where it is too long."""
    text = " ".join(text.split())
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def tint(strength: float) -> tuple[float, float, float, float]:
    """Red, green, blue and cover, from 0 to 1, of a strength from -1 to 1."""
    light, dark = _SHADES["for" if strength > 0 else "against"]
    amount = abs(strength)
    red, green, blue = (a + (b - a) * amount for a, b in zip(light, dark, strict=True))
    return red, green, blue, min(1.0, 1.05 * amount**0.7)
