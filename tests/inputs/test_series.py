"""Series and sound: files and arrays turned into inputs, or refused by name."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.series import SeriesInput
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.sound import read_sound
from tests.graphs import normal


def sound(path: Path, data: bytes, *, width: int = 2, rate: int = 8000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def entry(folder: Path, **keys: Any) -> Any:
    path = folder / "m.sidecar.json"
    path.write_text(json.dumps({"inputs": {"x": {"kind": "series", **keys}}}))
    return Sidecar.load(path).inputs["x"]


@pytest.mark.parametrize(
    ("width", "data"),
    [
        (1, bytes([128, 255, 0, 192])),
        (2, np.array([0, 32512, -32768, 16384], "<i2").tobytes()),
        (3, b"\0\0\0\0\0\x7f\0\0\x80\0\0\x40"),
        (4, np.array([0, 127 << 24, -(2**31), 2**30], "<i4").tobytes()),
    ],
)
def test_sound_of_every_width_is_the_same_numbers(width: int, data: bytes, tmp_path: Path) -> None:
    rate, values = read_sound(sound(tmp_path / "s.wav", data, width=width))
    assert rate == 8000 and values.dtype == np.float32
    np.testing.assert_array_equal(values[:, 0], [0, 127 / 128, -1, 0.5])


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\x24\0\0\0WAVEfmt ", b"no sound at all"])
def test_what_is_no_sound_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.wav").write_bytes(data)
    with pytest.raises(InputError, match=r"s\.wav: not a \.wav file"):
        read_sound(tmp_path / "s.wav")


def test_a_sound_file_of_floats_says_how_to_convert_it(tmp_path: Path) -> None:
    path = sound(tmp_path / "s.wav", b"\0" * 8, width=4)
    data = bytearray(path.read_bytes())
    data[20] = 3  # the format: IEEE floats
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="ffmpeg"):
        read_sound(path)
    with pytest.raises(InputError, match="holds no sound"):
        read_sound(sound(tmp_path / "e.wav", b""))
    with pytest.raises(InputError, match="no such file"):
        read_sound(tmp_path / "none.wav")


def test_stereo_is_mixed_down_where_one_channel_is_taken(tmp_path: Path) -> None:
    data = np.array([[8192, 24576], [0, -16384]], "<i2").tobytes()
    path = sound(tmp_path / "s.wav", data, channels=2)
    np.testing.assert_array_equal(entry(tmp_path, rate=8000).read(path), [[0.5, -0.25]])
    both = entry(tmp_path, channels=["left", "right"]).read(path)
    np.testing.assert_array_equal(both, [[[0.25, 0], [0.75, -0.5]]])
    with pytest.raises(InputError, match=r"8000 frames a second, the model takes 16000"):
        entry(tmp_path, rate=16000).read(path)


@pytest.mark.parametrize("layout", ["CT", "TC"])
def test_channels_are_laid_as_the_sidecar_says_and_read_back(layout: str) -> None:
    made = SeriesInput(None, ("a", "b"), layout, scale=2, mean=(1, 0), std=(1, 4))
    values = normal(5, 2)
    encoded = made.encode(values)
    assert encoded.shape == ((1, 2, 5) if layout == "CT" else (1, 5, 2))
    assert encoded.dtype == np.float32
    own = encoded[0] if layout == "TC" else encoded[0].T
    np.testing.assert_allclose(own, (2 * values - (1, 0)) / (1, 4), rtol=1e-6)
    np.testing.assert_allclose(made.decode(encoded[0]), values.T, rtol=1e-5, atol=1e-6)
    assert made.fits(encoded[0]) and not made.fits(encoded[0, 0])


def test_length_is_kept_filled_or_cut() -> None:
    short, long = np.arange(1.0, 3), np.arange(1.0, 6)
    np.testing.assert_array_equal(SeriesInput(length=3).encode(short), [[1, 2, 0]])
    cut = SeriesInput(length=3, truncate=True)
    np.testing.assert_array_equal(cut.encode(long), [[1, 2, 3]])
    with pytest.raises(InputError, match="5 positions are more than the 3"):
        SeriesInput(length=3).encode(long)


@pytest.mark.parametrize("values", [[], [[1, 2]], [np.nan], [[[1.0]]]])
def test_numbers_that_are_no_such_series_are_refused(values: Any) -> None:
    with pytest.raises(InputError):
        SeriesInput().encode(values)


def test_columns_of_a_table_are_channels_by_name(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("time,b,a\n0,1,2\n1,3,4\n")
    named = entry(tmp_path, channels=["a", "b"]).read(tmp_path / "s.csv")
    np.testing.assert_array_equal(named, [[[2, 4], [1, 3]]])
    (tmp_path / "n.csv").write_text("1,2\n3,4\n")
    plain = entry(tmp_path, channels=["a", "b"]).read(tmp_path / "n.csv")
    np.testing.assert_array_equal(plain, [[[1, 3], [2, 4]]])
    with pytest.raises(InputError, match="shape"):
        entry(tmp_path).read(tmp_path / "n.csv")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"rate": 0}, r"x\.rate: must be greater than 0"),
        ({"channels": ["a", "b"], "layout": "T"}, r"x\.layout: T has one channel"),
        ({"layout": "TF"}, r"x\.layout: must be one of T, CT, TC"),
        ({"scale": 0}, r"x\.scale: must not be 0"),
        ({"std": [0]}, r"x\.std: must not be 0"),
        ({"length": 0}, r"x\.length"),
        ({"truncate": 1}, r"x\.truncate: must be true or false"),
        ({"hop": 1}, r"x\.hop: unknown key"),
    ],
)
def test_every_key_is_checked(keys: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        entry(tmp_path, **keys)
