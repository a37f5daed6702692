"""Makes the pictures of docs/methods.md: one digit, page, photo, row and sentence in every mode.

Digit, page and row need the models of `models/` only; photo and sentence those that
`scripts/models/efficientnet_lite0.py` and `scripts/examples/movie_reviews.py` make in
`models/fetched`, and scikit-image's picture of a cat. What is named is drawn, else all:

    python scripts/method_pictures.py [digit] [page] [photo] [row] [sentence]
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image
from scipy.ndimage import gaussian_filter
from tokenizers import Tokenizer as Coder

import backtrace_onnx as bt
from backtrace_onnx.inputs.files import InputReader
from backtrace_onnx.inputs.sidecar import Sidecar

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "models" / "pictures"
MODES = (
    *("default", "contrastive", "epsilon(absolute=1e-6)", "lrp", "cnn"),
    *("attnlrp", "cp-lrp", "vit", "deeplift", "integrated_gradients"),
    *("expected_gradients", "gradient", "gradient_x_input", "smoothgrad", "gradcam"),
)
BACKED = ("expected_gradients",)
COMPARED = ("deeplift", "integrated_gradients")
SENTENCE = "The plot is a tedious, unfunny mess, but the two leads are wonderful."
PERSON = 4
NOTHING = "needs a convolution"
Drawing = Callable[[Any, Any], None]


def explained(model: str, sample: str, row: int = 0) -> dict[str, Any]:
    """Relevance of a sample in every mode."""
    path = ROOT / "models" / f"{model}.onnx"
    explainer = bt.Explainer(path)
    reader = InputReader(explainer.graph, Sidecar.beside(path))
    inputs = reader.read([str(ROOT / "models" / "samples" / sample)]).feeds
    feeds = {name: x[row : row + 1] for name, x in inputs.items()}
    (name,) = feeds
    if inputs[name].ndim == 4:  # a picture is compared with itself, blurred
        return in_every_mode(explainer, feeds, name, "blur", blurs(feeds[name]))
    return in_every_mode(explainer, feeds, name, None, inputs)


def blurs(x: Any) -> Any:
    """A picture, blurred a little and much: a background for one picture."""
    sides = [0, 0, x.shape[2] / 16, x.shape[3] / 16]
    return np.concatenate([gaussian_filter(x, [n * part for n in sides]) for part in (1, 2, 4)])


def in_every_mode(
    explainer: bt.Explainer, feeds: Any, name: str, baseline: Any, background: Any
) -> dict[str, Any]:
    """By mode; of contrastive, for minus against; None where there is no convolution."""
    found: dict[str, Any] = {}
    for mode in MODES:
        compared = {"baseline": baseline} if mode in COMPARED else {}
        compared |= {"background": background} if mode in BACKED else {}
        try:
            made = explainer.explain(feeds, mode=mode, **compared)
        except bt.RequestError as error:
            if "does not convolve" not in str(error):
                raise
            found[mode] = None
            continue
        found[mode] = made.relevance[name][0]
        if mode == "contrastive":
            found[mode] = made.positive[name][0] - made.negative[name][0]
    return found


def sheet(
    name: str, found: Mapping[str, Any], draw: Drawing, size: tuple[float, float] = (12, 7.6)
) -> None:
    """All modes side by side, as `name`.png."""
    rows: Any = {"sharey": "row"} if draw is bars else {}
    figure, axes = plt.subplots(3, 5, figsize=size, constrained_layout=True, **rows)
    for axis, (mode, r) in zip(axes.flat, found.items(), strict=True):
        axis.set_title(mode, fontsize=10)
        if r is None:
            axis.text(0.5, 0.5, NOTHING, transform=axis.transAxes, ha="center", color="0.5")
            axis.set_xticks([])
        else:
            draw(axis, r)
    save(figure, name)


def heat(axis: Any, r: Any) -> None:
    """Sums over the colours; red speaks for the answer, blue against it."""
    summed = r.sum(0) if r.ndim == 3 else r
    most = float(np.percentile(np.abs(summed), 99.5)) or 1.0
    axis.imshow(summed, cmap="RdBu_r", vmin=-most, vmax=most)
    axis.set_axis_off()


def bars(axis: Any, r: Any) -> None:
    """One bar for each column of the row; of categories, for the one that it is."""
    names, places = columns()
    values = r.ravel()[places]
    axis.barh(range(values.size), values, color=np.where(values > 0, "C3", "C0"))
    axis.axvline(0, color="0.6", lw=0.6)
    axis.set_yticks(range(values.size), names, fontsize=8)
    axis.set_ylim(values.size - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=7)


def columns() -> tuple[list[str], list[int]]:
    """Names of the census' columns with the values of the row, and where its numbers lie."""
    sidecar = json.loads((ROOT / "models" / "adult_mlp.sidecar.json").read_text("utf-8"))
    with (ROOT / "models" / "samples" / "adult.csv").open(encoding="utf-8") as file:
        row = [*csv.DictReader(file)][PERSON]
    names, places, place = [], [], 0
    for feature in sidecar["inputs"]["features"]["features"]:
        value, known = row[feature["name"]], feature.get("categories")
        names.append(f"{feature['name']}: {value}")
        places.append(place + (known.index(value) if known else 0))
        place += len(known) if known else 1
    return names, places


