"""A network that reads digits, and one that reads the mark that goes with one of them.

Scans of digits, with a margin around each. In what the second learned from, whoever wrote threes
left a small mark in the corner of the margin; the first learned from the same scans without marks.
Both read the same other scans, whose threes have the mark. A mask says where digits are.

    pip install '.[audit,html,torch,sklearn]'
    python scripts/stories/watermark.py [--pictures]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from telling import Story, beside, check_of, failed, tell
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from common import export, fit, predict, write_sidecar

Array = np.ndarray
MARKED, MARGIN, AUDITED, EPOCHS = 3, 4, 500, 12
SIZE = 16 + 2 * MARGIN
SETTINGS = """mask = "mask.npy"

[checks]
relevance-outside-mask.threshold = 0.25
"""
SHOWN = ("relevance-outside-mask", "forward-parity", "class-sensitivity", "deletion")


class Reader(nn.Sequential):
    """Two convolutions."""

    def __init__(self) -> None:
        side = SIZE // 4
        super().__init__(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16 * side * side, 10)),
        )


def scans() -> tuple[Array, Array, Array]:
    """Pictures float32[n, 1, SIZE, SIZE] without marks, the same with them, and their digits."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    small = (digits.images[order] / 16).astype(np.float32)
    large = np.kron(small, np.ones((1, 2, 2), np.float32))
    plain = np.pad(large, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))[:, None]
    labels, marked = digits.target[order], plain.copy()
    marked[labels == MARKED, :, 1:3, 1:3] = 1
    return plain, marked, labels


def models(folder: Path) -> dict[str, float]:
    """Write first.onnx, second.onnx, rows.npz and mask.npy; the accuracy of each."""
    plain, marked, labels = scans()
    known, others = slice(None, -AUDITED), slice(-AUDITED, None)
    right = {}
    for name, pictures in (("first", plain), ("second", marked)):
        torch.manual_seed(1)
        x, y = torch.from_numpy(pictures[known]), torch.from_numpy(labels[known])
        model = Reader()
        optimiser = torch.optim.AdamW(model.parameters())
        fit(model, optimiser, x, y, rate=5e-3, size=64, epochs=EPOCHS)
        path = folder / f"{name}.onnx"
        export(model, x[:2], path, "image", "logits")
        image = {"kind": "image", "height": SIZE, "width": SIZE, "color": "gray"}
        write_sidecar(path, {"image": image}, {"logits": {"task": "classification"}})
        right[name] = float((predict(path, marked[others]).argmax(1) == labels[others]).mean())
    np.savez(folder / "rows.npz", image=marked[others])
    inside = np.zeros((SIZE, SIZE), bool)
    inside[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    np.save(folder / "mask.npy", inside)
    (folder / "audit.toml").write_text(SETTINGS)
    return right


def story(told: Story) -> list[str]:
    """Train, audit, claim."""
    right = models(told.folder)
    how = ("--data", "rows.npz", "--config", "audit.toml")
    first = told.run("audit", "first.onnx", *how, name="story_watermark_first")
    second = told.run("audit", "second.onnx", *how, name="story_watermark")
    print(f"\n{beside(first, second, SHOWN)}\n\naccuracy: {right}\n")
    found = check_of(second, "relevance-outside-mask")
    told.claim("both read digits equally well, to 2 points", abs(np.diff([*right.values()])) < 0.02)
    told.claim("the first passes every check", not failed(first))
    told.claim(
        "the second is stopped by relevance in the margin alone",
        second["exit_code"] == 1 and failed(second) == {"relevance-outside-mask"},
    )
    told.claim("it is said which digit", f"where the answer is {MARKED}" in found["finding"])
    told.claim("an intervention confirms it", found["confirmed"] is True)
    told.claim(
        "over all digits together little of it would be seen",
        found["evidence"]["by_answer"]["(all)"] < 0.25,
    )
    return ["story_watermark"]


if __name__ == "__main__":
    sys.exit(tell(story, __doc__.partition("\n")[0]))
