"""Series: a wave, or channels over time, turned into a model's input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.csv_files import read_lines, read_numbers
from backtrace_onnx.inputs.sound import SUFFIX, read_sound

if TYPE_CHECKING:
    from backtrace_onnx.inputs.json_object import Settings

Array = npt.NDArray[Any]
LAYOUTS = ("T", "CT", "TC")


@dataclass(frozen=True)
class SeriesInput:
    """How a series becomes an input: (value * scale - mean) / std.

    Attributes:
        rate: positions a second; None: not known.
        channels: their names, in order; () where there is one without a name.
        layout: axes of a sample: T (one channel), CT or TC.
        length: positions that the input takes; shorter series are followed by zeros.
        truncate: whether longer series are cut at their end.
    """

    rate: float | None = None
    channels: tuple[str, ...] = ()
    layout: str = "T"
    length: int | None = None
    truncate: bool = False
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @classmethod
    def of(cls, entry: Settings) -> SeriesInput:
        """The keys of a sidecar. Raises InputError naming the key that is wrong."""
        channels = entry.texts("channels")
        count = max(len(channels), 1)
        layout = entry.choice("layout", LAYOUTS, default="T" if count == 1 else "CT")
        if layout == "T" and count > 1:
            raise entry.wrong("layout", f"T has one channel, but there are {count}; use CT or TC")
        scale, std = entry.number("scale", default=1.0), entry.numbers("std", count, default=1.0)
        if scale == 0 or 0 in std:
            raise entry.wrong("std" if scale else "scale", "must not be 0")
        return cls(
            read_rate(entry),
            channels,
            layout,
            entry.whole("length", 1) if entry.has("length") else None,
            entry.flag("truncate", False),
            scale,
            entry.numbers("mean", count, default=0.0),
            std,
        )

    @property
    def count(self) -> int:
        """Number of channels."""
        return max(len(self.channels), 1)

    def encode(self, values: Any, source: str = "series") -> Array:
        """float32[1, T], [1, C, T] or [1, T, C] of numbers [T] or [T, C]. Raises InputError."""
        series = np.asarray(values, np.float32)
        series = series[:, None] if series.ndim == 1 else series
        if series.ndim != 2 or series.shape[1] != self.count or not len(series):
            raise InputError(
                f"{source}: a series [positions, {self.count} channel(s)] is taken, not one of "
                f"shape {np.shape(values)}"
            )
        if not np.isfinite(series).all():
            raise InputError(f"{source}: holds NaN or Inf")
        return self._laid(
            (self.fitted(series, source) * np.float32(self.scale) - self._mean) / self._std
        )

    def fitted(self, series: Array, source: str) -> Array:
        """The series in the length that is taken. Raises InputError."""
        if self.length is None or len(series) == self.length:
            return series
        if len(series) < self.length:
            return np.pad(series, ((0, self.length - len(series)), (0, 0)))
        if not self.truncate:
            raise InputError(
                f"{source}: {len(series)} positions are more than the {self.length} taken; "
                'cut it, or write "truncate": true in the sidecar'
            )
        return series[: self.length]

    def read(self, path: Path) -> Array:
        """The input that a .wav or .csv file holds. Raises InputError."""
        if path.suffix.lower() == SUFFIX:
            return self.encode(mixed(*read_sound(path), self.rate, self.count, path), str(path))
        return self.encode(self._columns(path), str(path))

    def decode(self, sample: Array) -> Array:
        """float64[C, T]: the values that one sample of the input shows."""
        values = self.by_channel(np.asarray(sample, np.float64)).T
        return ((values * self._std + self._mean) / self.scale).T

    def by_channel(self, sample: Array) -> Array:
        """A sample of the input, or its relevance, as [C, T]."""
        found: Array = {"T": sample[None], "CT": sample, "TC": sample.T}[self.layout]
        return found

    def fits(self, sample: Array) -> bool:
        """Whether a sample of the input has these axes and channels."""
        ranks = sample.ndim == len(self.layout)
        return ranks and self.by_channel(sample).shape[0] == self.count

    def describe(self) -> str:
        """What the input takes, in words."""
        rate = f" of {self.rate:g} Hz" if self.rate else ""
        names = f", the columns {', '.join(self.channels)}" if self.channels else ""
        return f"a series{rate} (.wav, .csv or .npy){names}"

    @property
    def _mean(self) -> Array:
        return np.array(self.mean, np.float32)

    @property
    def _std(self) -> Array:
        return np.array(self.std, np.float32)

    def _laid(self, series: Array) -> Array:
        laid = {"T": series[:, 0], "CT": series.T, "TC": series}[self.layout]
        return np.ascontiguousarray(laid, np.float32)[None]

    def _columns(self, path: Path) -> Array:
        """The columns of a .csv file that are named like channels, or all of them."""
        numbers = read_numbers(path)
        header = [cell.strip() for cell in read_lines(path)[0]]
        if self.channels and set(self.channels) <= set(header):
            return numbers[:, [header.index(name) for name in self.channels]]
        return numbers


def read_rate(entry: Settings) -> float | None:
    """Positions a second, where the sidecar says it."""
    if not entry.has("rate"):
        return None
    rate = entry.number("rate")
    if rate <= 0:
        raise entry.wrong("rate", "must be greater than 0")
    return rate


def mixed(rate: int, sound: Array, wanted: float | None, count: int, path: Path) -> Array:
    """Sound with as many channels as are taken: several become one by their mean.

    Raises InputError for another rate: what a model hears would be another pitch.
    """
    if wanted is not None and rate != wanted:
        raise InputError(
            f"{path}: has {rate} frames a second, the model takes {wanted:g}; resample it, "
            f"for example: ffmpeg -i {path.name} -ar {wanted:g} sound.wav"
        )
    if count == 1:
        sound = sound.mean(axis=1, keepdims=True)
    return sound
