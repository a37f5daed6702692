"""Spectrograms: what a speech model left out of its file, computed from sound by NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.series import mixed
from backtrace_onnx.inputs.sound import SUFFIX, read_sound

if TYPE_CHECKING:
    from backtrace_onnx.inputs.json_object import Settings

Array = npt.NDArray[Any]
LAYOUTS = ("FT", "TF", "CFT", "CTF", "FTC", "TFC")
_COSINES = {"hann": (0.5, -0.5), "hamming": (0.54, -0.46), "none": (1.0,)}


@dataclass(frozen=True)
class SpectrogramInput:
    """How sound becomes an input: frames, window, spectrum, bands, logarithm, (x - mean) / std.

    Attributes:
        rate: frames of sound a second.
        n_fft, hop, win: positions of a spectrum, between two, and under the window.
        bands: mel bands; None: the n_fft / 2 + 1 frequencies themselves.
        low, high: Hz, ends of the bands.
        mel: "slaney" or "htk"; area: whether a band's weights are divided by its width.
        power: of the magnitude, before the bands.
        log: "ln", "log10", "db" (10 log10) or "none".
        floor: least value under the logarithm; span: most that the largest value lies above the
            least, in units of the logarithm.
        center: whether frames lie around their position; the ends are mirrored.
        length: spectra that the input takes: silence is added to the sound, or it is cut.
    """

    rate: float
    n_fft: int
    hop: int
    win: int
    window: str = "hann"
    bands: int | None = None
    low: float = 0.0
    high: float = 0.0
    mel: str = "slaney"
    area: bool = True
    power: float = 2.0
    log: str = "none"
    floor: float = 1e-10
    span: float | None = None
    center: bool = True
    length: int | None = None
    drop_last: bool = False
    mean: float = 0.0
    std: float = 1.0
    layout: str = "FT"

    @classmethod
    def of(cls, entry: Settings) -> SpectrogramInput:
        """The keys of a sidecar. Raises InputError naming the key that is wrong."""
        rate, n_fft = entry.number("rate"), entry.whole("n_fft", 2)
        win = entry.whole("win", 1, default=n_fft)
        high = entry.number("high", default=rate / 2)
        made = cls(
            rate=rate,
            n_fft=n_fft,
            hop=entry.whole("hop", 1),
            win=win,
            window=entry.choice("window", tuple(_COSINES), default="hann"),
            bands=entry.whole("mels", 1) if entry.has("mels") else None,
            low=entry.number("low", default=0.0),
            high=high,
            mel=entry.choice("mel_scale", ("slaney", "htk"), default="slaney"),
            area=entry.flag("mel_area", True),
            power=entry.number("power", default=2.0),
            log=entry.choice("log", ("ln", "log10", "db", "none"), default="none"),
            floor=entry.number("floor", default=1e-10),
            span=entry.number("range") if entry.has("range") else None,
            center=entry.flag("center", True),
            length=entry.whole("length", 1) if entry.has("length") else None,
            drop_last=entry.flag("drop_last", False),
            mean=entry.number("mean", default=0.0),
            std=entry.number("std", default=1.0),
            layout=entry.choice("layout", LAYOUTS, default="FT"),
        )
        _check(made, entry)
        return made

    @property
    def rows(self) -> int:
        """Number of bands or frequencies."""
        return self.bands or self.n_fft // 2 + 1

    @cached_property
    def hertz(self) -> Array:
        """The middle of every row, Hz."""
        if self.bands is None:
            return np.linspace(0, self.rate / 2, self.rows)
        return self._edges[1:-1]

    def encode(self, sound: Any, source: str = "sound") -> Array:
        """float32 input [1, ...] of sound [frames] from -1 to 1. Raises InputError."""
        wave = np.asarray(sound, np.float64)
        wave = wave[:, 0] if wave.ndim == 2 and wave.shape[1] == 1 else wave
        if wave.ndim != 1 or not wave.size or not np.isfinite(wave).all():
            raise InputError(f"{source}: sound is finite numbers [frames], not {wave.shape}")
        values = (self._log(self._banded(self._fitted(wave))) - self.mean) / self.std
        order: dict[str, Array] = {"FT": values, "TF": values.T}
        laid = order[self.layout.replace("C", "")].astype(np.float32)
        if "C" in self.layout:
            laid = laid[None] if self.layout[0] == "C" else laid[..., None]
        return np.ascontiguousarray(laid)[None]

    def read(self, path: Path) -> Array:
        """The input that a .wav file is. Raises InputError."""
        if path.suffix.lower() != SUFFIX:
            raise InputError(f"{path}: sound is read from .wav files, or given as the array .npy")
        return self.encode(mixed(*read_sound(path), self.rate, 1, path), str(path))

    def plane(self, sample: Array) -> Array:
        """A sample of the input, or its relevance, as [rows, spectra]."""
        flat = sample
        if "C" in self.layout:
            flat = sample.sum(axis=0 if self.layout[0] == "C" else 2)
        return flat.T if self.layout.replace("C", "") == "TF" else flat

    def fits(self, sample: Array) -> bool:
        """Whether a sample of the input has these axes and rows."""
        return sample.ndim == len(self.layout) and self.plane(sample).shape[0] == self.rows

    def seconds(self, spectrum: float) -> float:
        """The time at which a spectrum begins."""
        return spectrum * self.hop / self.rate

    def describe(self) -> str:
        """What the input takes, in words."""
        rows = f"{self.bands} mel bands" if self.bands else f"{self.rows} frequencies"
        return f"a sound (.wav) of {self.rate:g} Hz, as {rows} every {1000 * self.seconds(1):g} ms"

    def _fitted(self, wave: Array) -> Array:
        """With silence behind it, or cut, so that as many spectra come out as the input takes."""
        if self.length is not None:
            frames = self.length * self.hop
            if not self.drop_last:
                frames -= self.hop
            frames += 0 if self.center else self.n_fft
            wave = np.pad(wave[:frames], (0, max(frames - len(wave), 0)))
        half = self.n_fft // 2
        if self.center:
            mode = "reflect" if len(wave) > half else "constant"
            wave = np.pad(wave, half, mode=mode)  # type: ignore[call-overload]
        return np.pad(wave, (0, max(self.n_fft - len(wave), 0)))

    def _banded(self, wave: Array) -> Array:
        """Bands or frequencies [rows, spectra]."""
        frames = np.lib.stride_tricks.sliding_window_view(wave, self.n_fft)[:: self.hop]
        frames = frames[:-1] if self.drop_last and len(frames) > 1 else frames
        left = (self.n_fft - self.win) // 2
        window = np.pad(_window(self.window, self.win), (left, self.n_fft - self.win - left))
        spectrum: Array = np.abs(np.fft.rfft(frames * window, axis=1)) ** self.power
        return (spectrum if self.bands is None else spectrum @ self._weights).T

    def _log(self, values: Array) -> Array:
        if self.log == "none":
            return values
        raised = np.maximum(values, self.floor)
        found = np.log(raised) if self.log == "ln" else np.log10(raised)
        found = 10 * found if self.log == "db" else found
        return found if self.span is None else np.maximum(found, found.max() - self.span)

    @cached_property
    def _edges(self) -> Array:
        """Hz of the bands + 2 corners of the triangles, evenly spaced in mel."""
        low, high = (_mel(hertz, self.mel) for hertz in (self.low, self.high))
        return _hertz(np.linspace(low, high, self.rows + 2), self.mel)

    @cached_property
    def _weights(self) -> Array:
        """Triangles [frequencies, bands]."""
        edges, bins = self._edges, np.linspace(0, self.rate / 2, self.n_fft // 2 + 1)
        widths = np.diff(edges)
        slopes = edges[None, :] - bins[:, None]
        rising, falling = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
        weights: Array = np.maximum(0, np.minimum(rising, falling))
        return weights * (2 / (edges[2:] - edges[:-2])) if self.area else weights


def _window(kind: str, length: int) -> Array:
    """A periodic window: a sum of cosines."""
    phase = 2 * np.pi * np.arange(length) / length
    found: Array = sum(c * np.cos(k * phase) for k, c in enumerate(_COSINES[kind]))  # type: ignore[assignment]
    return found


def _mel(hertz: float, kind: str) -> float:
    if kind == "htk":
        return float(2595 * np.log10(1 + hertz / 700))
    return float(3 * hertz / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) * 27 / np.log(6.4))


def _hertz(mel: Array, kind: str) -> Array:
    if kind == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    high = 1000 * np.exp(np.log(6.4) / 27 * (np.maximum(mel, 15) - 15))
    return np.where(mel < 15, 200 * mel / 3, high)


def _check(made: SpectrogramInput, entry: Settings) -> None:
    """Raise InputError for numbers that do not fit each other."""
    if made.rate <= 0:
        raise entry.wrong("rate", "must be greater than 0")
    if made.win > made.n_fft:
        raise entry.wrong("win", f"must not be greater than n_fft, {made.n_fft}")
    if not 0 <= made.low < made.high <= made.rate / 2:
        raise entry.wrong("high", f"must lie between low and {made.rate / 2:g}, half the rate")
    if made.floor <= 0 or made.std == 0 or made.power <= 0:
        key = "floor" if made.floor <= 0 else "std" if made.std == 0 else "power"
        raise entry.wrong(key, "must be greater than 0" if key != "std" else "must not be 0")
    if made.span is not None and made.span <= 0:
        raise entry.wrong("range", "must be greater than 0")
