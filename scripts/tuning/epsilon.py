"""Which stabiliser of LRP-epsilon explains best, over five trained networks and their data?

For every stabiliser e, relative to a layer's scale, the area between the perturbation curves
(`metrics.abpc` of the probability of the class that the model chose) of mode `lrp(e)`: rows of the
census by column (replaced by the mean of 500 rows), digits by squares of 4 x 4 pixels (black),
photos and pages by squares of 16 x 16 pixels (blurred), sentences of reviews by token (left out).
The last column is the mean over the networks of what of their best value is reached.

**Samples.** Nothing was trained on them but the photos' and pages' networks, which are others'.
Tuned is on those of even number in their order, so that those of odd number are there to measure
what was chosen: census and digits as their scripts hold them out, the 20 photos of foolbox, four
pieces of each of two scanned pages, turned four ways, and the fifth of the sentences that is held
out.

    python scripts/models/efficientnet_lite0.py      # makes models/fetched/efficientnet_lite0.onnx
    python scripts/examples/movie_reviews.py         # makes models/fetched/movie_reviews.onnx
    python scripts/tuning/epsilon.py [network ...] [--mode MODE] [--odd]
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import backtrace_onnx as bt
from backtrace_onnx import metrics

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(SCRIPTS / "models"), str(SCRIPTS / "examples")]

import adult_mlp  # noqa: E402
import common  # noqa: E402
import mnist_cnn  # noqa: E402
import movie_reviews  # noqa: E402
import orientation  # noqa: E402
from efficientnet_lite0 import IMAGE as PHOTO  # noqa: E402
from PIL import Image  # noqa: E402

Array = npt.NDArray[Any]
STABILISERS = (0.0, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
STEPS = 10
LEFT_OUT = -1


@dataclass(frozen=True)
class Samples:
    """Samples of one network, and how they are perturbed.

    Attributes:
        path: the model. rows: its inputs, each with one sample.
        how: options of `metrics.abpc`.
    """

    path: Path
    rows: list[dict[str, Array]]
    how: dict[str, Any]


def census(part: slice) -> Samples:
    """Rows of the census, by column."""
    rows = adult_mlp.load_rows()
    count = len(rows) * 4 // 5
    path = common.MODELS / "adult_mlp.onnx"
    spec = common.read_sidecar(path)["inputs"]["features"]
    held_out = common.table_input(rows[count : count + 200], spec)[part]
    widths = [len(f.get("categories", "-")) for f in spec["features"]]
    units = np.repeat(np.arange(len(widths)), widths)
    background = common.table_input(rows[:500], spec)
    how = {"units": units, "replace": "mean", "background": background}
    return Samples(path, [{"features": row[None]} for row in held_out], how)


def digits(part: slice) -> Samples:
    """Digits, by squares that become black."""
    images, _ = common.load_digits()
    held_out = images[-common.HELD_OUT_DIGITS :][:120][part]
    x = common.normalise(held_out[..., None], mnist_cnn.IMAGE)
    how = {"units": metrics.grid((1, 28, 28), 4), "replace": float(x.min())}
    return Samples(common.MODELS / "mnist_cnn.onnx", [{"image": row[None]} for row in x], how)


def photos(part: slice) -> Samples:
    """Photos, by squares that are blurred."""
    files = sorted((common.FETCHED / "imagenet").glob("imagenet_*.jpg"))[part]
    rows = [{"image": common.image_input(Image.open(file), PHOTO)} for file in files]
    how = {"units": metrics.grid((3, 224, 224), 16), "replace": "blur"}
    return Samples(common.FETCHED / "efficientnet_lite0.onnx", rows, how)


def pages(part: slice) -> Samples:
    """Pieces of pages, turned, by squares that are blurred."""
    from skimage import data

    pieces = []
    for page in (data.page(), data.text()):
        high, wide = (n // 2 for n in page.shape)
        corners = [(top, left) for top in (0, high) for left in (0, wide)]
        pieces += [page[top : top + high, left : left + wide] for top, left in corners]
    path = common.MODELS / "orientation.onnx"
    (name,) = common.read_sidecar(path)["inputs"]
    turned = [np.ascontiguousarray(np.rot90(p, turns)) for turns in range(4) for p in pieces]
    inputs = [common.image_input(Image.fromarray(p), orientation.IMAGE) for p in turned[part]]
    how = {"units": metrics.grid((3, 224, 224), 16), "replace": "blur"}
    return Samples(path, [{name: x} for x in inputs], how)


def reviews(part: slice) -> Samples:
    """Sentences about films, by token."""
    texts, _ = movie_reviews.reviews()
    chosen = texts[4::5][::26]
    tokenizer = bt.Tokenizer(common.FETCHED / movie_reviews.TOKENIZER)
    explainer = bt.Explainer(movie_reviews.MODEL)
    rows = [dict(tokenizer.feeds(text, explainer)) for text in chosen[part]]
    return Samples(movie_reviews.MODEL, rows, {"replace": LEFT_OUT})


NETWORKS: dict[str, Callable[[slice], Samples]] = {
    "census": census,
    "digits": digits,
    "photos": photos,
    "pages": pages,
    "reviews": reviews,
}


def probabilities(path: Path, own: Array, others: dict[str, Array]) -> Callable[[Array], Array]:
    """Probabilities of rows like `own`, of the first input; ids that are left out are masked."""
    session = common.session(path)
    first, *_ = (x.name for x in session.get_inputs())

    def predict(x: Array) -> Array:
        feeds = {first: x, **{n: np.repeat(v, len(x), 0) for n, v in others.items()}}
        if others:
            there = x != LEFT_OUT
            there[:, [0, -1]] = True  # [CLS] and [SEP] are in every text
            feeds = {**feeds, first: np.where(x != LEFT_OUT, x, own)}
            feeds["attention_mask"] = feeds["attention_mask"] * there
        y = np.asarray(session.run(None, feeds)[0], np.float64)
        powers = np.exp(y - y.max(1, keepdims=True))
        made: Array = powers / powers.sum(1, keepdims=True)
        return made if np.any(y < 0) or np.any(np.abs(y.sum(1) - 1) > 1e-3) else y

    return predict


def areas(samples: Samples, modes: list[str]) -> Iterator[Array]:
    """ABPC of every sample, by mode: float64[samples]."""
    explainer = bt.Explainer(samples.path)
    for mode in modes:
        made = []
        for row in samples.rows:
            name, *others = row
            x, rest = row[name], {key: row[key] for key in others}
            r = explainer.explain(row, mode=mode).relevance[name]
            predict = probabilities(samples.path, x, rest)
            made.append(metrics.abpc(predict, x, r, steps=STEPS, **samples.how)[0])
        yield np.array(made)


def main() -> None:
    """Print a table."""
    parser = ArgumentParser()
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--mode", default="lrp")
    parser.add_argument("--odd", action="store_true", help="measure on the other samples")
    asked = parser.parse_args()
    modes = [f"{asked.mode}({e:g})" for e in STABILISERS]
    part = slice(1 if asked.odd else 0, None, 2)
    found = {}
    for name in asked.networks:
        every = np.stack(list(areas(NETWORKS[name](part), modes)))
        error = 1.96 * every.std(1, ddof=1) / np.sqrt(every.shape[1])
        found[name] = every.mean(1)
        said = (f"{m:.3f} +-{e:.3f}" for m, e in zip(found[name], error, strict=True))
        print(f"{name}, {every.shape[1]} samples: {', '.join(said)}", file=sys.stderr, flush=True)
    reached = np.mean([area / area.max() for area in found.values()], 0)
    print(f"| {asked.mode} | {' | '.join(found)} | of the best |\n|{'---|' * (len(found) + 2)}")
    for i, e in enumerate(STABILISERS):
        cells = " | ".join(f"{area[i]:.3f}" for area in found.values())
        print(f"| {e:g} | {cells} | {reached[i]:.2f} |")


if __name__ == "__main__":
    main()
