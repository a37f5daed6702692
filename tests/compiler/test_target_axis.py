"""Files that explain several targets in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import CompileError, Explainer, RequestError
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

MODELS = Path(__file__).parents[2] / "models"
Array = npt.NDArray[Any]


def _outputs(path: Path, feeds: dict[str, Array]) -> dict[str, Array]:
    session = ort.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def _check(made: Any, feeds: dict[str, Array], targets: Array, folder: Path, **how: Any) -> None:
    explainer = Explainer(made)
    several, one = folder / "several.onnx", folder / "one.onnx"
    explainer.compile(several, target="several", **how)
    explainer.compile(one, target="required", **how)
    onnx.checker.check_model(str(several), full_check=True)
    found = _outputs(several, {**feeds, "targets": targets})
    for i, target in enumerate(targets):
        for name, expected in _outputs(one, {**feeds, "target": target}).items():
            own = found[name][i] if name.partition("/")[1] else found[name]
            scale = float(np.abs(expected).max()) or 1.0
            np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5 * scale, err_msg=name)


@pytest.mark.parametrize(
    "mode", ["default", "contrastive", "epsilon(absolute=1e-6)", "gradient", "lrp", "cnn"]
)
def test_each_row_is_what_a_run_of_its_own_answers(mode: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    for targets in ([[3], [5], [-1]], [[0, 9], [-1, 4]]):
        rows = np.array(targets)
        _check(MODELS / "mnist_cnn.onnx", {"image": x}, rows, tmp_path, mode=mode)


def test_inner_tensors_and_those_that_nothing_reaches(tmp_path: Path) -> None:
    _check(mlp(), {"x": normal(3, 4)}, np.array([[0], [2]]), tmp_path, tensors=["x", "h"])
    nodes = [node("MatMul", ["x", "W"], ["y"], "fc"), node("Identity", ["z"], ["same"], "id")]
    kinds = {"x": (FLOAT, ["n", 4]), "z": (FLOAT, ["n", 2])}
    outputs = {"y": (FLOAT, ["n", 3]), "same": (FLOAT, ["n", 2])}
    made = model(nodes, kinds, outputs, {"W": normal(4, 3)})
    feeds = {"x": normal(2, 4), "z": normal(2, 2)}
    _check(made, feeds, np.array([[0], [1], [2]]), tmp_path)


def test_tokens_of_a_text_and_a_cell_of_many_steps(tmp_path: Path) -> None:
    nodes = [node("Gather", ["T", "input_ids"], ["e"], "rows"), node("MatMul", ["e", "H"], ["y"])]
    kinds = {"input_ids": (INT64, ["n", "t"])}, {"y": (FLOAT, ["n", "t", 9])}
    made = model(nodes, *kinds, {"T": normal(9, 4, seed=4), "H": normal(4, 9, seed=5)})
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    targets = np.array([[[[0, 3]], [[1, 4]]], [[[-1, -1]], [[2, 0]]]])
    _check(made, {"input_ids": ids}, targets, tmp_path, task="generation")
    nodes = [
        node("LSTM", ["x", "W", "R"], ["", "h"], "cell", hidden_size=3),
        node("Squeeze", ["h", "axis"], ["y"], "last"),
    ]
    weights = {"W": normal(1, 12, 4), "R": normal(1, 12, 3), "axis": np.array([0])}
    made = model(nodes, {"x": (FLOAT, [5, "n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)
    _check(made, {"x": normal(5, 2, 4)}, np.array([[0], [1], [2]]), tmp_path)


def test_what_does_not_depend_on_the_target_is_done_once(tmp_path: Path) -> None:
    path = tmp_path / "several.onnx"
    Explainer(MODELS / "mnist_cnn.onnx").compile(path, target="several")
    graph = onnx.load(path).graph
    (scan,) = (n for n in graph.node if n.op_type == "Scan")
    (body,) = (a.g for a in scan.attribute if a.name == "body")
    counts = [sum(n.op_type in ("Conv", "ConvTranspose") for n in g.node) for g in (graph, body)]
    # Two of the model, two of its masses and two that read windows; their adjoints in the body.
    assert counts == [6, 4]
    shape = {o.name: [d.dim_param or d.dim_value for d in o.type.tensor_type.shape.dim]
             for o in graph.output}  # fmt: skip
    assert shape["relevance/image"] == ["targets", "batch", 1, 28, 28]


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    path = tmp_path / "several.onnx"
    with pytest.raises(RequestError, match="no targets"):
        Explainer(MODELS / "digits_unet.onnx").compile(path, target="several", task="segmentation")
    with pytest.raises(RequestError, match="either start, or"):
        Explainer(mlp()).compile(path, target="several", start=True)
    nodes = [node("MatMul", ["targets", "W"], ["y"], "fc")]
    made = model(
        nodes, {"targets": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, {"W": normal(4, 3)}
    )
    with pytest.raises(CompileError, match="'targets'"):
        Explainer(made).compile(path, target="several")
