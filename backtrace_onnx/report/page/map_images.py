"""Relevance and pictures as images that lie inside a page: small, and the same bytes each time."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from backtrace_onnx.report.page.writer import Safe, data_url
from backtrace_onnx.report.picture_style import tint

Array = npt.NDArray[Any]
_LEVELS = 127
_PHOTOGRAPH = 60_000
"""Bytes of a lossless picture from which on it is kept as JPEG, where that is half as large."""


def map_image(values: Array, limit: float) -> Safe:
    """A map [rows, columns] in the colours of relevance; what has none is transparent.

    The full colour is that of `limit`; 255 levels are told apart.
    """
    strength = np.clip(np.asarray(values, np.float64) / limit, -1, 1)
    levels = np.rint(np.nan_to_num(strength) * _LEVELS).astype(np.int16) + _LEVELS
    image = Image.fromarray(levels.astype(np.uint8), "P")
    red_green_blue, cover = _palette()
    image.putpalette(red_green_blue)
    return data_url("image/png", _encoded(image, "PNG", transparency=cover, optimize=True))


def picture_image(picture: npt.NDArray[np.uint8]) -> Safe:
    """A picture uint8[H, W, 3] as it is, a large photograph with what the eye does not miss."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    if (picture == picture[..., :1]).all():
        image = image.convert("L")
    exact = _encoded(image, "PNG", optimize=True)
    if len(exact) > _PHOTOGRAPH:
        close = _encoded(image, "JPEG", quality=88, optimize=True)
        if 2 * len(close) < len(exact):
            return data_url("image/jpeg", close)
    return data_url("image/png", exact)


@cache
def _palette() -> tuple[bytes, bytes]:
    """Colours of all levels as bytes, and how much each covers."""
    shades = np.array([tint(s) for s in np.linspace(-1, 1, 2 * _LEVELS + 1).tolist()])
    levels = np.rint(255 * shades).astype(np.uint8)
    return levels[:, :3].tobytes(), levels[:, 3].tobytes()


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


__all__ = ["map_image", "picture_image"]
