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
from backtrace_onnx.inputs.files import read_inputs
from backtrace_onnx.inputs.sidecar import Sidecar

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "models" / "pictures"
MODES = (
    *("default", "contrastive", "epsilon", "gradient", "gradient_x_input"),
    *("lrp", "cnn", "attnlrp", "cp-lrp", "deeplift"),
)


def explained(model: str, sample: str) -> dict[str, np.ndarray[Any, Any]]:
    """Relevance of the first sample in every mode; of contrastive, for minus against."""
    path = ROOT / "models" / f"{model}.onnx"
    explainer = bt.Explainer(path)
    sidecar = Sidecar.read(path.with_suffix(".sidecar.json"))
    inputs = read_inputs([str(ROOT / "models" / "samples" / sample)], explainer, sidecar)
    found = {}
    for mode in MODES:
        made = explainer.explain(inputs, mode=mode)
        name = next(iter(made.relevance))
        against = made.negative[name][0] if made.negative else 0
        found[mode] = np.asarray(made.relevance[name][0] - against)
    return found


def sheet(name: str, found: Mapping[str, Any], draw: Callable[[Any, Any], None]) -> None:
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
    """Sums over the colours; red speaks for the answer."""
    summed = r.sum(0) if r.ndim == 3 else r
    most = float(np.percentile(np.abs(summed), 99.5)) or 1.0
    axis.imshow(summed, cmap="RdBu_r", vmin=-most, vmax=most)
    axis.set_axis_off()


def bars(axis: Any, r: Any) -> None:
    """One bar for each number of the row."""
    axis.barh(range(r.size), r.ravel()[::-1], color=np.where(r.ravel()[::-1] > 0, "C3", "C0"))
    axis.set_yticks([])
    axis.tick_params(labelsize=7)
