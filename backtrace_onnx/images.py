"""Pictures: opened safely, and turned into a model's input as a sidecar says."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError

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
        resize: "stretch" to height x width, or "crop": shorter side to resize_to, then the centre.
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

    def encode(self, image: Image.Image) -> Array:
        """float32[1, C, H, W] or [1, H, W, C] of a picture in mode L or RGB."""
        pixels = np.asarray(self._fitted(image), np.float32)
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

    def describe(self) -> str:
        """What the input takes, in words."""
        how = {"stretch": "stretched", "crop": "resized and cropped"}[self.resize]
        color = "gray" if self.color == "gray" else "colour"
        return f"a picture of any size, {how} to {self.width} x {self.height} pixels, {color}"

    @property
    def _first(self) -> bool:
        return self.layout == "NCHW"

    def _fitted(self, image: Image.Image) -> Image.Image:
        image = image.convert("L" if self.color == "gray" else "RGB")
        if self.resize == "crop":
            return self._cropped(image)
        if image.size == (self.width, self.height):
            return image
        return _resized(image, (self.width, self.height))

    def _cropped(self, image: Image.Image) -> Image.Image:
        ratio = self.resize_to / min(image.size)
        wide, high = round(image.width * ratio), round(image.height * ratio)
        image = _resized(image, (max(self.width, wide), max(self.height, high)))
        left, top = (image.width - self.width) // 2, (image.height - self.height) // 2
        return image.crop((left, top, left + self.width, top + self.height))


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


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    return image.resize(size, Image.Resampling.BICUBIC)
