"""Makes the pictures of the README in `models/pictures`, with the command line as a user would.

`python scripts/pictures.py` needs scikit-image (its photograph of a cat, by Stéfan van der Walt,
is in the public domain: CC0) and `models/fetched/efficientnet_lite0.onnx`, which
`python scripts/models/efficientnet_lite0.py` fetches.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from skimage import data

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "models" / "pictures"
WIDTH = 900


def draw(name: str, *arguments: str) -> None:
    """Run `backtrace-onnx explain` and keep its picture of the relevance as `name`.png."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "backtrace_onnx", "explain", *arguments, "--out", folder]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        picture = Image.open(Path(folder, "relevance.png")).convert("RGB")
        picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
        colours = picture.quantize(255)
        small = picture.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)
        small.save(PICTURES / f"{name}.png", optimize=True)


def main() -> None:
    """All pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        cat = Path(folder, "cat.png")
        Image.fromarray(data.chelsea()).save(cat)
        model = "models/fetched/efficientnet_lite0.onnx"
        draw("cat", model, str(cat), "--rather-than", "Labrador retriever", "--mode", "auto")
    page = "models/samples/page_90.png"
    draw("page", "models/orientation.onnx", page, "--mode", "contrastive")
    draw("digit", "models/mnist_cnn.onnx", "models/samples/digit_2.png", "--mode", "cnn")
    with tempfile.TemporaryDirectory() as folder:
        person = Path(folder, "person.csv")
        rows = (ROOT / "models/samples/adult.csv").read_text().splitlines()
        person.write_text("\n".join([rows[0], rows[5]]) + "\n")
        draw("person", "models/adult_mlp.onnx", str(person), "--mode", "lrp")
    draw("scene", "models/digits_unet.onnx", "models/samples/scene_1.png", "--mode", "default")


if __name__ == "__main__":
    main()
