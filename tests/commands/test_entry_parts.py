"""Boxes and letters on the command line: which are explained, how they are called and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import backtrace_onnx as bt
from backtrace_onnx.cli import main
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.targets.boxes import Boxes, Found, best, shared
from backtrace_onnx.targets.ctc_letters import read_letters, spelled
from tests.detectors import PICTURES, SIZE, detector
from tests.graphs import FLOAT, model, node

NAMES = ["cat", "dog", "bird"]


def explained(capsys: Any, *arguments: Any) -> Any:
    assert main(["explain", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def written(folder: Path, layout: str = "yolo8", **output: Any) -> tuple[Path, Path]:
    """A detector with its sidecar, and a picture."""
    onnx.save(detector(layout), folder / "d.onnx")
    image = {"kind": "image", "height": SIZE, "width": SIZE, "color": "rgb", "scale": 1 / 64}
    meaning = {"task": "detection", "labels": NAMES, **output}
    name = "scores" if layout == "apart" else "y"
    sidecar = {"inputs": {"x": image | {"resize": "letterbox"}}, "outputs": {name: meaning}}
    (folder / "d.sidecar.json").write_text(json.dumps(sidecar))
    pixels = np.random.default_rng(2).integers(0, 255, (20, 40, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "p.png")
    return folder / "d.onnx", folder / "p.png"


def test_the_best_box_is_explained_by_its_class(tmp_path: Path, capsys: Any) -> None:
    model_file, picture = written(tmp_path)
    found = explained(capsys, model_file, picture)
    assert found["task"] == "detection"
    (sample,) = found["samples"]
    entry, label = sample["target"]["index"]
    assert sample["target"]["label"] == f"{NAMES[label]}, box {entry}"
    assert sample["target"] == sample["prediction"]
    x = Sidecar.load(tmp_path / "d.sidecar.json").encode("x", picture)
    y = bt.explain(model_file, x).outputs["y"][0, 4:]
    assert (label, entry) == np.unravel_index(y.argmax(), y.shape)


@pytest.mark.parametrize("known", [True, False])
def test_classes_of_boxes_are_called_as_the_file_does(
    known: bool, tmp_path: Path, capsys: Any
) -> None:
    """As Ultralytics writes it; where there are not as many, nobody is called so."""
    proto = detector("yolo8")
    names = dict(enumerate(NAMES if known else [*NAMES, "cow"]))
    onnx.helper.set_model_props(proto, {"names": str(names)})
    onnx.save(proto, tmp_path / "d.onnx")
    np.save(tmp_path / "x.npy", PICTURES[:1])
    given = (tmp_path / "d.onnx", tmp_path / "x.npy", "--task", "detection", "--target")
    by_index = explained(capsys, *given, "10,2")["samples"]
    assert by_index[0]["target"]["label"] == ("bird, box 10" if known else "class 2, box 10")
    if known:
        assert explained(capsys, *given, "10,bird")["samples"] == by_index


def test_several_boxes_are_several_samples(tmp_path: Path, capsys: Any) -> None:
    model_file, picture = written(tmp_path)
    asked = ("--target", "10,cat", "--target", "6", "--target", "5,2")
    found = explained(capsys, model_file, picture, *asked, "--out", tmp_path / "out")
    pairs = [sample["target"]["index"] for sample in found["samples"]]
    assert pairs[0] == [10, 0] and pairs[1][0] == 6 and pairs[2] == [5, 2]
    names = {Path(name).name for name in found["files"]}
    assert {"relevance_1.png", "relevance_2.png", "relevance_3.png"} <= names
    alone = explained(capsys, model_file, picture, "--target", "6")
    assert alone["samples"][0]["top"][0] == found["samples"][1]["top"][0]


def test_every_sample_of_a_batch_gets_its_own_best_boxes(tmp_path: Path, capsys: Any) -> None:
    onnx.save(detector("yolo8"), tmp_path / "d.onnx")
    np.save(tmp_path / "x.npy", PICTURES)
    found = explained(capsys, tmp_path / "d.onnx", tmp_path / "x.npy", "--boxes", 2)
    assert [sample["source"] for sample in found["samples"]] == ["x.npy row 1"] * 2 + [
        "x.npy row 2"
    ] * 2
    assert "explained as a detector's" in json.dumps(found["samples"][0]["notes"])
    values = [sample["target"]["value"] for sample in found["samples"]]
    y = bt.explain(detector("yolo8"), PICTURES).outputs["y"][:, 4:]
    assert values[0] == pytest.approx(y[0].max()) and values[2] == pytest.approx(y[1].max())


def test_the_box_is_drawn_where_it_lies_on_the_picture(tmp_path: Path, capsys: Any) -> None:
    drawn = []
    for layout, output in (
        ("yolo8", {}),
        ("yolo8", {"boxes": {"format": "xyxy", "scale": 0.001}}),
    ):
        model_file, picture = written(tmp_path, layout, **output)
        explained(capsys, model_file, picture, "--target", "3,1", "--out", tmp_path / "out")
        with Image.open(tmp_path / "out" / "relevance.png") as image:
            drawn.append(np.asarray(image.convert("L"), np.int64))
    assert drawn[0].shape == drawn[1].shape and (drawn[0] != drawn[1]).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "cat"), "for detection it is box,class or box"),
        (("--target", "1,cow"), "neither an index nor a label"),
        (("--target", "99,0"), "out of range"),
        (("--target", "1,7"), "out of range"),
        (("--boxes", "0"), "0 is not in the range"),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    arguments: Any, words: str, tmp_path: Path, capsys: Any
) -> None:
    model_file, picture = written(tmp_path)
    assert main(["explain", str(model_file), str(picture), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_columns_of_the_sidecar_decide(tmp_path: Path, capsys: Any) -> None:
    model_file, picture = written(tmp_path, "rows", classes=[4, 7], class_axis=2)
    sample = explained(capsys, model_file, picture, "--target", "3,2")["samples"][0]
    x = Sidecar.load(tmp_path / "d.sidecar.json").encode("x", picture)
    y = bt.explain(model_file, x).outputs["y"]
    assert sample["target"]["value"] == pytest.approx(float(y[0, 3, 6]))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"blank": 0}, "blank: belongs to the task ctc"),
        ({"task": "ctc", "boxes": {"format": "xyxy"}}, "boxes: belongs to the task detection"),
        ({"classes": [4]}, "classes: must be a list of 2"),
        ({"classes": [4, 4]}, "classes: must be the first class column"),
        ({"boxes": {}}, r"boxes\.format: is missing"),
        ({"boxes": {"format": "corners"}}, r"boxes\.format: must be one of xyxy"),
        ({"boxes": {"format": "offsets"}}, r"boxes\.cell: is missing"),
        ({"boxes": {"format": "xyxy", "scale": 0}}, r"boxes\.scale: must be greater than 0"),
        ({"boxes": {"format": "xyxy", "scale": 1, "relative": True}}, r"boxes\.scale: coord"),
        ({"boxes": {"format": "xyxy", "columns": [0, 1]}}, r"boxes\.columns: must be a list of 4"),
        ({"boxes": {"format": "xyxy", "color": 1}}, r"boxes\.color: unknown key"),
    ],
)
def test_every_key_of_a_detector_is_checked(keys: Any, words: str, tmp_path: Path) -> None:
    written(tmp_path, **keys)
    with pytest.raises(bt.InputError, match=words):
        Sidecar.load(tmp_path / "d.sidecar.json")


@pytest.mark.parametrize(
    ("boxes", "values", "corners"),
    [
        (Boxes(format="xyxy"), [1, 2, 3, 4], [1, 2, 3, 4]),
        (Boxes(format="yxyx"), [1, 2, 3, 4], [2, 1, 4, 3]),
        (Boxes(format="xywh"), [1, 2, 3, 4], [1, 2, 4, 6]),
        (Boxes(format="cxcywh"), [5, 6, 2, 4], [4, 4, 6, 8]),
        (Boxes(format="xyxy", scale=None), [0.5, 0.5, 1, 1], [50, 100, 100, 200]),
        (Boxes(format="yxyx", scale=None), [0.5, 0.5, 1, 1], [50, 100, 100, 200]),
        (Boxes(format="xywh", scale=2, columns=(3, 2, 1, 0)), [4, 3, 2, 1], [2, 4, 8, 12]),
    ],
)
def test_every_format_gives_the_same_corners(boxes: Boxes, values: Any, corners: Any) -> None:
    found = boxes.corners(np.array([values], np.float32), (100, 200), (1,))
    np.testing.assert_allclose(found, [corners])


def test_offsets_are_those_of_the_cells_of_a_grid() -> None:
    made = Boxes(format="offsets", stride=2, cell=12)
    offsets = np.zeros((6, 4))
    offsets[4] = [0.5, 0, 0, -0.25]
    found = made.corners(offsets, (20, 20), (2, 3))
    np.testing.assert_allclose(found[0], [0, 0, 12, 12])
    np.testing.assert_allclose(found[4], [2 + 6, 2, 14, 14 - 3])


def test_boxes_over_a_better_one_of_their_class_are_left_out() -> None:
    a = Found(0, 1, 0.9, (0, 0, 10, 10))
    over, other = Found(1, 1, 0.8, (1, 0, 11, 10)), Found(2, 2, 0.7, (1, 0, 11, 10))
    apart, unknown = Found(3, 1, 0.6, (20, 0, 30, 10)), Found(4, 1, 0.5)
    assert best([apart, over, unknown, other, a], 9) == [a, other, apart, unknown]
    assert best([over, a], 1) == [a]
    assert shared(a.corners, over.corners) == pytest.approx(90 / 110)
    assert shared(a.corners, None) == 0


def test_letters_are_runs_of_one_class_without_blanks() -> None:
    steps = [0, 2, 2, 0, 2, 1, 1, 0]
    y = np.full((8, 3), 0.1)
    y[np.arange(8), steps] = [0.9, 0.5, 0.8, 0.9, 0.6, 0.4, 0.3, 0.9]
    letters = read_letters(y, labels=["", "a", "b"])
    assert spelled(letters) == "bba"
    assert [(x.first, x.last, x.target) for x in letters] == [
        (1, 3, (2, 2)),
        (4, 5, (4, 2)),
        (5, 7, (5, 1)),
    ]
    assert [x.place for x in letters] == ["steps 1-2", "step 4", "steps 5-6"]
    assert spelled(read_letters(y, blank=-1, labels=["x", "a", "b"])) == "xxax"
    assert spelled(read_letters(y)) == "[2][2][1]"
    for wrong, blank in ((y[0], 0), (y, 3), (y[:0], 0)):
        with pytest.raises(bt.RequestError):
            read_letters(wrong, blank=blank)


def speller() -> onnx.ModelProto:
    """Channels [1, 3, T] -> their softmax, class by class, [T, 1, 3], declared with another T."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[2, 0, 1]),
        node("Softmax", ["t"], ["y"], axis=-1),
    ]
    return model(nodes, {"x": (FLOAT, [1, 3, "T"])}, {"y": (FLOAT, ["batch", "steps", 3])})


