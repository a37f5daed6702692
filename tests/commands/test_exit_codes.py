"""How commands end where something is wrong: what is said, and the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.command_line import DIGIT, MNIST, MODELS, saved
from tests.graphs import FLOAT, model, node


def _ugly(folder: Path) -> dict[str, Path]:
    files = {
        "bad.json": b'{"image": [[1, 2',
        "ragged.json": b"[[1, 2], [3]]",
        "object.npy": b"\x93NUMPY\x01\x00garbage",
        "nan.csv": b"1,nan,3\n",
        "binary.csv": b"\xff\xfe\x00\x01",
        "x.txt": b"hello",
        "noending": b"hello",
        "text.onnx": b"this is a text file, not a model\n",
        "empty.onnx": b"",
        "cut.png": DIGIT.read_bytes()[:100],
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    np.save(folder / "shape.npy", np.zeros((1, 1, 27, 28), np.float32))
    np.save(folder / "nan.npy", np.full((1, 1, 28, 28), np.nan, np.float32))
    np.save(folder / "text.npy", np.array(["a"]))
    return {name: folder / name for name in (*files, "shape.npy", "nan.npy", "text.npy")}


UGLY = [
    ("missing.png", "no such file"),
    (".", "is a folder; name its files"),
    ("bad.json", "not valid JSON"),
    ("ragged.json", "not all of the same length"),
    ("object.npy", "not a NumPy file"),
    ("nan.csv", "row 1, column 2: 'nan' is not a finite number"),
    ("binary.csv", "not a .csv file in UTF-8"),
    ("x.txt", "inputs are .npy, .npz, .json, .csv, a picture"),
    ("noending", "file without ending"),
    ("cut.png", "damaged"),
    ("shape.npy", "axis 2 must be 28"),
    ("nan.npy", "holds NaN or Inf"),
    ("text.npy", "image"),
    ("other=x.npy", "the model has no input 'other'"),
]


@pytest.mark.parametrize(("name", "words"), UGLY)
def test_bad_inputs(run: Any, name: str, words: str, tmp_path: Path) -> None:
    _ugly(tmp_path)
    given = name if "=" in name else tmp_path / name
    code, out, err = run("explain", MNIST, given, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith("Error: ") and words in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((MNIST,), "no INPUT given; the model takes:\n  image float32[batch, 1, 28, 28]"),
        ((MNIST, DIGIT, "--target", "10"), "out of range"),
        ((MNIST, DIGIT, "--target", "cat"), "neither an index nor a label"),
        ((MNIST, DIGIT, "--target", "1", "--target", "2"), "2 targets for 1 sample(s)"),
        ((MNIST, DIGIT, "--mode", "magic"), "magic"),
        ((MNIST, DIGIT, "--task", "magic"), "unknown task"),
        ((MNIST, DIGIT, "--output", "magic"), "no tensor 'magic'"),
        ((MNIST, DIGIT, "--engine", "magic"), "Invalid value for '--engine'"),
        ((MNIST, DIGIT, "--sidecar", "none.json"), "none.json: cannot be read"),
        ((MNIST, DIGIT, "--sidecar", MODELS / "adult_mlp.sidecar.json"), "no such name"),
        ((MODELS / "none.onnx", DIGIT), "cannot be read"),
        ((MODELS, DIGIT), "is a folder"),
        ((), "Missing argument 'MODEL'"),
    ],
)
def test_wrong_use(run: Any, arguments: tuple[Any, ...], words: str) -> None:
    code, out, err = run("explain", *arguments)
    assert (code, out) == (2, "") and words in err and "Traceback" not in err


@pytest.mark.parametrize("command", ["explain", "inspect"])
def test_the_folder_one_stands_in_is_no_model(run: Any, command: str) -> None:
    code, _, err = run(command, ".")
    assert code == 2 and "is a folder, not an .onnx file" in err


def test_what_reaches_no_input_is_said(run: Any, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Equal", ["x", "k"], ["same"], name="compare"),
        helper.make_node("Cast", ["same"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["k"], value_ints=[3]),
    ]
    tensors = [
        helper.make_tensor_value_info("x", TensorProto.INT64, ["n", 4]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4]),
    ]
    model = saved(tmp_path / "same.onnx", nodes, tensors[:1], tensors[1:])
    np.save(tmp_path / "x.npy", np.array([[3, 1, 2, 3]]))
    code, out, _ = run("explain", model, tmp_path / "x.npy")
    assert code == 0 and "No relevance reaches the inputs" in out
    code, out, _ = run("inspect", model)
    assert code == 0 and "No relevance reaches the inputs: Equal (compare) carry none." in out


@pytest.mark.parametrize("name", ["text.onnx", "empty.onnx"])
@pytest.mark.parametrize("command", ["explain", "inspect"])
def test_models_that_are_none(run: Any, command: str, name: str, tmp_path: Path) -> None:
    code, _, err = run(command, _ugly(tmp_path)[name])
    assert code == 2 and name in err and "Traceback" not in err


def test_a_picture_without_a_sidecar(run: Any, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(MNIST.read_bytes())
    code, _, err = run("explain", tmp_path / "m.onnx", DIGIT)
    assert code == 2 and "Put a sidecar beside the model" in err


def test_what_cannot_be_explained_exits_3(run: Any, tmp_path: Path) -> None:
    nodes = [helper.make_node("Det", ["x"], ["y"], name="det")]
    tensors = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5, 5]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"]),
    ]
    model = saved(tmp_path / "det.onnx", nodes, tensors[:1], tensors[1:])
    np.save(tmp_path / "x.npy", np.eye(5, dtype=np.float32)[None])
    code, _, err = run("explain", model, tmp_path / "x.npy")
    assert code == 3 and "Det" in err and "det" in err


def test_an_output_folder_that_is_a_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    code, _, err = run("explain", MNIST, DIGIT, "--out", tmp_path / "out")
    assert code == 2 and "is a file, not a folder" in err
    assert (tmp_path / "out").read_text() == "mine"


def test_an_unexpected_error_shows_no_trace(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("backtrace_onnx.commands.explain.explained", fail)
    code, _, err = run("explain", MNIST, DIGIT)
    assert code == 1 and "unexpected ZeroDivisionError: oops" in err


def test_a_model_without_inputs_is_told_so(run: Any, tmp_path: Path) -> None:
    drawn = model([node("RandomNormal", [], ["y"], shape=[1, 3])], {}, {"y": (FLOAT, [1, 3])})
    onnx.save(drawn, tmp_path / "m.onnx")
    code, _, err = run("explain", tmp_path / "m.onnx")
    assert code == 2 and "the model has no inputs" in err
