"""Makes the pictures of docs/methods.md: one digit, one page and one row in every mode.

`python scripts/method_pictures.py` needs the models of `models/` only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

import backtrace_onnx as bt
from backtrace_onnx.inputs.files import InputReader
from backtrace_onnx.inputs.sidecar import Sidecar

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "models" / "pictures"
MODES = (
    *("default", "contrastive", "epsilon", "gradient", "gradient_x_input"),
    *("lrp", "attnlrp", "cp-lrp", "cnn", "deeplift"),
)
Drawing = Callable[[Any, Any], None]


def explained(model: str, sample: str, row: int = 0) -> dict[str, Any]:
    """Relevance of a sample in every mode; of contrastive, for minus against."""
    path = ROOT / "models" / f"{model}.onnx"
    explainer = bt.Explainer(path)
    reader = InputReader(explainer.graph, Sidecar.beside(path))
    inputs = reader.read([str(ROOT / "models" / "samples" / sample)]).feeds
    feeds = {name: x[row : row + 1] for name, x in inputs.items()}
    name = next(iter(feeds))
    found = {}
    for mode in MODES:
        made = explainer.explain(feeds, mode=mode)
        found[mode] = made.relevance[name][0]
        if mode == "contrastive":
            found[mode] = made.positive[name][0] - made.negative[name][0]
    return found


def sheet(name: str, found: Mapping[str, Any], draw: Drawing) -> None:
    """All modes side by side, as `name`.png."""
    figure, axes = plt.subplots(2, 5, figsize=(10, 4.4), constrained_layout=True)
    for axis, (mode, r) in zip(axes.flat, found.items(), strict=True):
        axis.set_title(mode, fontsize=10)
        draw(axis, r)
    path = PICTURES / f"{name}.png"
    figure.savefig(path, dpi=80)
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


def heat(axis: Any, r: Any) -> None:
    """Sums over the colours; red speaks for the answer, blue against it."""
    summed = r.sum(0) if r.ndim == 3 else r
    most = float(np.percentile(np.abs(summed), 99.5)) or 1.0
    axis.imshow(summed, cmap="RdBu_r", vmin=-most, vmax=most)
    axis.set_axis_off()


def bars(axis: Any, r: Any) -> None:
    """One bar for each number of the row."""
    values = r.ravel()[::-1]
    axis.barh(range(values.size), values, color=np.where(values > 0, "C3", "C0"))
    axis.set_yticks([])
    axis.tick_params(labelsize=7)


def main() -> None:
    """All pictures."""
    sheet("methods_digit", explained("mnist_cnn", "digit_2.png"), heat)
    sheet("methods_page", explained("orientation", "page_90.png"), heat)
    sheet("methods_person", explained("adult_mlp", "adult.csv", row=4), bars)


if __name__ == "__main__":
    main()