def test_every_letter_of_a_word_is_explained(tmp_path: Path, capsys: Any) -> None:
    onnx.save(speller(), tmp_path / "s.onnx")
    meaning = {"task": "ctc", "labels": ["-", "h", "i"]}
    (tmp_path / "s.sidecar.json").write_text(json.dumps({"outputs": {"y": meaning}}))
    x = np.zeros((1, 3, 6), np.float32)
    x[0, [0, 1, 1, 0, 2, 0], range(6)] = [5, 4, 6, 5, 4, 5]
    np.save(tmp_path / "x.npy", x)
    found = explained(capsys, tmp_path / "s.onnx", tmp_path / "x.npy")
    assert [s["source"] for s in found["samples"]] == [
        "x.npy “hi”, letter 1 of 2 (steps 1-2)",
        "x.npy “hi”, letter 2 of 2 (step 4)",
    ]
    assert [s["target"]["label"] for s in found["samples"]] == ["h, step 2", "i, step 4"]
    asked = explained(capsys, tmp_path / "s.onnx", tmp_path / "x.npy", "--target", "4,h")
    assert asked["samples"][0]["target"]["label"] == "h, step 4"
    assert asked["samples"][0]["prediction"]["label"] == "i, step 4"
    silent = np.zeros((1, 3, 2), np.float32)
    silent[0, 0] = 9
    np.save(tmp_path / "n.npy", silent)
    (none,) = explained(capsys, tmp_path / "s.onnx", tmp_path / "n.npy")["samples"]
    assert "no letters" in none["source"]


@pytest.mark.parametrize("first", ["t", "N", 6])
def test_rows_of_a_file_that_are_steps_are_one_sample(
    first: Any, tmp_path: Path, capsys: Any
) -> None:
    proto = model(
        [node("Softmax", ["x"], ["y"], axis=-1)],
        {"x": (FLOAT, [first, 1, 3])},
        {"y": (FLOAT, [first, 1, 3])},
    )
    onnx.save(proto, tmp_path / "s.onnx")
    x = np.zeros((6, 1, 3), np.float32)
    x[range(6), 0, [0, 1, 1, 0, 2, 0]] = [5, 4, 6, 5, 4, 5]
    np.save(tmp_path / "x.npy", x)
    files = (tmp_path / "s.onnx", tmp_path / "x.npy", "--task", "ctc")
    found = explained(capsys, *files)
    assert [s["source"] for s in found["samples"]] == [
        "x.npy “[1][2]”, letter 1 of 2 (steps 1-2)",
        "x.npy “[1][2]”, letter 2 of 2 (step 4)",
    ]
    (asked,) = explained(capsys, *files, "--target", "4,1")["samples"]
    assert asked["source"] == "x.npy" and asked["target"]["label"] == "class 1, step 4"
