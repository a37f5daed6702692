"""Sound files, read by the standard library."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError

Array = npt.NDArray[Any]
SUFFIX = ".wav"


def read_sound(path: Path) -> tuple[int, Array]:
    """Frames a second, and float32[frames, channels] from -1 to 1, of a .wav file.

    Integers of 8, 16, 24 or 32 bits are read. Raises InputError for what is none of them.
    """
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels = file.getframerate(), file.getnchannels()
            width, data = file.getsampwidth(), file.readframes(file.getnframes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (wave.Error, EOFError, OSError, RuntimeError) as error:
        reason = str(error) or "it ends too early"
        raise InputError(
            f"{path}: not a .wav file of whole numbers ({reason}); convert it, "
            f"for example: ffmpeg -i {path.name} -c:a pcm_s16le sound.wav"
        ) from None
    if width not in (1, 2, 3, 4) or not channels or not rate:
        raise InputError(f"{path}: {8 * width} bits, {channels} channels, {rate} Hz: no sound")
    frames = len(data) // (width * channels)
    if not frames:
        raise InputError(f"{path}: holds no sound")
    values = _numbers(data[: frames * width * channels], width)
    return rate, values.reshape(frames, channels)


def _numbers(data: bytes, width: int) -> npt.NDArray[np.float32]:
    """Whole numbers of that many bytes as -1 to 1; those of one byte lie around 128."""
    if width == 1:
        return ((np.frombuffer(data, np.uint8) - np.float64(128)) / 128).astype(np.float32)
    if width == 3:
        triples = np.frombuffer(data, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(triples), 4), np.uint8)
        wide[:, 1:] = triples
        data, width = wide.tobytes(), 4
    whole = np.frombuffer(data, f"<i{width}").astype(np.float64)
    return (whole / 2.0 ** (8 * width - 1)).astype(np.float32)
