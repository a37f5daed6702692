"""Train a small U-Net to find digits on photographs; export it as `models/digits_unet.onnx`.

MNIST digits, coloured, turned and blended, are pasted on crops of photographs which come with
scikit-image and are in the public domain (CC0, or released by NASA and SpaceX); the pasted strokes
are the true mask. The output is the sigmoid of every pixel. The reported intersection over union
is measured on the exported file with digits and photographs that were never trained on; two
of those scenes and their masks become the samples.
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
    load_digits,
    normalise,
    predict,
    write_sidecar,
)
from PIL import Image
from skimage import data
from torch import nn
from torch.nn import functional as F

SIZE = 64
IMAGE = {
    "kind": "image",
    "height": SIZE,
    "width": SIZE,
    "color": "rgb",
    "layout": "NCHW",
    "resize": "stretch",
    "scale": 1 / 255,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
}
TRAINING_PHOTOS = (
    "astronaut",
    "brick",
    "coffee",
    "grass",
    "gravel",
    "hubble_deep_field",
    "retina",
    "rocket",
)
HELD_OUT_PHOTOS = ("chelsea", "camera")
THRESHOLD = 0.5
STEPS, BATCH = 1400, 32
TEST_SCENES = 500


class Block(nn.Module):
    """Two 3x3 convolutions with batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Apply both convolutions."""
        hidden = self.relu1(self.norm1(self.conv1(values)))
        result: torch.Tensor = self.relu2(self.norm2(self.conv2(hidden)))
        return result


class UNet(nn.Module):
    """Two steps down by max pooling, two up by transposed convolution, with skips."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.down1 = Block(3, width)
        self.pool1 = nn.MaxPool2d(2)
        self.down2 = Block(width, 2 * width)
        self.pool2 = nn.MaxPool2d(2)
        self.bottom = Block(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.merge2 = Block(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.merge1 = Block(2 * width, width)
        self.head = nn.Conv2d(width, 1, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return for every pixel how surely it belongs to a digit."""
        high = self.down1(image)
        middle = self.down2(self.pool1(high))
        hidden = self.bottom(self.pool2(middle))
        hidden = self.merge2(torch.cat([self.up2(hidden), middle], 1))
        hidden = self.merge1(torch.cat([self.up1(hidden), high], 1))
        mask: torch.Tensor = self.sigmoid(self.head(hidden))
        return mask


class Scenes:
    """Draws scenes from photographs and digits."""

    def __init__(self, photos: tuple[str, ...], digits: np.ndarray, seed: int) -> None:
        self.photos = [Image.fromarray(getattr(data, name)()).convert("RGB") for name in photos]
        self.digits = digits
        self.rng = np.random.default_rng(seed)

    def background(self, jitter: bool) -> np.ndarray:
        """Cut a square out of a photograph; with `jitter`, mirror it and change its colours."""
        photo = self.photos[self.rng.integers(len(self.photos))]
        side = int(self.rng.integers(SIZE, 4 * SIZE))
        left = int(self.rng.integers(photo.width - side + 1))
        top = int(self.rng.integers(photo.height - side + 1))
        box = (left, top, left + side, top + side)
        pixels = np.asarray(photo.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box), float)
        if jitter:
            pixels = pixels[:, :: self.rng.choice((-1, 1)), self.rng.permutation(3)]
            pixels = pixels * self.rng.uniform(0.6, 1.3, 3) + self.rng.uniform(-25, 25)
        return np.asarray(np.clip(pixels, 0, 255))

    def strokes(self) -> np.ndarray:
        """Place one digit, scaled and turned, on an empty square; values from 0 to 1."""
        digit = Image.fromarray(self.digits[self.rng.integers(len(self.digits))])
        side = int(self.rng.integers(26, 46))
        digit = digit.resize((side, side), Image.Resampling.BICUBIC)
        digit = digit.rotate(self.rng.uniform(-20, 20), Image.Resampling.BICUBIC)
        square = Image.new("L", (SIZE, SIZE))
        square.paste(digit, tuple(self.rng.integers(-4, SIZE - side + 5, 2).tolist()))
        return np.asarray(square, float) / 255

    def draw(self, count: int, jitter: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return scenes as bytes [count,H,W,3] and their masks [count,1,H,W] of 0 and 1."""
        images = np.empty((count, SIZE, SIZE, 3), np.uint8)
        masks = np.zeros((count, 1, SIZE, SIZE), np.float32)
        for index in range(count):
            pixels = self.background(jitter)
            for _ in range(self.rng.integers(1, 3)):
                alpha = self.strokes()
                here = pixels[alpha > 0.5].mean(0)
                color = self.rng.uniform(0, 255, 3)
                while np.linalg.norm(color - here) < 90:
                    color = self.rng.uniform(0, 255, 3)
                weight = (alpha * self.rng.uniform(0.7, 1.0))[..., None]
                pixels = pixels * (1 - weight) + color * weight
                masks[index, 0][alpha > 0.5] = 1
            images[index] = np.rint(pixels)
        return images, masks


def train(scenes: Scenes) -> UNet:
    """Fit the network on scenes drawn anew for every step."""
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=STEPS)
    recent = 0.0
    for step in range(1, STEPS + 1):
        images, masks = scenes.draw(BATCH, jitter=True)
        truth = torch.from_numpy(masks)
        guess = model(torch.from_numpy(normalise(images, IMAGE)))
        dice = 1 - 2 * (guess * truth).sum() / (guess + truth).sum()
        loss = F.binary_cross_entropy(guess, truth) + 0.3 * dice
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent += loss.item()
        if step % 100 == 0:
            print(f"step {step}: loss {recent / 100:.4f}", flush=True)
            recent = 0.0
    return model


def main() -> None:
    """Train, export, measure and write the samples."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    digits, _ = load_digits()
    model = train(Scenes(TRAINING_PHOTOS, digits[:-HELD_OUT_DIGITS], seed=1))

    path = MODELS / "digits_unet.onnx"
    export(model, torch.zeros(2, 3, SIZE, SIZE), path, "image", "mask")
    outputs = {"mask": {"task": "segmentation", "threshold": THRESHOLD}}
    write_sidecar(path, {"image": IMAGE}, outputs)

    for name in HELD_OUT_PHOTOS:
        test = Scenes((name,), digits[-HELD_OUT_DIGITS:], seed=2)
        images, masks = test.draw(TEST_SCENES)
        guess, truth = predict(path, normalise(images, IMAGE)) > THRESHOLD, masks > 0.5
        both = np.sum(guess & truth, axis=(1, 2, 3))
        either = np.sum(guess | truth, axis=(1, 2, 3))
        scores, pixels = both / either, both.sum() / either.sum()
        print(f"{name}, {TEST_SCENES} scenes: mean IoU {scores.mean():.4f}", end=", ")
        print(f"median {np.median(scores):.4f}, IoU of all pixels {pixels:.4f}")
        if name == HELD_OUT_PHOTOS[0]:
            SAMPLES.mkdir(parents=True, exist_ok=True)
            for index in range(2):
                stem = f"scene_{index + 1}"
                Image.fromarray(images[index]).save(SAMPLES / f"{stem}.png")
                mask = (masks[index, 0] * 255).astype(np.uint8)
                Image.fromarray(mask).save(SAMPLES / f"{stem}_mask.png")


if __name__ == "__main__":
    main()
