"""Initializers: inline, sparse, external, damaged and hostile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx import ModelError, explain
from backtrace_onnx.model.loading import load
from tests.graphs import DOUBLE, FLOAT, HALF, changed, check_closed, mlp, model, node, normal

X = normal(2, 4, seed=5)


def _external(
    proto: onnx.ModelProto, number: int, location: str, offset: int = 0, length: int | None = None
) -> bytes:
    """Point an initializer to a file; returns what it held."""
    tensor = proto.graph.initializer[number]
    data = bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": offset, "length": length}
    for key, value in entries.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return data


def test_weights_in_several_files_with_offsets_stay_in_them(tmp_path: Path) -> None:
    proto = mlp()
    first = _external(proto, 0, "one.bin", 8, 80)
    third = _external(proto, 2, "sub/two.bin")
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.bin").write_bytes(bytes(8) + first + bytes(100))
    (tmp_path / "sub" / "two.bin").write_bytes(third)
    file = tmp_path / "m.onnx"
    file.write_bytes(proto.SerializeToString())
    loaded = load(file)
    assert isinstance(loaded.weights["w"].base, np.memmap)
    assert isinstance(loaded.weights["v"].base, np.memmap)
    assert np.array_equal(explain(file, X).relevance["x"], explain(mlp(), X).relevance["x"])


def test_large_weights_are_not_embedded_in_what_runs(tmp_path: Path) -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ["N", 512])},
        {"y": (FLOAT, ["N", 512])},
        {"w": normal(512, 512)},
    )
    data = _external(proto, 0, "w.bin")
    (tmp_path / "w.bin").write_bytes(data)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    loaded = load(tmp_path / "m.onnx")
    assert len(loaded.proto.SerializeToString()) < 1000
    check_closed(explain(tmp_path / "m.onnx", normal(3, 512)))


def test_bytes_with_external_data_ask_for_the_path() -> None:
    proto = mlp()
    _external(proto, 0, "w.bin")
    with pytest.raises(ModelError, match="give the model's path"):
        load(proto.SerializeToString())


@pytest.mark.parametrize("location", ["../w.bin", "", ".", "sub/../../w.bin", "link.bin"])
def test_external_data_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "sub").mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(1000))
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    proto = mlp()
    _external(proto, 0, location)
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="outside the model's folder"):
        load(folder / "m.onnx")


def test_absolute_and_endless_locations_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "w.bin").write_bytes(bytes(1000))
    for location in (str(tmp_path / "w.bin"), "loop", "a\0b", "x" * 10_000):
        proto = mlp()
        _external(proto, 0, location)
        (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
        with pytest.raises(ModelError):
            load(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("offset", "length", "message"),
    [
        (0, 1000, "truncated"),
        (1000, None, "truncated"),
        (-4, None, "truncated"),
        (0, 8, "needs 80 bytes"),
        ("x", None, "bad offset"),
    ],
)
def test_external_data_that_end_too_early(
    tmp_path: Path, offset: Any, length: int | None, message: str
) -> None:
    proto = mlp()
    data = _external(proto, 0, "w.bin", offset, length)
    (tmp_path / "w.bin").write_bytes(data)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "m.onnx")


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    proto = mlp()
    _external(proto, 0, "gone.bin")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"'gone\.bin' with the weights of 'w' is missing"):
        load(tmp_path / "m.onnx")


@pytest.mark.parametrize("dims", [[1 << 20, 1 << 20], [1 << 62, 1 << 62], [-1, 5], [-4, -5], [7]])
def test_dims_that_do_not_fit_the_data(dims: list[int]) -> None:
    with pytest.raises(ModelError, match="'w'"):
        load(changed(lambda m: _set(m, dims)))


def _set(proto: onnx.ModelProto, dims: list[int]) -> None:
    proto.graph.initializer[0].dims[:] = dims


@pytest.mark.parametrize("kind", [0, 99])
def test_an_unknown_element_type(kind: int) -> None:
    with pytest.raises(ModelError, match="'w' is damaged"):
        load(changed(lambda m: setattr(m.graph.initializer[0], "data_type", kind)))


def test_two_initializers_of_one_name() -> None:
    with pytest.raises(ModelError, match="two initializers named 'w'"):
        load(changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])))


def _sparse(indices: Any, dims: list[int]) -> onnx.ModelProto:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"])], {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 3])}
    )
    values = numpy_helper.from_array(np.array([1.0, 2.0], np.float32), "w")
    at = numpy_helper.from_array(np.array(indices, np.int64), "at")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, at, dims))
    return proto


@pytest.mark.parametrize("indices", [[0, 4], [[0, 0], [1, 1]]])
def test_sparse_weights(indices: Any) -> None:
    found = explain(_sparse(indices, [4, 3]), np.ones((1, 4), np.float32), task="regression")
    assert found.relevance["x"].tolist() == [[1.0, 2.0, 0.0, 0.0]]


@pytest.mark.parametrize("indices", [[0, 300], [0, -3], [[0, 0], [9, 9]], [0], [[[0]]]])
def test_damaged_sparse_weights(indices: Any) -> None:
    with pytest.raises(ModelError, match="'w' is damaged"):
        load(_sparse(indices, [4, 3]))


def test_a_huge_sparse_weight_is_refused() -> None:
    with pytest.raises(ModelError, match="as a dense one"):
        load(_sparse([0, 4], [1 << 20, 1 << 20]))


@pytest.mark.parametrize(("kind", "dtype"), [(HALF, np.float16), (DOUBLE, np.float64)])
def test_other_float_models(kind: int, dtype: type) -> None:
    weight = normal(4, 3, dtype=dtype)
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])]
    proto = model(nodes, {"x": (kind, ["N", 4])}, {"y": (kind, ["N", 3])}, {"w": weight})
    found = explain(proto, X)
    assert found.relevance["x"].dtype == (np.float64 if dtype is np.float64 else np.float32)
    assert found.outputs["y"].dtype == dtype
    check_closed(found)


def test_bfloat16_weights() -> None:
    weight = normal(4, 3).astype(ml_dtypes.bfloat16)
    nodes = [node("Cast", ["w"], ["f"], to=FLOAT), node("MatMul", ["x", "f"], ["y"])]
    proto = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 3])}, {"w": weight})
    check_closed(explain(proto, X))


_HUGE = """
import resource, sys
import numpy as np
from backtrace_onnx import explain
start = np.ones((1, int(sys.argv[2])), np.float32)
e = explain(sys.argv[1], np.ones((1, 16), np.float32), start=start)
assert e.ledger.total().relative_residual < 1e-4
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(
    os.environ.get("BACKTRACE_SLOW") != "1", reason="takes gigabytes; BACKTRACE_SLOW=1"
)
def test_a_weight_over_two_gigabytes(tmp_path: Path) -> None:
    columns = 36_000_000
    proto = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ["N", 16])},
        {"y": (FLOAT, ["N", columns])},
    )
    tensor = proto.graph.initializer.add(name="w", data_type=FLOAT, dims=[16, columns])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(16 * columns * 4)
    command = [sys.executable, "-c", _HUGE, str(tmp_path / "m.onnx"), str(columns)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 16_000
