"""Files of several walks: what they are by definition, and what the eager engine finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import CompileError, Explainer, RequestError
from tests.graphs import FLOAT, INT64, model, node, normal

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


def _convnet(side: Any = 10) -> Any:
    nodes = [
        node("Conv", ["x", "C"], ["c"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Tanh", ["c"], ["a"], "act"),
        node("GlobalAveragePool", ["a"], ["g"], "mean"),
        node("Flatten", ["g"], ["f"], "flat"),
        node("Gemm", ["f", "F"], ["y"], "fc"),
        node("Softmax", ["y"], ["p"], "soft", axis=1),
    ]
    kinds = {"x": (FLOAT, ["n", 3, 12, side])}, {"p": (FLOAT, ["n", 4])}
    return model(nodes, *kinds, {"C": normal(5, 3, 3, 3, seed=1), "F": normal(5, 4, seed=2)})


PICTURES = normal(2, 3, 12, 10, seed=3)
ROWS = normal(3, 3, 12, 10, seed=4)


def _check(
    explainer: Explainer,
    path: Path,
    mode: str,
    feeds: dict[str, Array],
    told: dict[str, Any],
    keep: Any = (),
    file: dict[str, Any] | None = None,
) -> None:
    """What a file tells of inputs and tensors inside is what `explain` does."""
    names = [*explainer.graph.inputs, *keep]
    explainer.compile(path, mode=mode, tensors=names, **(told if file is None else file))
    fed = {f"baseline/{n}": x for n, x in told.get("baseline", {}).items()} if file else {}
    found = _run(path, {**feeds, **fed})
    expected = explainer.explain(feeds, mode=mode, keep=list(keep) or "inputs", **told).relevance
    for name in names:
        r = np.asarray(expected[name])
        scale = float(np.abs(r).max())
        assert scale > 0
        np.testing.assert_allclose(found[f"relevance/{name}"], r, atol=2e-5 * scale)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("smoothgrad(samples=3, seed=4)", {}),
        ("smoothgrad(samples=1, noise=0.5)", {}),
        ("expected_gradients(samples=7)", {"background": ROWS}),
        ("expected_gradients(samples=2, seed=1)", {"background": {"x": ROWS[:1]}}),
        ("integrated_gradients(steps=3)", {"baseline": {"x": ROWS[:1]}}),
    ],
)
def test_files_find_what_explaining_does(mode: str, told: dict[str, Any], tmp_path: Path) -> None:
    _check(Explainer(_convnet()), tmp_path / "f.onnx", mode, {"x": PICTURES}, told, ["c", "f"])


@pytest.mark.parametrize("mode", ["gradcam", "gradcam(tensor=c)"])
@pytest.mark.parametrize("side", [10, "width"])
def test_files_of_maps(mode: str, side: Any, tmp_path: Path) -> None:
    explainer, path = Explainer(_convnet(side)), tmp_path / "map.onnx"
    _check(explainer, path, mode, {"x": PICTURES}, {})
    for target in (0, 3):
        made = explainer.explain(PICTURES, mode=mode, target=target).relevance["x"]
        told = {"x": PICTURES, "target": np.array([target])}
        found = _run(path, told)["relevance/x"]
        np.testing.assert_allclose(found, made, atol=1e-6)
        assert made.any() and (np.ptp(found, axis=1) == 0).all()  # an equal part for each channel


def test_a_map_of_signals_and_of_pictures_whose_channels_come_last(tmp_path: Path) -> None:
    for shape, perm in (((16, 12, 3), [0, 3, 1, 2]), ((3, 33), [0, 1, 2])):
        size = len(shape) - 1
        nodes = [
            node("Transpose", ["x"], ["t"], "turn", perm=perm),
            node("Conv", ["t", "C"], ["c"], "conv", strides=[2] * size),
            node("Relu", ["c"], ["a"], "act"),
            node("GlobalAveragePool", ["a"], ["g"], "mean"),
            node("Flatten", ["g"], ["y"], "flat"),
        ]
        kernel = {"C": normal(5, 3, *[3] * size, seed=11)}
        net = model(nodes, {"x": (FLOAT, ["n", *shape])}, {"y": (FLOAT, ["n", 5])}, kernel)
        _check(Explainer(net), tmp_path / "map.onnx", "gradcam", {"x": normal(2, *shape)}, {})


def test_noise_needs_sizes_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"'x', .*width.*make_dynamic_shape_fixed"):
        Explainer(_convnet("width")).compile(tmp_path / "f.onnx", mode="smoothgrad")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "a background is needed"),
        ({"background": np.zeros((2, 3, 12, 9))}, r"of shape \(2, 3, 12, 9\) does not fit"),
        ({"background": np.full((1, 3, 12, 10), np.inf)}, "holds NaN or Inf"),
        ({"background": {"z": ROWS}}, "has no input of the model: z"),
        ({"background": {}}, "lacks input 'x'"),
    ],
)
def test_backgrounds_that_do_not_fit(told: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=said):
        Explainer(_convnet()).compile(tmp_path / "f.onnx", mode="expected_gradients", **told)
    with pytest.raises(RequestError, match="shap and expected_gradients take one"):
        Explainer(_convnet()).compile(tmp_path / "f.onnx", mode="gradient", background=ROWS)


IDS, PAD = np.array([[1, 2, 3], [4, 0, 8]]), np.zeros((2, 3), np.int64)


def _lookup(tokens: Any = 3) -> Any:
    """Rows of a table, beside what an input of floats adds to them, behind a mask of the ids."""
    nodes = [
        node("Mod", ["ids", "nine"], ["own"], "wrap"),
        node("Gather", ["T", "own"], ["e"], "rows"),
        node("Equal", ["ids", "zero"], ["blank"], "padding"),
        node("Not", ["blank"], ["real"], "real"),
        node("Cast", ["real"], ["floats"], "mask", to=FLOAT),
        node("Unsqueeze", ["floats", "last"], ["m"], "axis"),
        node("Add", ["e", "z"], ["s"], "sum"),
        node("Mul", ["s", "m"], ["k"], "masked"),
        node("Tanh", ["k"], ["h"], "tanh"),
        node("ReduceSum", ["h", "one"], ["r"], "pool", keepdims=0),
        node("MatMul", ["r", "W"], ["y"], "fc"),
    ]
    kinds = {"ids": (INT64, ["n", tokens]), "z": (FLOAT, ["n", tokens, 4])}
    weights = {"T": normal(9, 4, seed=7), "W": normal(4, 3, seed=8)}
    weights |= {"zero": np.int64(0), "one": np.array([1]), "last": np.array([-1])}
    return model(nodes, kinds, {"y": (FLOAT, ["n", 3])}, weights | {"nine": np.int64(9)})


@pytest.mark.parametrize("mode", ["integrated_gradients(steps=4)", "expected_gradients(samples=5)"])
@pytest.mark.parametrize("tokens", [3, "t"])
def test_lines_of_ids_are_those_of_what_they_look_up(
    mode: str, tokens: Any, tmp_path: Path
) -> None:
    explainer, feeds = Explainer(_lookup(tokens)), {"ids": IDS, "z": normal(2, 3, 4, seed=9)}
    background = {"ids": IDS[::-1], "z": normal(2, 3, 4, seed=10)}
    line = mode.startswith("integrated")
    told: Any = {"baseline": {"ids": PAD}} if line else {"background": background}
    file = {"baseline": {"ids": "required"}} if line else told
    _check(explainer, tmp_path / "f.onnx", mode, feeds, told, ["e", "h"], file)


def test_noise_of_ids_is_that_of_what_they_look_up(tmp_path: Path) -> None:
    feeds = {"ids": IDS, "z": normal(2, 3, 4, seed=9)}
    mode = "smoothgrad(samples=3)"
    _check(Explainer(_lookup()), tmp_path / "f.onnx", mode, feeds, {}, ["e", "h"])
    with pytest.raises(RequestError, match=r"sizes of 'z', .*make_dynamic_shape_fixed"):
        Explainer(_lookup("t")).compile(tmp_path / "f.onnx", mode=mode)


def test_whole_numbers_that_are_converted_have_lines_too(tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["x"], ["e"], "floats", to=FLOAT),
        node("Mul", ["e", "e"], ["y"], "square"),
    ]
    made = model(nodes, {"x": (UINT8, ["n", 2])}, {"y": (FLOAT, ["n", 2])})
    x, x0 = np.array([[3, 5]], np.uint8), np.array([[1, 7]], np.uint8)
    explainer, path = Explainer(made), tmp_path / "f.onnx"
    explainer.compile(path, mode=MODE, baseline=x0, task="regression")
    wanted = [[9.0 - 1, 25.0 - 49]]
    np.testing.assert_allclose(_run(path, {"x": x})["relevance/x"], wanted, rtol=1e-5)
    found = explainer.explain(x, mode=MODE, baseline=x0, task="regression").relevance["x"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_there_is_no_line_between_quantised_numbers(tmp_path: Path) -> None:
    nodes = [
        node("DequantizeLinear", ["x", "scale"], ["e"], "floats"),
        node("Tanh", ["e"], ["y"], "tanh"),
    ]
    weights = {"scale": np.float32(0.5)}
    made = model(nodes, {"x": (UINT8, ["n", 2])}, {"y": (FLOAT, ["n", 2])}, weights)
    x, told = np.ones((1, 2), np.uint8), {"mode": MODE, "baseline": np.zeros((1, 2), np.uint8)}
    with pytest.raises(RequestError, match="between"):
        Explainer(made).compile(tmp_path / "line.onnx", task="regression", **told)
    with pytest.raises(RequestError, match="between"):
        Explainer(made).explain(x, **told)


def test_a_map_tells_of_the_inputs_only(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="inputs only, not of c"):
        Explainer(_convnet()).compile(tmp_path / "m.onnx", mode="gradcam", tensors=["x", "c"])


def test_names_that_the_model_has_already(tmp_path: Path) -> None:
    net = _convnet()
    net.graph.node[0].output[0] = net.graph.node[1].input[0] = "point/x"
    with pytest.raises(CompileError, match="'point/x' already"):
        Explainer(net).compile(tmp_path / "f.onnx", mode="smoothgrad")