def photo() -> dict[str, Any]:
    """The cat of README.md in every mode."""
    from skimage import data

    with TemporaryDirectory() as folder:
        file = Path(folder) / "cat.png"
        Image.fromarray(data.chelsea()).save(file)
        return explained("fetched/efficientnet_lite0", str(file))


def sentence() -> tuple[list[str], dict[str, Any]]:
    """The tokens of a sentence about a film, and their relevance in every mode."""
    fetched = ROOT / "models" / "fetched"
    explainer = bt.Explainer(fetched / "movie_reviews.onnx")
    tokenizer = bt.Tokenizer(fetched / "movie_reviews.tokenizer.json")
    feeds = tokenizer.feeds(SENTENCE, explainer)
    coded = Coder.from_file(str(fetched / "movie_reviews.tokenizer.json"))
    tokens = [coded.id_to_token(int(i)) for i in feeds["input_ids"][0]]
    ids = np.array(feeds["input_ids"])
    ids[:, 1:-1] = coded.token_to_id("[PAD]")
    pad = {"input_ids": ids}
    return tokens, in_every_mode(explainer, dict(feeds), "input_ids", pad, {**feeds, **pad})


def lines(name: str, tokens: list[str], found: Mapping[str, Any]) -> None:
    """A line for each mode, tokens on their colours, as `name`.png; without [CLS] and [SEP]."""
    figure, axis = plt.subplots(figsize=(12, 0.34 * len(found)), constrained_layout=True)
    axis.set(xlim=(0, 128), ylim=(len(found), 0))
    axis.set_axis_off()
    for row, (mode, r) in enumerate(found.items()):
        axis.text(0, row + 0.5, mode, fontsize=10, va="center")
        if r is None:
            axis.text(26, row + 0.5, NOTHING, fontsize=9, va="center", color="0.5")
            continue
        most, place = float(np.abs(r[1:-1]).max()) or 1.0, 26.0
        for token, value in zip(tokens[1:-1], r[1:-1], strict=True):
            wide = 1.35 * len(token.removeprefix("##")) + 0.9
            shade = plt.get_cmap("RdBu_r")(0.5 + 0.4 * value / most)
            axis.add_patch(plt.Rectangle((place, row + 0.1), wide, 0.8, color=shade, lw=0))
            word = token.removeprefix("##")
            dark = "white" if abs(value) > 0.7 * most else "black"
            middle = place + wide / 2
            axis.text(middle, row + 0.5, word, fontsize=10, va="center", ha="center", color=dark)
            place += wide + 0.2
    save(figure, name)


def save(figure: Any, name: str) -> None:
    """As a small file."""
    path = PICTURES / f"{name}.png"
    figure.savefig(path, dpi=80)
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


DRAWN: dict[str, Callable[[], None]] = {
    "digit": lambda: sheet("methods_digit", explained("mnist_cnn", "digit_2.png"), heat),
    "page": lambda: sheet("methods_page", explained("orientation", "page_90.png"), heat),
    "photo": lambda: sheet("methods_photo", photo(), heat),
    "row": lambda: sheet(
        "methods_person", explained("adult_mlp", "adult.csv", PERSON), bars, (14, 7.6)
    ),
    "sentence": lambda: lines("methods_sentence", *sentence()),
}


def main() -> None:
    """Those that are named, or all."""
    for name in sys.argv[1:] or DRAWN:
        DRAWN[name]()


if __name__ == "__main__":
    main()
