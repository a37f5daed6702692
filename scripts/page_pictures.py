"""Makes the pictures of the pages in docs/pages.md and docs/audit.md, in Chromium without a screen.

    python scripts/page_pictures.py

needs Chromium, playwright (extra `dev`) and the extras `html` and `audit`. The audited models are a
linear classifier of made-up rows, and the same where it leans on a column that it must not use.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
from onnx import parser
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "models" / "pictures"
COLUMNS = ("income", "debt", "years", "postcode")
SETTINGS = """label = "answer"
sensitive = ["postcode"]
top_features.forbidden = ["postcode"]

[model_card]
name = "Credit, second edition"
"""
SIZE, SCALE, WIDE = (1080, 1000), 1, 900


def command(*words: str | Path, folder: Path = ROOT) -> int:
    """Run `backtrace-onnx` in a folder, as a user would; its exit code."""
    line = [sys.executable, "-m", "backtrace_onnx", *map(str, words)]
    return subprocess.run(line, cwd=folder, stdout=subprocess.DEVNULL).returncode


def explained(folder: Path) -> None:
    """A digit explained for every answer, and a row of the census."""
    digit = ("models/mnist_cnn.onnx", "models/samples/digit_2.png", "--targets", "all")
    assert command("explain", *digit, "--html", folder / "page_digit.html") == 0
    rows = (ROOT / "models/samples/adult.csv").read_text().splitlines()
    person = [line.rpartition(",")[0] for line in (rows[0], rows[5])]  # without the answer
    (folder / "person.csv").write_text("\n".join([*person, ""]))
    how = ("models/adult_mlp.onnx", folder / "person.csv", "--mode", "lrp")
    assert command("explain", *how, "--html", folder / "page_person.html") == 0


def audited(folder: Path) -> None:
    """A model that is stopped: it learned from a column that it must not use."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 4)).round(3)
    answers = np.where(x @ np.array([1.0, -0.8, 0.3, 0.0]) > 0, "granted", "refused")
    lines = [",".join((*map(str, row), y)) for row, y in zip(x.tolist(), answers, strict=True)]
    (folder / "rows.csv").write_text("\n".join([",".join((*COLUMNS, "answer")), *lines, ""]))
    (folder / "audit.toml").write_text(SETTINGS)
    for name, weights in (("old", (1.0, -0.8, 0.3, 0.01)), ("new", (0.9, -0.8, 0.1, 0.5))):
        write_model(folder / f"{name}.onnx", weights)
    how = ("--data", "rows.csv", "--config", "audit.toml", "--baseline-model", "old.onnx")
    assert command("audit", "new.onnx", *how, "--html", "page_audit.html", folder=folder) == 1


def write_model(path: Path, weights: tuple[float, ...]) -> None:
    """A linear classifier of the columns, and its sidecar."""
    listed = ", ".join(f"{-w}, {w}" for w in weights)
    model = parser.parse_model(
        f"""<ir_version: 10, opset_import: ["": 18]>
        g (float[n, 4] x) => (float[n, 2] y) <float[4, 2] w = {{{listed}}}>
        {{ y = MatMul(x, w) }}"""
    )
    onnx.save(model, path)
    features = ", ".join(f'{{"name": "{name}"}}' for name in COLUMNS)
    path.with_suffix(".sidecar.json").write_text(
        f'{{"inputs": {{"x": {{"kind": "table", "features": [{features}]}}}}, '
        '"outputs": {"y": {"labels": ["refused", "granted"], "task": "classification"}}}'
    )


def shoot(files: Iterable[Path]) -> None:
    """The first screen of every page, as a small picture of its name."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for file in files:
            size = {"width": SIZE[0], "height": SIZE[1]}
            page = browser.new_page(viewport=size, device_scale_factor=SCALE)
            page.goto(file.as_uri())
            sample = page.query_selector(".sample")
            box = sample.bounding_box() if sample else None
            end = min(SIZE[1], box["y"] + box["height"] + 10) if box else SIZE[1]
            clip = {"x": 0, "y": 0, "width": SIZE[0], "height": end}
            picture = Image.open(BytesIO(page.screenshot(clip=clip))).convert("RGB")
            picture.thumbnail((WIDE, WIDE), Image.Resampling.LANCZOS)
            picture.quantize(200).save(PICTURES / f"{file.stem}.png", optimize=True)
        browser.close()


def main() -> None:
    """All pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        explained(folder)
        audited(folder)
        shoot(sorted(folder.glob("page_*.html")))


if __name__ == "__main__":
    main()
