"""The image benchmark: a residual network on digits, EfficientNet-Lite0 on photos.

Usage: python scripts/benchmark/images.py [digits] [photos] [ours] [peers] [floors], with the
packages of requirements.txt installed; several may run beside each other. Every method explains the
score (the logit) of the predicted class of pictures that no tuning has seen: 200 held-out digits,
19 photos in three views each. Writes results/images.json cell by cell, and goes on where it was
stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import image_models
import numpy as np
import ours
import torch
from common import HELD_OUT_DIGITS
from image_peers import floors, peers
from shared import (
    FAILED,
    THREADS,
    Array,
    Cells,
    Explain,
    Method,
    Samples,
    chained,
    costs,
    in_parts,
    interval,
    twin,
)
from torch import nn

import backtrace_onnx as bt
from backtrace_onnx import metrics
from backtrace_onnx.inputs.blurring import blurred
from backtrace_onnx.metrics.units import relevance_of_units, units_of

DIGITS, STEPS, INPUT = 200, 10, "image"
DATA, FAMILIES = ("digits", "photos"), ("ours", "peers", "floors")
MODES = ("default", "contrastive", "lrp", "cnn", "gradient_x_input", "deeplift")
BLURRED = "deeplift, baseline blur"
SLOW = ("IG, 50 steps (captum)", "IG, 50 steps from blur (captum)")
"""What takes five seconds for a photo: it explains one view of each, for faithfulness only."""
WALKS = ("integrated_gradients(steps=16)", "smoothgrad(samples=20)", "gradcam")


@dataclass
class Pictures:
    """A data set with its network.

    Attributes:
        x: pictures that are explained. photo: the number of the photo of each; they are views.
        mosaics: four of these in one, the first explained.
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
    photo: Array
    mosaics: Array
    side: int
    sets: int
    draws: int
    batch: int

    @property
    def plain(self) -> int:
        """How many come first and are one of each photo."""
        return len(np.unique(self.photo))


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
        photo = np.arange(len(x))
        layer, title = model.blocks[-1], "Residual network on digits"
        size = {"side": 4, "sets": 60, "draws": 2, "batch": 50}
    else:
        model, path, about = image_models.efficientnet()
        x, photo = image_models.views(tuning=tuning)
        layer, title = model._bn1, "EfficientNet-Lite0 on photos"
        size = {"side": 14, "sets": 24, "draws": 1, "batch": 1}
    first = x[: len(np.unique(photo))]
    many = mosaics(first, bt.BlackBox(path)(first).argmax(1))
    return Pictures(name, title, model, layer, path, about, x, photo, many, **size)


def our_methods(pictures: Pictures) -> Iterator[Method]:
    """Our modes."""
    explainer = bt.Explainer(pictures.path)

    def fast(name: str, compared: Callable[[Array], Array] | None = None) -> Explain:
        return ours.compiled(explainer, name, INPUT, compared)

    blur = fast("deeplift", lambda x: blurred(x, (2, 3)))
    yield Method(BLURRED, "ours", ours.mode(explainer, "deeplift", INPUT, baseline="blur"), blur)
    for name in (*MODES, "auto", *WALKS):
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
        self._blurred = blurred(pictures.x, (2, 3))
        asked = {"units": self.units, "replace": self._blurred, "runs": pictures.sets}
        self._lost = metrics.remove_sets(self.logits, pictures.x, self.targets, **asked)
        self._inside = np.zeros(pictures.x.shape[1:], bool)
        half = (n // 2 for n in pictures.x.shape[2:])
        self._inside[:, : next(half), : next(half)] = True

    def probabilities(self, x: Array) -> Array:
        logits = self.logits(x)
        e = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(e / e.sum(1, keepdims=True))

    def __call__(self, explain: Explain, *, whole: bool = True) -> dict[str, Any]:
        """Intervals of all metrics; not `whole`: of faithfulness, on one view of each photo."""
        p = self.pictures
        count = len(p.x) if whole else p.plain
        x, targets = p.x[:count], self.targets[:count]
        relevance = in_parts(explain, x, targets, p.batch)
        asked = {"units": self.units, "replace": self._blurred[:count], "target": targets}
        morf, lerf = (
            metrics.flip(self.probabilities, x, relevance, order=order, steps=STEPS, **asked).area
            for order in ("morf", "lerf")
        )
        by_square = relevance_of_units(relevance, x, *units_of(x, self.units))
        pairs = zip(self._lost[:count], by_square, strict=True)
        moves = np.array([lost.correlation(own) for lost, own in pairs])
        faithful = {"correlation": moves, "flipping": morf, "abpc": lerf - morf}
        found = {name: interval(values, p.photo[:count]) for name, values in faithful.items()}
        others = self._others(explain, relevance[: p.plain]) if whole else {}
        return {"samples": count, **found, **{k: interval(v) for k, v in others.items()}}

    def _others(self, explain: Explain, relevance: Array) -> dict[str, Array]:
        """Where a map lies, and how it moves under noise, on one view of each photo."""
        p = self.pictures
        x, targets = p.x[: p.plain], self.targets[: p.plain]
        mosaic = in_parts(explain, p.mosaics, targets, p.batch)

        def again(noisy: Array) -> Array:
            same = np.array_equal(noisy, x)
            return relevance if same else in_parts(explain, noisy, targets, p.batch)

        moved = metrics.sensitivity(again, x, radius=0.1, samples=p.draws)
        return {
            "localisation": metrics.mass_inside(mosaic, self._inside),
            "sensitivity": moved.most,
        }


def run(name: str, cells: Cells, families: Sequence[str], *, tuning: bool = False) -> None:
    """The methods of some families on one data set."""
    pictures = load(name, tuning=tuning)
    measured = Measured(pictures)
    about = {**pictures.about, "samples": len(pictures.x), "photos": pictures.plain}
    cells.describe(name, title=pictures.title, **about)
    known = {
        "ours": lambda: our_methods(pictures),
        "peers": lambda: peers(pictures.model, pictures.layer, pictures.x),
        "floors": floors,
    }
    few = [(pictures.x[i : i + 1], measured.targets[i : i + 1]) for i in range(3)]
    earlier: list[Method] = []
    for method in chained(*(known[family]() for family in families)):
        made = cells.fill(name, method, lambda m=method: _cell(m, measured, cells, earlier, few))
        if FAILED not in made:
            earlier.append(method)


def _cell(
    method: Method, measured: Measured, cells: Cells, earlier: Sequence[Method], few: Samples
) -> Mapping[str, Any]:
    pictures = measured.pictures
    same = twin(method, earlier, few) if method.name == "auto" else None
    if same is not None and cells.has(pictures.name, same):
        return cells.of(pictures.name, same)
    slow = method.name in SLOW and pictures.batch == 1
    numbers = measured(method.explain, whole=not slow)
    if method.family != "floor":
        numbers |= costs(method, pictures.x, measured.targets, times=1 if slow else 7)
    return numbers


def main() -> int:
    torch.set_num_threads(THREADS)
    cells = Cells("images")
    asked = set(sys.argv[1:])
    families = [name for name in FAMILIES if name in asked] or FAMILIES
    for name in [name for name in DATA if name in asked] or DATA:
        run(name, cells, families)
    return cells.told()


if __name__ == "__main__":
    raise SystemExit(main())
