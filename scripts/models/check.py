"""Run every model present on its samples and print what it says.

Reads each model's sidecar, prepares the samples as it tells, runs them in onnxruntime and prints
the predicted label beside the true one, or the intersection over union with the true mask. The
model of `efficientnet_lite0.py` is checked only where that script has been run. Exits with 1
where a model file is malformed.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from common import FETCHED, MODELS, SAMPLES, image_input, predict, read_sidecar, table_input
from PIL import Image

PICTURES = {
    "mnist_cnn": (SAMPLES, "digit_?.png"),
    "orientation": (SAMPLES, "page_*.png"),
    "efficientnet_lite0": (FETCHED / "imagenet", "imagenet_*.jpg"),
    "digits_unet": (SAMPLES, "scene_?.png"),
}
TABLES = {"adult_mlp": (SAMPLES / "adult.csv", "loan")}


def samples(stem: str, spec: dict[str, Any]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield name, true label and model input of every sample; pictures are named by label."""
    if stem in PICTURES:
        folder, pattern = PICTURES[stem]
        for file in sorted(folder.glob(pattern)):
            yield file.name, file.stem.rsplit("_", 1)[1], image_input(Image.open(file), spec)
    elif stem in TABLES:
        path, target = TABLES[stem]
        with path.open(newline="", encoding="utf-8") as stream:
            for number, row in enumerate(csv.DictReader(stream), 1):
                yield f"{path.name} row {number}", row[target], table_input([row], spec)


def check_classes(path: Path, labels: list[str], spec: dict[str, Any]) -> str:
    """Print the predicted and the true label of every sample; return how many are right."""
    right = total = 0
    for name, truth, values in samples(path.stem, spec):
        expected = truth if truth in labels else labels[int(truth)]
        guess = labels[int(predict(path, values)[0].argmax())]
        right, total = right + (guess == expected), total + 1
        print(f"  {name}: {guess}" + ("" if guess == expected else f" (true: {expected})"))
    return f"{right} of {total} right"


def check_masks(path: Path, threshold: float, spec: dict[str, Any]) -> str:
    """Print the intersection over union of every sample; return the lowest."""
    scores = []
    for name, _, values in samples(path.stem, spec):
        truth = np.asarray(Image.open(SAMPLES / name.replace(".png", "_mask.png"))) > 127
        guess = predict(path, values)[0, 0] > threshold
        scores.append(float((guess & truth).sum() / (guess | truth).sum()))
        print(f"  {name}: IoU {scores[-1]:.3f}")
    return f"lowest IoU {min(scores):.3f}"


def main() -> int:
    """Check every model present."""
    broken = 0
    for path in sorted(MODELS.glob("*.onnx")) + sorted(FETCHED.glob("*.onnx")):
        model = onnx.load(path)
        versions = f"opset {model.opset_import[0].version}, IR {model.ir_version}"
        megabytes = path.stat().st_size / 1e6
        print(f"{path.name}: {megabytes:.2f} MB, {versions}, {len(model.graph.node)} nodes")
        try:
            onnx.checker.check_model(model, full_check=True)
        except onnx.checker.ValidationError as error:
            print(f"  malformed: {error}")
            broken += 1
            continue
        sidecar = read_sidecar(path)
        (spec,), (output,) = sidecar["inputs"].values(), sidecar["outputs"].values()
        if output["task"] == "segmentation":
            print(f"  {check_masks(path, output['threshold'], spec)}")
        else:
            print(f"  {check_classes(path, output['labels'], spec)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
