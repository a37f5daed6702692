"""Pictures: opened safely, and turned into a model's input as a sidecar says."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.placement import Placement, cropped

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[Any]
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
)


@dataclass(frozen=True)
class ImageInput:
    """How a picture becomes an input: (value * scale - mean) / std per channel fed.

    Attributes:
        resize: "stretch" to height x width; "crop": shorter side to resize_to, then the centre;
            "letterbox": as large as it fits, the rest padded; "square": padded to a square, then
            stretched.
        pad_value: what padding holds, as a value of a pixel.
        pad_at: "center", or "corner": all padding at the right and the bottom.
        part: left, top, right, bottom: the pixels of the picture that are used; None: all.
        filter: how pixels are resampled: nearest, bilinear, bicubic, lanczos.
    """

    height: int
    width: int
    color: str
    layout: str
    resize: str
    resize_to: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pad_value: float = 0.0
    pad_at: str = "center"
    part: tuple[int, int, int, int] | None = None
    filter: str = "bicubic"

    def place(self, size: tuple[int, int]) -> Placement:
        """Where a picture of this width and height lies in the input. Raises InputError."""
        part = self._part(size)
        own = (part[2] - part[0], part[3] - part[1])
        to = (self.width, self.height)
        if self.resize == "crop":
            part_shown = cropped(part, self._covering(own), to)
            return Placement(size, part_shown, (0, 0, *to), to)
        if self.resize == "stretch":
            return Placement(size, part, (0, 0, *to), to)
        wide, high = self._fitting(own)
        center = self.pad_at == "center"
        left, top = ((self.width - wide) // 2, (self.height - high) // 2) if center else (0, 0)
        return Placement(size, part, (left, top, left + wide, top + high), to)

    def encode(self, image: Image.Image) -> Array:
        """float32[1, C, H, W] or [1, H, W, C] of a picture in mode L or RGB."""
        pixels = self._padded(np.asarray(self._fitted(image), np.float32), image.size)
        pixels = pixels.reshape(self.height, self.width, -1)
        pixels = pixels[..., ::-1] if self.color == "bgr" else pixels
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values = (pixels * np.float32(self.scale) - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1) if self._first else values)[None]

    def decode(self, sample: Array) -> npt.NDArray[np.uint8]:
        """The picture that one sample of the input shows, uint8[H, W, 3]."""
        values = np.asarray(sample, np.float64)
        values = values.transpose(1, 2, 0) if self._first else values
        pixels = (values * self.std + self.mean) / self.scale
        pixels = pixels[..., ::-1] if self.color == "bgr" else pixels
        whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return np.broadcast_to(whole, (*whole.shape[:2], 3))

    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What the darkest and the brightest pixel become, the smaller first, by channel fed."""
        dark, bright = (
            [(value * self.scale - m) / s for m, s in zip(self.mean, self.std, strict=True)]
            for value in (0, 255)
        )
        return tuple(map(min, dark, bright)), tuple(map(max, dark, bright))

    def describe(self) -> str:
        """What the input takes, in words."""
        how = _HOW[self.resize]
        color = "gray" if self.color == "gray" else "colour"
        return f"a picture of any size, {how} to {self.width} x {self.height} pixels, {color}"

    @property
    def _first(self) -> bool:
        return self.layout == "NCHW"

    def _fitted(self, image: Image.Image) -> Image.Image:
        """The part of the picture that is shown, in its size there."""
        image = image.convert("L" if self.color == "gray" else "RGB")
        if self.part is not None:
            image = image.crop(self._part(image.size))
        if self.resize == "crop":
            return self._cropped(image)
        fitted = self.resize in ("letterbox", "square")
        size = self._fitting(image.size) if fitted else (self.width, self.height)
        return image if image.size == size else self._resized(image, size)

    def _cropped(self, image: Image.Image) -> Image.Image:
        image = self._resized(image, self._covering(image.size))
        left, top = (image.width - self.width) // 2, (image.height - self.height) // 2
        return image.crop((left, top, left + self.width, top + self.height))

    def _covering(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of a picture whose shorter side is resize_to, and that covers the input."""
        ratio = self.resize_to / min(size)
        return max(self.width, round(size[0] * ratio)), max(self.height, round(size[1] * ratio))

    def _fitting(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of a picture that is padded to fill the input."""
        whole = (self.width, self.height)
        ratios = [to / n for to, n in zip(whole, size, strict=True)]
        if self.resize == "letterbox":
            ratios = [min(ratios)] * 2
        else:
            ratios = [to / max(size) for to in whole]
        wide, high = (max(1, round(n * r)) for n, r in zip(size, ratios, strict=True))
        return min(wide, self.width), min(high, self.height)

    def _padded(self, pixels: Array, size: tuple[int, int]) -> Array:
        left, top, right, bottom = self.place(size).inside
        if (left, top, right, bottom) == (0, 0, self.width, self.height):
            return pixels
        whole = np.full((self.height, self.width, *pixels.shape[2:]), self.pad_value, np.float32)
        whole[top:bottom, left:right] = pixels
        return whole

    def _part(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        if self.part is None:
            return (0, 0, *size)
        if self.part[2] > size[0] or self.part[3] > size[1]:
            raise InputError(
                f"a picture of {size[0]} x {size[1]} pixels does not hold the part "
                f"{list(self.part)} (left, top, right, bottom) of the sidecar"
            )
        return self.part

    def _resized(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        from PIL import Image

        return image.resize(size, Image.Resampling[self.filter.upper()])


_HOW = {
    "stretch": "stretched",
    "crop": "resized and cropped",
    "letterbox": "resized and padded",
    "square": "padded and resized",
}
RESIZES = tuple(_HOW)
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")


def open_image(path: Path) -> Image.Image:
    """The picture in mode L or RGB: turned as its EXIF says, transparency laid over white.

    Raises InputError if it is missing, damaged, no picture, or so large that it may be hostile.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                return _plain(ImageOps.exif_transpose(image), path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: not a picture that can be read") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(f"{path}: the picture is too large; make it smaller first") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise InputError(f"{path}: the picture is damaged or cannot be read ({error})") from None


def _plain(image: Image.Image, path: Path) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits a pixel
        pixels = np.asarray(image, np.float64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise InputError(f"{path}: pixels are not 8 or 16 bits; convert the picture first")
        return Image.fromarray(np.rint(pixels / 257).astype(np.uint8))
    if image.mode == "F":
        raise InputError(f"{path}: pixels are floating point; convert the picture first")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
