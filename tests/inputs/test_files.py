"""What the samples of input files are called, and files that are not named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, InputError
from backtrace_onnx.commands.compile import compiled
from backtrace_onnx.inputs.files import InputReader
from tests.graphs import FLOAT, mlp, model, node, normal


def _with_state() -> onnx.ModelProto:
    """x[N, 4] and a state of two layers [2, N, 3]."""
    return model(
        [
            node("ReduceSum", ["state", "axes"], ["s"], keepdims=0),
            node("MatMul", ["x", "w"], ["h"]),
            node("Add", ["h", "s"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 4]), "state": (FLOAT, [2, "N", 3])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 3), "axes": np.array([0])},
    )


@pytest.mark.parametrize("count", [1, 3])
def test_samples_are_counted_along_their_own_axis(count: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=normal(count, 4), state=normal(2, count, 3))
    read = InputReader(Explainer(_with_state()).graph).read([str(tmp_path / "one.npz")])
    several = tuple(f"one.npz row {i}" for i in range(1, count + 1))
    assert read.sources == (("one.npz",) if count == 1 else several)


def test_several_files_are_several_samples(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.npy" for name in "ab"]
    for file in files:
        np.save(file, normal(4))
    read = InputReader(Explainer(mlp()).graph).read([str(file) for file in files])
    assert read.sources == ("a.npy", "b.npy") and read.feeds["x"].shape == (2, 4)


def test_a_name_without_a_file_is_told() -> None:
    with pytest.raises(InputError, match="x=: names no file"):
        InputReader(Explainer(mlp()).graph).read(["x="])


def test_a_model_without_inputs_takes_no_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", normal(4))
    noise = node("RandomNormal", [], ["y"], shape=[2, 3])
    graph = Explainer(model([noise], {}, {"y": (FLOAT, [2, 3])})).graph
    with pytest.raises(InputError, match="takes no inputs"):
        InputReader(graph).read([str(tmp_path / "x.npy")])


def test_weights_that_old_files_list_as_inputs_are_not_told(tmp_path: Path) -> None:
    proto = mlp()
    kind = onnx.helper.make_tensor_value_info("w", FLOAT, proto.graph.initializer[0].dims)
    assert proto.graph.initializer[0].name == "w"
    proto.graph.input.append(kind)
    onnx.save(proto, tmp_path / "m.onnx")
    made = tmp_path / "made.onnx"
    lines = compiled(
        tmp_path / "m.onnx",
        made,
        None,
        mode="default",
        output=None,
        task=None,
        scaler=None,
        threshold=None,
        tensors=(),
    )
    inputs = [line.split()[1] for line in lines if line.startswith("  input")]
    assert inputs == ["x", "target"]


def test_an_array_of_another_name_than_the_only_input_is_noted(tmp_path: Path) -> None:
    reader = InputReader(Explainer(mlp()).graph)
    for name in ("features", "x"):
        np.savez(tmp_path / f"{name}.npz", **{name: normal(2, 4)})
    read = reader.read([str(tmp_path / "features.npz")])
    assert [note.text for note in read.notes] == [
        f"{tmp_path / 'features.npz'}: array 'features' is taken for 'x', the only input"
    ]
    assert read.feeds["x"].shape == (2, 4)
    for given in (str(tmp_path / "x.npz"), f"x={tmp_path / 'features.npz'}"):
        assert not reader.read([given]).notes


def test_a_folder_is_no_input(tmp_path: Path) -> None:
    for name in ("photos", "photos.npy"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=f"{name}: is a folder; name its files"):
            InputReader(Explainer(mlp()).graph).read([str(tmp_path / name)])
