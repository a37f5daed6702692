"""Spectrograms, against torch's transform and the feature extractors of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.spectrograms import SpectrogramInput
from tests.graphs import normal
from tests.inputs.test_series import sound

WAVE = 0.1 * normal(5000, dtype=np.float64)
PLAIN = {"kind": "spectrogram", "rate": 16000, "n_fft": 400, "hop": 160}


def entry(folder: Path, **keys: Any) -> SpectrogramInput:
    path = folder / "m.sidecar.json"
    path.write_text(json.dumps({"inputs": {"x": PLAIN | keys}}))
    found = Sidecar.load(path).inputs["x"]
    assert isinstance(found, SpectrogramInput)
    return found


@pytest.mark.parametrize(("win", "center"), [(400, True), (300, True), (400, False)])
@pytest.mark.parametrize("window", ["hann", "hamming"])
def test_magnitudes_are_those_of_torch(win: int, center: bool, window: str) -> None:
    torch = pytest.importorskip("torch")
    own = getattr(torch, f"{window}_window")(win, dtype=torch.float64)
    wave = torch.tensor(WAVE)
    made = torch.stft(wave, 400, 160, win, own, center=center, return_complex=True).abs().numpy()
    found = SpectrogramInput(16000, 400, 160, win, window, power=1.0, center=center).encode(WAVE)
    np.testing.assert_allclose(found[0], made, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("n_fft", "bands", "low", "high", "mel", "area", "log", "theirs"),
    [
        (400, 80, 0, 8000, "slaney", True, "log10", "log10"),
        (512, 64, 60, 7800, "htk", False, "ln", "log"),
        (512, 40, 0, 8000, "slaney", False, "db", "dB"),
    ],
)
def test_bands_are_those_of_transformers(
    n_fft: int, bands: int, low: float, high: float, mel: str, area: bool, log: str, theirs: Any
) -> None:
    audio = pytest.importorskip("transformers.audio_utils")
    norm = "slaney" if area else None
    filters = audio.mel_filter_bank(
        n_fft // 2 + 1, bands, low, high, 16000, norm=norm, mel_scale=mel
    )
    window = audio.window_function(400, "hann")
    least = {"min_value": 1e-10} if log == "db" else {}
    want = audio.spectrogram(
        WAVE,
        window,
        400,
        160,
        fft_length=n_fft,
        power=2.0,
        mel_filters=filters,
        log_mel=theirs,
        **least,
    )
    found = SpectrogramInput(
        16000, n_fft, 160, 400, bands=bands, low=low, high=high, mel=mel, area=area, log=log
    ).encode(WAVE)
    np.testing.assert_allclose(found[0], want, rtol=1e-4, atol=1e-4)


def test_whisper_hears_what_its_own_extractor_makes(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    extractor = transformers.WhisperFeatureExtractor(chunk_length=2)
    want = extractor(WAVE, sampling_rate=16000, return_tensors="np")["input_features"]
    made = entry(
        tmp_path, mels=80, log="log10", range=8, mean=-4, std=4, length=200, drop_last=True
    )
    found = made.encode(WAVE)
    assert found.shape == want.shape == (1, 80, 200)
    np.testing.assert_allclose(found, want, atol=1e-5)


def test_layouts_and_lengths(tmp_path: Path) -> None:
    plain = entry(tmp_path, length=20).encode(WAVE)
    assert plain.shape == (1, 201, 20) and plain.dtype == np.float32
    laid = entry(tmp_path, length=20, layout="CTF")
    np.testing.assert_array_equal(laid.encode(WAVE)[0, 0], plain[0].T)
    np.testing.assert_array_equal(laid.plane(laid.encode(WAVE)[0]), plain[0])
    last = entry(tmp_path, length=20, layout="TFC")
    np.testing.assert_array_equal(last.plane(last.encode(WAVE)[0]), plain[0])
    assert entry(tmp_path, length=60).encode(WAVE).shape == (1, 201, 60)
    apart = entry(tmp_path, center=False, length=60).encode(WAVE)
    assert apart.shape == (1, 201, 60)
    assert not apart[0, :, -5:].any()  # silence behind the sound
    assert entry(tmp_path).encode(np.ones(3)).shape[1] == 201


def test_a_tone_lies_where_it_sounds(tmp_path: Path) -> None:
    times = np.arange(16000) / 16000
    tone = np.where(times < 0.5, np.sin(2 * np.pi * 1000 * times), 0)
    made = entry(tmp_path, mels=64)
    plane = made.encode(tone)[0]
    loudest = made.hertz[plane.sum(axis=1).argmax()]
    assert abs(loudest - 1000) < 60
    assert made.seconds(50) == 0.5
    assert plane[:, :48].sum() > 1e3 * plane[:, 53:].sum()


def test_only_sound_is_read(tmp_path: Path) -> None:
    data = (3000 * WAVE).astype("<i2").tobytes()
    path = sound(tmp_path / "s.wav", data, rate=16000)
    assert entry(tmp_path).read(path).shape == (1, 201, 32)
    with pytest.raises(InputError, match="8000 frames a second"):
        entry(tmp_path).read(sound(tmp_path / "t.wav", data, rate=8000))
    with pytest.raises(InputError, match=r"\.wav"):
        entry(tmp_path).read(tmp_path / "s.csv")
    with pytest.raises(InputError, match="finite"):
        entry(tmp_path).encode(np.full(9, np.nan))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"rate": -1}, r"rate: must be greater"),
        ({"win": 500}, r"win: must not be greater than n_fft"),
        ({"low": 9000}, r"high: must lie between"),
        ({"high": 9000}, r"high: must lie between"),
        ({"mel_scale": "bark"}, r"mel_scale: must be one of"),
        ({"window": "kaiser"}, r"window: must be one of"),
        ({"log": "log2"}, r"log: must be one of"),
        ({"floor": 0}, r"floor: must be greater than 0"),
        ({"std": 0}, r"std: must not be 0"),
        ({"power": 0}, r"power: must be greater than 0"),
        ({"range": 0}, r"range: must be greater than 0"),
        ({"layout": "T"}, r"layout: must be one of FT"),
        ({"channels": ["a"]}, r"channels: unknown key"),
    ],
)
def test_every_key_is_checked(keys: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        entry(tmp_path, **keys)
