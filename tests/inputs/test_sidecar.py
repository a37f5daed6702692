"""Sidecars: strict reading, and pictures and tables encoded as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.images import ImageInput, open_image
from backtrace_onnx.inputs.sidecar import Sidecar

MODELS = Path(__file__).parents[2] / "models"
IMAGE = {"kind": "image", "height": 4, "width": 6, "color": "rgb"}
TABLE = {
    "kind": "table",
    "features": [
        {"name": "age", "mean": 40, "std": 10},
        {"name": "job", "categories": ["cook", "clerk"]},
    ],
}


def written(folder: Path, content: Any) -> Path:
    path = folder / "m.sidecar.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def loaded(folder: Path, *, x: Any = None, y: Any = None) -> Sidecar:
    content = {"inputs": {"x": x or IMAGE}} | ({"outputs": {"y": y}} if y else {})
    return Sidecar.load(written(folder, content))


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.sidecar.json")), ids=lambda p: p.stem)
def test_those_of_the_models_load(path: Path) -> None:
    sidecar = Sidecar.load(path)
    assert sidecar.inputs and sidecar.outputs


WRONG: list[tuple[Any, str]] = [
    ("{", "not valid JSON"),
    ("[]", "the file: must be an object"),
    (
        {"input": {}},
        "input: unknown key; there are: columns, groups, inputs, outputs; did you mean 'inputs'?",
    ),
    ({"colum": {}}, "there are: columns, groups, inputs, outputs; did you mean 'columns'?"),
    ({"outputs": {"y": {"label": ["a"]}}}, "outputs.y.label: unknown key; there are: "),
    ({"outputs": {"y": {"label": ["a"]}}}, "; did you mean 'labels'?"),
    ({"inputs": {"x": {"kind": "tabel"}}}, "not 'tabel'; did you mean 'table'?"),
    (
        {"inputs": {"x": {"kind": "table", "feature": []}}},
        "inputs.x.features: is missing; 'feature' is no key: is it meant?",
    ),
    ({"inputs": []}, "inputs: must be an object"),
    ({"inputs": {"x": {}}}, r"inputs\.x\.kind: is missing"),
    ({"inputs": {"x": {"kind": "sound"}}}, r"inputs\.x\.kind: must be one of image, table"),
    ({"inputs": {"x": {**IMAGE, "heigth": 3}}}, r"inputs\.x\.heigth: unknown key"),
    ({"inputs": {"x": {**IMAGE, "height": 0}}}, r"inputs\.x\.height: must be a whole number"),
    ({"inputs": {"x": {**IMAGE, "height": "4"}}}, r"inputs\.x\.height: must be a whole number"),
    ({"inputs": {"x": {**IMAGE, "height": True}}}, r"inputs\.x\.height: must be a whole number"),
    ({"inputs": {"x": {**IMAGE, "color": "cmyk"}}}, r"inputs\.x\.color: must be one of gray"),
    ({"inputs": {"x": {**IMAGE, "mean": [0.5]}}}, r"inputs\.x\.mean: must be a list of 3"),
    ({"inputs": {"x": {**IMAGE, "std": [1, 0, 1]}}}, r"inputs\.x\.std: must not be 0"),
    ({"inputs": {"x": {**IMAGE, "scale": None}}}, r"inputs\.x\.scale: must be a finite number"),
    ('{"inputs": {"x": {"kind": "table", "features": []}}}', r"features: must be a list that is"),
    (
        {"inputs": {"x": {"kind": "table", "features": [{"name": "a", "categories": [1]}]}}},
        r"inputs\.x\.features\[0\]\.categories: must be a list of texts",
    ),
    (
        {"inputs": {"x": {"kind": "table", "features": [{"name": "a"}, {"name": "a"}]}}},
        "two features have the same name",
    ),
    ({"outputs": {"y": {"task": "guess"}}}, r"outputs\.y\.task: must be one of classification"),
    ('{"outputs": {"y": {"threshold": NaN}}}', r"outputs\.y\.threshold: must be a finite"),
]


@pytest.mark.parametrize(("content", "words"), WRONG, ids=[words for _, words in WRONG])
def test_errors_name_file_and_key(content: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Sidecar.load(written(tmp_path, content))
    assert "m.sidecar.json" in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Sidecar.load(tmp_path / "none.json")
    assert Sidecar.beside(tmp_path / "none.onnx") is None


def test_names_must_be_the_models(tmp_path: Path) -> None:
    sidecar = loaded(tmp_path, y={"task": "regression"})
    sidecar.check(["x"], ["y"])
    with pytest.raises(InputError, match=r"inputs\.x: the model has no such name; it has: z"):
        sidecar.check(["z"], ["y"])
    with pytest.raises(InputError, match=r"outputs\.y: .* it has: q"):
        sidecar.check(["x"], ["q"])


def test_channels_are_scaled_shifted_and_ordered(tmp_path: Path) -> None:
    numbers = {"scale": 0.01, "mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 4.0]}
    picture = Image.new("RGB", (6, 4), (10, 100, 200))
    first = loaded(tmp_path, x={**IMAGE, **numbers}).encode("x", picture)
    assert first.shape == (1, 3, 4, 6) and first.dtype == np.float32
    np.testing.assert_allclose(first[0, :, 0, 0], [0.0, 0.4, 0.425], atol=1e-6)
    last = {**IMAGE, **numbers, "color": "bgr", "layout": "NHWC"}
    turned = loaded(tmp_path, x=last).encode("x", picture)
    assert turned.shape == (1, 4, 6, 3)
    np.testing.assert_allclose(turned[0, 0, 0], [1.9, 0.4, -0.05], atol=1e-6)


def test_a_crop_keeps_the_centre_and_a_stretch_all(tmp_path: Path) -> None:
    picture = Image.new("L", (30, 10), 0)
    picture.paste(255, (10, 0, 20, 10))
    gray = {"kind": "image", "height": 10, "width": 10, "color": "gray"}
    crop = loaded(tmp_path, x={**gray, "resize": "crop"}).encode("x", picture)
    stretch = loaded(tmp_path, x=gray).encode("x", picture)
    assert (crop == 255).all()
    assert 0.2 < (stretch > 128).mean() < 0.5


def encoded(path: Path, color: str = "rgb") -> Any:
    numbers = (0.0,) * (1 if color == "gray" else 3)
    ones = (1.0,) * len(numbers)
    entry = ImageInput(2, 4, color, "NHWC", "stretch", 4, 1.0, numbers, ones)
    return entry.encode(open_image(path))[0]


def test_exif_rotation_is_followed(tmp_path: Path) -> None:
    picture = Image.new("RGB", (2, 4), "black")
    picture.paste((255, 255, 255), (0, 0, 2, 2))  # white on top, to be turned to the right
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "p.png", exif=exif)
    seen = encoded(tmp_path / "p.png", "gray")[..., 0]
    assert (seen[:, 2:] == 255).all() and (seen[:, :2] == 0).all()


@pytest.mark.parametrize(
    ("mode", "color", "seen"),
    [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("LA", (0, 0), (255, 255, 255)),
        ("L", 7, (7, 7, 7)),
        ("1", 1, (255, 255, 255)),
        ("P", 0, (0, 0, 0)),
        ("I;16", 257 * 200, (200, 200, 200)),
    ],
)
def test_every_mode_of_pixels(mode: str, color: Any, seen: tuple[int, ...], tmp_path: Path) -> None:
    Image.new(mode, (4, 2), color).save(tmp_path / "p.png")
    assert (encoded(tmp_path / "p.png") == seen).all()


def test_damaged_and_hostile_pictures(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:3000])
    (tmp_path / "text.png").write_text("no picture")
    Image.new("1", (20000, 10000)).save(tmp_path / "bomb.png")
    for name, words in {
        "cut.png": "damaged",
        "text.png": "not a picture",
        "bomb.png": "too large",
        "none.png": "no such file",
    }.items():
        with pytest.raises(InputError, match=words):
            open_image(tmp_path / name)


def table(folder: Path, text: str) -> Any:
    (folder / "t.csv").write_text(text, "utf-8")
    return loaded(folder, x=TABLE).encode("x", folder / "t.csv")


def test_columns_are_picked_by_name(tmp_path: Path) -> None:
    rows = table(tmp_path, "\ufeffextra,job,age\n?,clerk,50\n\n?, cook ,35\n")
    np.testing.assert_allclose(rows, [[1, 0, 1], [-0.5, 1, 0]])


def test_rows_that_are_already_read(tmp_path: Path) -> None:
    sidecar = loaded(tmp_path, x=TABLE)
    np.testing.assert_allclose(sidecar.encode("x", [{"age": 40, "job": "cook"}]), [[0, 1, 0]])
    assert sidecar.names() == {"x": ("age", "job=cook", "job=clerk")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the table is empty"),
        ("age,job\n", "has no rows"),
        ("age\n4\n", "row 1 has no column 'job'; it has: age"),
        ("age,job\n4,cook\nold,cook\n", "row 2, column 'age': 'old' is not a number"),
        ("age,job\nnan,cook\n", "row 1, column 'age': 'nan' is not a finite number"),
        ("age,job\n,cook\n", "row 1, column 'age': '' is not a number"),
        ("age,job\n4,clark\n", "row 1, column 'job': 'clark' .* did you mean: clerk"),
        ("age,job\n4\n", "row 1 has 1 values, the header 2"),
        ("age,age,job\n4,4,cook\n", "names column 'age' twice"),
    ],
)
def test_errors_name_row_and_column(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        table(tmp_path, text)


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    sidecar = Sidecar.load(MODELS / "adult_mlp.sidecar.json")
    entry = sidecar.inputs["features"]
    assert not isinstance(entry, ImageInput)
    row = entry.encode([ADULT], "rows")[0]
    assert {f.name: f.decode(row[slots]) for f, slots in entry.columns()} == ADULT


ADULT = {
    "age": "38",
    "workclass": "Private",
    "education": "HS-grad",
    "education-num": "9",
    "marital-status": "Married-civ-spouse",
    "occupation": "Adm-clerical",
    "relationship": "Husband",
    "ethnicity": "Asian-Pac-Islander",
    "gender": "Male",
    "capital-gain": "0",
    "capital-loss": "0",
    "hours-per-week": "48",
}
