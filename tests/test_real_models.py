"""The trained models that come with the repository, on their samples."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from backtrace_onnx import Explainer, Explanation
from tests.graphs import check_closed, check_samples

Array = npt.NDArray[Any]
MODELS = Path(__file__).parents[1] / "models"
SAMPLES = MODELS / "samples"
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
NAMES = ("mnist_cnn", "adult_mlp", "digits_unet", "orientation")
TASKS = {"digits_unet": "segmentation"}


@cache
def explainer(name: str) -> Explainer:
    return Explainer(MODELS / f"{name}.onnx")


@cache
def sidecar(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MODELS / f"{name}.sidecar.json").read_text())
    return found


def _image(file: str, spec: dict[str, Any]) -> Array:
    image = Image.open(SAMPLES / file).convert("L" if spec["color"] == "gray" else "RGB")
    if spec["resize"] == "crop":
        scale = spec["resize_to"] / min(image.size)
        image = image.resize([round(n * scale) for n in image.size], Image.Resampling.BICUBIC)
        left, top = (
            (n - m) // 2 for n, m in zip(image.size, (spec["width"], spec["height"]), strict=True)
        )
        image = image.crop((left, top, left + spec["width"], top + spec["height"]))
    values = np.atleast_3d(np.asarray(image, np.float32)) * spec["scale"]
    values = values[..., ::-1] if spec["color"] == "bgr" else values
    return ((values - spec["mean"]) / spec["std"]).transpose(2, 0, 1).astype(np.float32)


def _row(row: dict[str, str], features: list[dict[str, Any]]) -> list[float]:
    slots: list[float] = []
    for feature in features:
        value = row[feature["name"]].strip()
        if "categories" in feature:
            slots += [float(value == category) for category in feature["categories"]]
        else:
            slots.append((float(value) - feature["mean"]) / feature["std"])
    return slots


@cache
def samples(name: str) -> Array:
    (spec,) = sidecar(name)["inputs"].values()
    if spec["kind"] == "table":
        with (SAMPLES / "adult.csv").open() as file:
            return np.array([_row(r, spec["features"]) for r in csv.DictReader(file)], np.float32)
    files = {
        "mnist_cnn": ["digit_2.png", "digit_5.png", "digit_8.png"],
        "digits_unet": ["scene_1.png", "scene_2.png"],
        "orientation": ["page_90.png"],
    }[name]
    return np.stack([_image(file, spec) for file in files])


@cache
def explained(name: str, mode: str) -> Explanation:
    options = {"task": TASKS[name]} if name in TASKS else {}
    return explainer(name).explain(samples(name), mode=mode, **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_the_books_close(name: str, mode: str) -> None:
    found = explained(name, mode)
    check_closed(found)
    for r in (*found.positive.values(), *found.negative.values()):
        assert np.isfinite(r).all()
    assert all(np.abs(r).max() > 0 for r in found.relevance.values())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["mnist_cnn", "adult_mlp", "digits_unet"])
def test_a_batch_is_its_samples(name: str, mode: str) -> None:
    options = {"task": TASKS[name]} if name in TASKS else {}
    check_samples((MODELS / f"{name}.onnx").read_bytes(), samples(name), 1e-5, mode=mode, **options)


@pytest.mark.parametrize("mode", ["contrastive"])
@pytest.mark.parametrize("name", ["mnist_cnn", "adult_mlp", "digits_unet"])
def test_two_runs_are_equal_to_the_bit(name: str, mode: str) -> None:
    options = {"task": TASKS[name]} if name in TASKS else {}
    again = Explainer(MODELS / f"{name}.onnx").explain(samples(name), mode=mode, **options)
    for tensor, r in explained(name, mode).relevance.items():
        assert np.array_equal(r, again.relevance[tensor])


def test_digits_are_told_by_their_strokes() -> None:
    found = explained("mnist_cnn", "default")
    assert found.target is not None
    assert found.target.tolist() == [2, 5, 8]
    for x, r in zip(samples("mnist_cnn"), found.relevance["image"], strict=True):
        ink = x > 0.5
        assert np.abs(r[ink]).sum() / np.abs(r).sum() > 2 * ink.mean()


def test_incomes_are_told_right_and_by_what_is_known_to_matter() -> None:
    found = explained("adult_mlp", "default")
    assert found.target is not None
    assert found.target.tolist() == [0, 0, 0, 0, 1]
    (spec,) = sidecar("adult_mlp")["inputs"].values()
    slots = np.concatenate([[f["name"]] * len(f.get("categories", [0])) for f in spec["features"]])
    by_feature = {n: np.abs(found.relevance["features"][4, slots == n]).sum() for n in set(slots)}
    best = sorted(by_feature, key=lambda n: -by_feature[n])[:6]
    assert {"marital-status", "relationship", "education-num", "capital-gain"} & set(best)
    absent = samples("adult_mlp") == 0
    assert not found.relevance["features"][absent].any()


def test_masks_are_told_by_their_digits() -> None:
    found = explained("digits_unet", "default")
    for k in range(2):
        truth = np.asarray(Image.open(SAMPLES / f"scene_{k + 1}_mask.png").convert("L")) > 127
        mask = found.outputs["mask"][k, 0] > 0.5
        assert (mask & truth).sum() / (mask | truth).sum() > 0.8
        near = np.abs(found.relevance["image"][k]).sum(0)
        ys, xs = np.nonzero(truth)
        box = np.zeros_like(truth)
        box[max(ys.min() - 4, 0) : ys.max() + 5, max(xs.min() - 4, 0) : xs.max() + 5] = True
        assert near[box].sum() / near.sum() > 1.2 * box.mean()


def test_a_turned_page_is_told() -> None:
    found = explained("orientation", "default")
    (spec,) = sidecar("orientation")["outputs"].values()
    assert found.target is not None
    assert spec["labels"][found.target[0]] == "90"


@pytest.mark.parametrize("name", ["mnist_cnn", "adult_mlp", "digits_unet"])
def test_both_engines_agree(name: str) -> None:
    options = {"task": TASKS[name]} if name in TASKS else {}
    compiled = Explainer(MODELS / f"{name}.onnx", engine="onnxruntime")
    found = compiled.explain(samples(name), **options).relevance
    for tensor, wanted in explained(name, "default").relevance.items():
        assert np.abs(found[tensor] - wanted).max() <= 1e-5 * np.abs(wanted).max()
