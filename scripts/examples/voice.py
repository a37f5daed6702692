"""One voice detector in five files: LSTM node, If around it, written out; explained alike.

`python scripts/examples/voice.py` fetches silero-vad (MIT, out of the wheel silero-vad 6.2.3) into
models/fetched and a recording (MIT, out of the source of webrtcvad 2.0.10), explains the loudest
moment and draws models/pictures/voice.png.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from fetching import FETCHED, keep, unpacked
from scipy.signal import resample_poly

import backtrace_onnx as bt
from backtrace_onnx.report import picture_style

FOLDER = FETCHED / "voice"
RECORDING = FOLDER / "test-audio.raw"
FORMS = {
    "silero_vad.onnx": "If around LSTM",
    "silero_vad_16k_op15.onnx": "LSTM written out",
    "silero_vad_16k_sequence.onnx": "LSTM node",
    "silero_vad_op18_ifless.onnx": "without If",
    "silero_vad_openvino_16k.onnx": "written out, fixed shapes",
}
RATE, CONTEXT, WINDOW = 16000, 64, 512
MODES = ("default", "contrastive")
Array = npt.NDArray[np.float32]


def fetch() -> None:
    """Take the five files and the recording out of their packages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with unpacked("silero-vad==6.2.3") as root:
        for name in FORMS:
            shutil.copyfile(root / "silero_vad" / "data" / name, FOLDER / name)
    with unpacked("webrtcvad==2.0.10", source=True) as root:
        shutil.copyfile(next(root.rglob(RECORDING.name)), RECORDING)


def recording() -> Array:
    """The recording, 8 kHz of 16 bits, at 16 kHz, float32[samples] in -1..1."""
    found: Array = resample_poly(np.fromfile(RECORDING, np.int16) / 32768, 2, 1).astype(np.float32)
    return found


def loudest(sound: Array) -> Array:
    """The window with the most energy and what stands before it, float32[1, 576]."""
    starts = np.arange(CONTEXT, len(sound) - WINDOW, WINDOW)
    best = starts[np.argmax([np.square(sound[s : s + WINDOW]).sum() for s in starts])]
    return sound[None, best - CONTEXT : best + WINDOW]


def feeds(path: Path, x: Array) -> dict[str, Any]:
    """The window, an empty state and the rate, as the file asks for them."""
    found: dict[str, Any] = {"input": x}
    for value in ort.InferenceSession(path).get_inputs():
        if value.name == "sr":
            found["sr"] = np.array(RATE, np.int64)
        elif value.name != "input":
            found[value.name] = np.zeros(
                [n if isinstance(n, int) else 1 for n in value.shape], np.float32
            )
    return found


def main() -> None:
    """Explain every form, compare them, draw one."""
    if not RECORDING.exists():
        fetch()
    x = loudest(recording())
    found = {}
    for name, form in FORMS.items():
        path = FOLDER / name
        explainer = bt.Explainer(path)
        given = feeds(path, x)
        found[name] = {mode: explainer.explain(given, mode=mode) for mode in MODES}
        (answer,) = (v for k, v in found[name]["default"].outputs.items() if v.size == 1)
        print(f"{form:26} {name:30} speech: {answer.item():.4f}")
    names = list(FORMS)
    for mode in MODES:
        first = found[names[0]][mode].relevance["input"]
        apart = max(np.abs(found[n][mode].relevance["input"] - first).max() for n in names[1:])
        print(f"{mode}: largest difference between the forms {apart / np.abs(first).max():.1e}")
    with TemporaryDirectory() as folder:
        relevance = found[names[0]]["contrastive"].relevance["input"][0]
        picture_style.save(Path(folder) / "relevance.png", lambda: draw(x[0], relevance))
        keep(Path(folder), "voice")


def draw(x: Array, relevance: Array) -> Any:
    """The wave over bars of relevance per millisecond."""
    figure = picture_style.sheet(9, 3.2)
    above, below = figure.subplots(2, 1, sharex=True)
    time = (np.arange(len(x)) - CONTEXT) / RATE * 1000
    above.plot(time, x, color=picture_style.INK, linewidth=0.8)
    above.set_ylabel("amplitude")
    bins = relevance.reshape(-1, RATE // 1000).sum(1)
    colours = [picture_style.FOR if r > 0 else picture_style.AGAINST for r in bins]
    below.bar(time[:: RATE // 1000] + 0.5, bins, width=0.9, color=colours)
    below.set(ylabel="relevance", xlabel="milliseconds")
    figure.suptitle("Why is this speech? (silero-vad, contrastive)", fontsize=12)
    return figure


if __name__ == "__main__":
    main()
