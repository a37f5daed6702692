"""Files of integrated gradients: what they are by definition, and what the eager engine finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer, RequestError
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

Array = npt.NDArray[Any]
MODELS = Path(__file__).parents[2] / "models"
UINT8, DOUBLE = onnx.TensorProto.UINT8, onnx.TensorProto.DOUBLE
MODE = "integrated_gradients(steps=5)"


def _run(path: Path, feeds: dict[str, Array]) -> dict[str, Array]:
    session = ort.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE])
def test_the_product_of_two_powers_is_exact(kind: int, tmp_path: Path) -> None:
    """y = (x W)^2 summed: its gradient is linear on the line, and its mean that half way."""
    dtype: Any = np.float32 if kind == FLOAT else np.float64
    w, path = normal(4, 3, dtype=dtype), tmp_path / "line.onnx"
    nodes = [node("MatMul", ["x", "W"], ["h"], "fc"), node("Mul", ["h", "h"], ["y"], "square")]
    made = model(nodes, {"x": (kind, ["n", 4])}, {"y": (kind, ["n", 3])}, {"W": w})
    Explainer(made).compile(path, mode="integrated_gradients(steps=1)", task="regression")
    x, x0 = normal(2, 4, seed=1, dtype=dtype), normal(2, 4, seed=2, dtype=dtype)
    found = _run(path, {"x": x, "baseline/x": x0})
    expected = (x - x0) * ((x + x0) @ w @ w.T)
    np.testing.assert_allclose(found["relevance/x"], expected, rtol=1e-4, atol=1e-5)
    differences = found["y"].sum(1) - ((x0 @ w) ** 2).sum(1)
    np.testing.assert_allclose(found["relevance/x"].sum(1), differences, rtol=1e-4)


def test_a_trained_network_and_baselines_of_every_kind(tmp_path: Path) -> None:
    explainer, path = Explainer(MODELS / "mnist_cnn.onnx"), tmp_path / "line.onnx"
    rng = np.random.default_rng(0)
    x, x0 = rng.random((2, 1, 28, 28), np.float32), rng.random((1, 1, 28, 28), np.float32)
    explainer.compile(path, mode=MODE)
    onnx.checker.check_model(str(path), full_check=True)
    for told in (None, x0):
        fed = {"image": x} if told is None else {"image": x, "baseline/image": told}
        expected = explainer.explain(x, mode=MODE, baseline=told).relevance["image"]
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(_run(path, fed)["relevance/image"], expected, atol=1e-5 * scale)
    explainer.compile(path, mode=MODE, baseline=x0, target="several")
    found = _run(path, {"image": x, "targets": np.array([[3], [5]])})["relevance/image"]
    for own, target in zip(found, (3, 5), strict=True):
        how = {"mode": MODE, "baseline": x0, "target": target}
        expected = explainer.explain(x, **how).relevance["image"]
        np.testing.assert_allclose(own, expected, atol=1e-5 * float(np.abs(expected).max()))


def test_a_mask_is_held_and_two_inputs_move(tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["mask"], ["m"], "floats", to=FLOAT),
        node("Mul", ["x", "m"], ["h"], "masked"),
        node("Mul", ["h", "z"], ["p"], "product"),
        node("Tanh", ["p"], ["a"], "tanh"),
        node("MatMul", ["a", "W"], ["y"], "fc"),
    ]
    kinds = {"x": (FLOAT, ["n", 4]), "z": (FLOAT, ["n", 4]), "mask": (INT64, ["n", 4])}
    made = model(nodes, kinds, {"y": (FLOAT, ["n", 3])}, {"W": normal(4, 3)})
    feeds = {"x": normal(2, 4, seed=1), "z": normal(2, 4, seed=2)}
    feeds["mask"] = np.array([[1, 1, 0, 1], [1, 0, 1, 1]])
    path, explainer = tmp_path / "line.onnx", Explainer(made)
    explainer.compile(path, mode=MODE)
    found, expected = _run(path, feeds), explainer.explain(feeds, mode=MODE).relevance
    for name, r in expected.items():
        np.testing.assert_allclose(found[f"relevance/{name}"], r, rtol=1e-4, atol=1e-6)
    assert not found["relevance/mask"].any() and found["relevance/x"].any()


@pytest.mark.parametrize(
    ("kind", "op", "said"), [(INT64, "Gather", "holds ids"), (UINT8, "Cast", "holds no floats")]
)
def test_there_is_no_line_between_whole_numbers(
    kind: int, op: str, said: str, tmp_path: Path
) -> None:
    first = (
        node("Gather", ["T", "x"], ["e"], "rows") if op == "Gather"
        else node("Cast", ["x"], ["e"], "floats", to=FLOAT)
    )  # fmt: skip
    nodes = [first, node("Add", ["e", "z"], ["s"], "sum"), node("Tanh", ["s"], ["y"], "tanh")]
    kinds = {"x": (kind, ["n"]), "z": (FLOAT, ["n"])}
    weights = {"T": normal(9)} if op == "Gather" else {}
    made = model(nodes, kinds, {"y": (FLOAT, ["n"])}, weights)
    with pytest.raises(RequestError, match=said):
        Explainer(made).compile(tmp_path / "line.onnx", mode=MODE, task="regression")


def test_inner_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="inputs only, not of h"):
        Explainer(mlp()).compile(tmp_path / "line.onnx", mode=MODE, tensors=["x", "h"])
