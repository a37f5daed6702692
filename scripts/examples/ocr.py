"""Where a text recogniser sees each letter, and why a detector draws its best box.

`python scripts/examples/ocr.py` fetches PP-OCRv4's recogniser and detector (PaddleOCR, Apache-2.0,
out of the wheel rapidocr-onnxruntime 1.4.4) into models/fetched and draws
models/pictures/ocr_word.png and ocr_box.png.
"""

from __future__ import annotations

import shutil

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from fetching import FETCHED, unpacked
from overlays import rows
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

import backtrace_onnx as bt

RECOGNISER, DETECTOR = FETCHED / "ocr_recogniser.onnx", FETCHED / "ocr_detector.onnx"
FILES = {"ch_PP-OCRv4_rec_infer.onnx": RECOGNISER, "ch_PP-OCRv4_det_infer.onnx": DETECTOR}
WORD, NOTICE = "traces", "EXIT  only"
THRESHOLD = 0.3
Array = npt.NDArray[np.float32]


def fetch() -> None:
    """Take both models out of the wheel."""
    FETCHED.mkdir(parents=True, exist_ok=True)
    with unpacked("rapidocr-onnxruntime==1.4.4") as root:
        for source, target in FILES.items():
            shutil.copyfile(root / "rapidocr_onnxruntime" / "models" / source, target)


def printed(text: str, size: tuple[int, int], height: int) -> Array:
    """Text in the middle of a white page [H, W], 0..1."""
    page = Image.new("L", size, 255)
    font = ImageFont.load_default(height)
    ImageDraw.Draw(page).text((size[0] / 2, size[1] / 2), text, 0, font, anchor="mm")
    return np.asarray(page, np.float32) / 255


def laid_out(page: Array, mean: float, deviation: float) -> Array:
    """The page as the models take it, float32[1, 3, H, W]."""
    return np.repeat(((page - mean) / deviation)[None, None], 3, axis=1).astype(np.float32)


def read_word() -> None:
    """Every letter of a word, by the relevance of its own place in the sequence."""
    alphabet = ort.InferenceSession(RECOGNISER).get_modelmeta().custom_metadata_map["character"]
    letters = ["", *alphabet.splitlines(), " "]
    page = printed(WORD, (224, 48), 36)
    x = laid_out(page, 0.5, 0.5)
    explainer = bt.Explainer(RECOGNISER)
    (probabilities,) = explainer.explain(x).outputs.values()
    best = probabilities[0].argmax(1)
    places = [t for t, k in enumerate(best) if k and (t == 0 or best[t - 1] != k)]
    text = "".join(letters[best[t]] for t in places)
    print(f"read: {text!r}")
    parts = []
    for place in places:
        found = explainer.explain(
            x, mode="contrastive", task="generation", target=(place, int(best[place]))
        )
        relevance = found.relevance["x"][0].sum(0)
        parts.append((letters[best[place]], relevance))
        column = int(relevance.sum(0).argmax())
        total = found.ledger.total()
        lost = total.unassigned.sum() / total.start.sum()
        print(f"  {letters[best[place]]!r}: most at column {column}, {lost:.0%} unassigned")
    rows("ocr_word", page, parts, f"Which pixels made each letter of {text!r}?")


def find_box() -> None:
    """The pixels that made the most certain region of the detector's map."""
    page = printed(NOTICE, (384, 128), 44)
    x = laid_out(page, 0.45, 0.225)
    explainer = bt.Explainer(DETECTOR)
    (probability,) = explainer.explain(x).outputs.values()
    regions, count = ndimage.label(probability[0, 0] > THRESHOLD)
    best = 1 + int(np.argmax(ndimage.mean(probability[0, 0], regions, range(1, count + 1))))
    box = (regions == best).astype(np.float32)[None, None] * probability
    found = explainer.explain(x, mode="contrastive", start=(box, np.zeros_like(box)))
    relevance = found.relevance["x"][0].sum(0)
    inside = np.abs(relevance[regions == best]).sum() / np.abs(relevance).sum()
    lines, columns = ndimage.find_objects(regions)[best - 1]
    print(
        f"{count} region(s); the best: rows {lines.start} to {lines.stop}, columns {columns.start} "
        f"to {columns.stop}; {inside:.0%} of its relevance lies inside"
    )
    parts = [("box", box[0, 0]), ("why", relevance)]
    rows("ocr_box", page, parts, "Which pixels made the detector's best box?")


if __name__ == "__main__":
    if not (RECOGNISER.exists() and DETECTOR.exists()):
        fetch()
    read_word()
    find_box()
