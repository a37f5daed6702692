"""The image benchmark: a residual network on digits, EfficientNet-Lite0 on photos.

Usage: python scripts/benchmark/images.py, with the packages of requirements.txt installed. Every
method explains the score (the logit) of the predicted class of pictures that no tuning has seen:
200 held-out digits, ten of the 20 photos. Writes results/images.json cell by cell, and goes on
where it was stopped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import image_models
import numpy as np
import ours
import torch
from common import HELD_OUT_DIGITS
from image_peers import floors, peers
from shared import THREADS, Array, Cells, Explain, Method, costs, in_parts, interval, say, twin
from torch import nn

import backtrace_onnx as bt
from backtrace_onnx import metrics
from backtrace_onnx.inputs.blurring import blurred

DIGITS, STEPS, INPUT = 200, 10, "image"
MODES = ("default", "contrastive", "lrp", "cnn", "gradient_x_input", "deeplift")
BLURRED = "deeplift, baseline blur"
WALKS = ("integrated_gradients(steps=16)", "smoothgrad(samples=20)", "gradcam")


@dataclass
class Pictures:
    """A data set with its network.

    Attributes:
        x: pictures that are explained. mosaics: four of them in one, the first explained.
        side: of the squares that are replaced as one, in pixels.
        sets, draws: how many sets of squares, and how many noisy copies.
        batch: how many are explained at once.
    """

    name: str
    title: str
    model: nn.Module
    layer: nn.Module
    path: Path
    about: dict[str, Any]
    x: Array
    mosaics: Array
    side: int
    sets: int
    draws: int
    batch: int


def mosaics(x: Array, classes: Array) -> Array:
    """Each picture, at half its size, upper left of the next three of other classes."""
    small = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).mean((3, 5))
    made = []
    for i, own in enumerate(classes):
        ring = np.roll(np.arange(len(x)), -i)
        a, b, c = (small[j] for j in ring[classes[ring] != own][:3])
        made.append(np.block([[small[i], a], [b, c]]))
    return np.stack(made).astype(np.float32)


def load(name: str, *, tuning: bool = False) -> Pictures:
    """A data set by its name: digits or photos; every second picture is for tuning."""
    if name == "digits":
        model, path, about = image_models.resnet()
        x = image_models.digits()[0][-HELD_OUT_DIGITS:][not tuning :: 2][:DIGITS]
        layer, title = model.blocks[-1], "Residual network on digits"
        size = {"side": 4, "sets": 60, "draws": 2, "batch": 50}
    else:
        model, path, about = image_models.efficientnet()
        x = image_models.photos()[0][not tuning :: 2]
        layer, title = model._bn1, "EfficientNet-Lite0 on photos"
        size = {"side": 14, "sets": 24, "draws": 2, "batch": 1}
    classes = bt.BlackBox(path)(x).argmax(1)
    many = mosaics(x, classes)
    return Pictures(name, title, model, layer, path, about, x, many, **size)


def our_methods(pictures: Pictures) -> Iterator[Method]:
    """Our modes."""
    explainer = bt.Explainer(pictures.path)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def fast(name: str, compared: Callable[[Array], Array] | None = None) -> Explain:
            return ours.compiled(explainer, name, INPUT, folder, compared)

        blur = fast("deeplift", lambda x: blurred(x, (2, 3)))
        called = ours.mode(explainer, "deeplift", INPUT, baseline="blur")
        yield Method(BLURRED, "ours", called, blur)
        for name in (*MODES, *WALKS, "auto"):
            made = None
            if name in MODES:
                made = fast(name, np.zeros_like if name == "deeplift" else None)
            yield Method(name.partition("(")[0], "ours", ours.mode(explainer, name, INPUT), made)


class Measured:
    """The metrics of one data set: a method enters, numbers of a cell leave."""

    def __init__(self, pictures: Pictures) -> None:
        self.logits = bt.BlackBox(pictures.path, batch=50 if pictures.batch > 1 else 10)
        self.pictures = pictures
        self.targets = self.logits(pictures.x).argmax(1)
        self.units = metrics.grid(pictures.x.shape[1:], pictures.side)
        self._inside = np.zeros(pictures.x.shape[1:], bool)
        half = (n // 2 for n in pictures.x.shape[2:])
        self._inside[:, : next(half), : next(half)] = True

    def probabilities(self, x: Array) -> Array:
        logits = self.logits(x)
        e = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(e / e.sum(1, keepdims=True))

    def __call__(self, explain: Explain) -> dict[str, list[float]]:
        p = self.pictures
        relevance = in_parts(explain, p.x, self.targets, p.batch)
        asked: dict[str, Any] = {"units": self.units, "replace": "blur", "target": self.targets}
        curves = [
            metrics.flip(self.probabilities, p.x, relevance, order=order, steps=STEPS, **asked).area
            for order in ("morf", "lerf")
        ]
        mosaic = in_parts(explain, p.mosaics, self.targets, p.batch)
        moved = metrics.sensitivity(
            lambda x: in_parts(explain, x, self.targets, p.batch),
            p.x,
            radius=0.1,
            samples=p.draws,
        )
        found = {
            "correlation": metrics.faithfulness_correlation(
                self.logits, p.x, relevance, runs=p.sets, **asked
            ),
            "flipping": curves[0],
            "abpc": curves[1] - curves[0],
            "localisation": metrics.mass_inside(mosaic, self._inside),
            "sensitivity": moved.most,
        }
        return {name: interval(values) for name, values in found.items()}


def run(name: str, cells: Cells, *, tuning: bool = False) -> None:
    """All methods on one data set."""
    pictures = load(name, tuning=tuning)
    measured = Measured(pictures)
    cells.describe(name, title=pictures.title, samples=len(pictures.x), **pictures.about)
    found = (our_methods(pictures), peers(pictures.model, pictures.layer, pictures.x), floors())
    few = [(pictures.x[i : i + 1], measured.targets[i : i + 1]) for i in range(3)]
    earlier: list[Method] = []
    for method in (method for methods in found for method in methods):
        if not cells.has(name, method.name):
            same = twin(method, earlier, few) if method.name == "auto" else None
            cells.put(name, method, cells.of(name, same) if same else _cell(method, measured))
            say(f"{name}: {method.name}: {same or cells.of(name, method.name)}")
        earlier.append(method)


def _cell(method: Method, measured: Measured) -> dict[str, Any]:
    numbers: dict[str, Any] = measured(method.explain)
    if method.family != "floor":
        numbers |= costs(method, measured.pictures.x, measured.targets, times=7)
    return numbers


def main() -> None:
    torch.set_num_threads(THREADS)
    cells = Cells("images")
    for name in ("digits", "photos"):
        run(name, cells)


if __name__ == "__main__":
    main()
