"""Which bytes tell what kind a file is.

`python scripts/examples/file_types.py [FILE ...]` fetches magika's classifier (Apache-2.0, out of
the wheel magika 1.0.3) into models/fetched, explains files and draws models/pictures/bytes.png.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fetching import FETCHED, ROOT, keep, unpacked

import backtrace_onnx as bt
from backtrace_onnx.report import picture_style

MODEL, CONFIG = FETCHED / "file_types.onnx", FETCHED / "file_types.json"
FILES = ("pyproject.toml", "backtrace_onnx/policies.py", "README.md", "models/samples/digit_2.png")
SHOWN, COLUMNS = 120, 60


def fetch() -> None:
    """Take the model and its labels out of the wheel."""
    FETCHED.mkdir(parents=True, exist_ok=True)
    with unpacked("magika==1.0.3") as root:
        folder = root / "magika" / "models" / "standard_v3_3"
        shutil.copyfile(folder / "model.onnx", MODEL)
        shutil.copyfile(folder / "config.min.json", CONFIG)


def features(content: bytes, config: dict[str, Any]) -> np.ndarray:
    """The first and the last bytes, stripped and padded, int32[1, beginning + end]."""
    block, padding = config["block_size"], config["padding_token"]
    head = list(content[:block].lstrip())[: config["beg_size"]]
    tail = list(content[-block:].rstrip())[-config["end_size"] :]
    head += [padding] * (config["beg_size"] - len(head))
    tail = [padding] * (config["end_size"] - len(tail)) + tail
    return np.array([head + tail], np.int32)


def draw(files: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Any:
    """The first bytes of every file, shaded by relevance."""
    lines = SHOWN // COLUMNS
    figure = picture_style.sheet(10, len(files) * (0.3 * lines + 0.45))
    for axis, (title, shown, relevance) in zip(figure.subplots(len(files), 1), files, strict=True):
        top = np.abs(relevance).max() or 1.0
        axis.set(xlim=(0, COLUMNS), ylim=(lines, 0))
        axis.axis("off")
        axis.set_title(title, loc="left", fontsize=11)
        for i, (byte, r) in enumerate(zip(shown[:SHOWN], relevance[:SHOWN], strict=True)):
            text = chr(byte) if 32 < byte < 127 else "·"
            box = {
                "facecolor": picture_style.shade(float(r / top)),
                "edgecolor": "none",
                "pad": 1.5,
            }
            where = (i % COLUMNS + 0.5, i // COLUMNS + 0.5)
            ink = "white" if r > top / 2 else picture_style.INK
            axis.text(
                *where, text, color=ink, family="monospace", ha="center", va="center", bbox=box
            )
    return figure


def main(names: Sequence[str]) -> None:
    """Explain the files and draw them."""
    if not MODEL.exists():
        fetch()
    config = json.loads(CONFIG.read_text())
    explainer = bt.Explainer(MODEL)
    shown = []
    for name in names:
        x = features((ROOT / name).read_bytes(), config)
        found = explainer.explain(x)
        (scores,) = found.outputs.values()
        best = int(scores[0].argmax())
        label = config["target_labels_space"][best]
        relevance = found.relevance["bytes"][0]
        told = np.argsort(-relevance)[:8]
        text = " ".join(repr(chr(x[0, i])) for i in sorted(told) if x[0, i] < 256)
        total = found.ledger.total()
        share = total.inputs.sum() / total.start.sum()
        print(f"{name}: {label} ({scores[0, best]:.2f}); {share:.0%} reaches bytes, most: {text}")
        shown.append((f"{name}: {label}, {scores[0, best]:.0%}", x[0], relevance))
    with TemporaryDirectory() as folder:
        picture_style.save(Path(folder) / "relevance.png", lambda: draw(shown))
        keep(Path(folder), "bytes")


if __name__ == "__main__":
    main(sys.argv[1:] or FILES)
