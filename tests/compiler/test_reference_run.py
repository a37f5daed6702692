"""Files that compare two runs: what the eager engine finds, and whatever baseline they are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from onnx import helper

from backtrace_onnx import CompileError, Explainer, RequestError
from backtrace_onnx.cli import commands
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

Array = npt.NDArray[Any]
MODELS = Path(__file__).parents[2] / "models"


def _run(path: Path, feeds: dict[str, Array]) -> dict[str, Array]:
    session = ort.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def _close(found: Array, expected: Array) -> None:
    scale = float(np.abs(expected).max())
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * scale)


def _attention() -> onnx.ModelProto:
    """Scores of what one token says to another, a softmax and a normalisation."""
    nodes = [
        node("MatMul", ["x", "Q"], ["q"], "queries"),
        node("Transpose", ["x"], ["k"], "keys", perm=[0, 2, 1]),
        node("MatMul", ["q", "k"], ["s"], "scores"),
        node("Softmax", ["s"], ["a"], "softmax", axis=-1),
        node("MatMul", ["a", "x"], ["v"], "mixed"),
        node("LayerNormalization", ["v", "G"], ["n"], "norm"),
        node("ReduceMax", ["n", "one"], ["m"], "pool", keepdims=0),
        node("MatMul", ["m", "W"], ["y"], "fc"),
    ]
    weights = {"Q": normal(4, 4, seed=1), "G": normal(4, seed=2), "W": normal(4, 3, seed=3)}
    weights["one"] = np.array([1], np.int64)
    kinds = {"x": (FLOAT, ["n", "t", 4])}, {"y": (FLOAT, ["n", 3])}
    return model(nodes, *kinds, weights)


CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "mlp": (mlp(), (3, 4)),
    "attention": (_attention(), (2, 5, 4)),
    "digits": (MODELS / "mnist_cnn.onnx", (2, 1, 28, 28)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_file_finds_what_the_eager_engine_does(case: str, tmp_path: Path) -> None:
    made, shape = CASES[case]
    explainer, path = Explainer(made), tmp_path / "compared.onnx"
    (name,) = explainer.graph.inputs
    rng = np.random.default_rng(1)
    x, x0 = (rng.random(shape, np.float32) for _ in range(2))
    explainer.compile(path, mode="deeplift")
    onnx.checker.check_model(str(path), full_check=True)
    for told in (None, x0, x0[:1]):
        fed = {name: x} if told is None else {name: x, f"baseline/{name}": told}
        given = None if told is None else np.broadcast_to(told, shape)
        expected = explainer.explain(x, mode="deeplift", baseline=given).relevance[name]
        _close(_run(path, fed)[f"relevance/{name}"], expected)
    other: Any = "onnxruntime"
    found = Explainer(made, engine=other).explain(x, mode="deeplift", baseline=x0)
    expected = explainer.explain(x, mode="deeplift", baseline=x0)
    _close(found.relevance[name], expected.relevance[name])
    for one, two in zip(found.ledger.values(), expected.ledger.values(), strict=True):
        np.testing.assert_allclose(one.data, two.data, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        found.ledger.total().start, expected.ledger.total().start, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("baseline", [0.25, [0.1, 0.2, 0.3, 0.4], "zeros", {"x": 1}])
def test_a_baseline_that_is_a_constant_of_the_file(baseline: Any, tmp_path: Path) -> None:
    explainer, x, path = Explainer(mlp()), normal(3, 4), tmp_path / "fixed.onnx"
    explainer.compile(path, mode="deeplift", baseline=baseline, target="several")
    found = _run(path, {"x": x, "targets": np.array([[0], [2]])})["relevance/x"]
    for own, target in zip(found, (0, 2), strict=True):
        how = {"mode": "deeplift", "baseline": baseline, "target": target}
        _close(own, explainer.explain(x, **how).relevance["x"])
    names = [value.name for value in onnx.load(path).graph.input]
    assert names == ["x", "targets"]


def _masked() -> onnx.ModelProto:
    """Ids that are looked up, numbers, and a mask that is compared with itself."""
    nodes = [
        node("Gather", ["T", "ids"], ["e"], "rows"),
        node("Cast", ["mask"], ["m"], "floats", to=FLOAT),
        node("Unsqueeze", ["m", "last"], ["w"], "wide"),
        node("Mul", ["e", "w"], ["h"], "masked"),
        node("ReduceSum", ["h", "one"], ["s"], "sum", keepdims=0),
        node("Add", ["s", "x"], ["z"], "add"),
        node("Tanh", ["z"], ["a"], "tanh"),
        node("MatMul", ["a", "W"], ["y"], "fc"),
    ]
    weights = {"T": normal(9, 4, seed=4), "W": normal(4, 3, seed=5)}
    weights |= {"last": np.array([-1], np.int64), "one": np.array([1], np.int64)}
    inputs = {"ids": (INT64, ["n", "t"]), "mask": (INT64, ["n", "t"]), "x": (FLOAT, ["n", 4])}
    return model(nodes, inputs, {"y": (FLOAT, ["n", 3])}, weights)


def test_ids_are_compared_with_others_where_these_are_given(tmp_path: Path) -> None:
    explainer, path = Explainer(_masked()), tmp_path / "ids.onnx"
    feeds = {"ids": np.array([[1, 2, 3], [4, 5, 6]]), "mask": np.array([[1, 1, 1], [1, 1, 0]])}
    feeds["x"] = normal(2, 4, seed=6)
    pad = {"ids": np.zeros((2, 3), np.int64)}
    for baseline, given in ((None, {"x": np.zeros((2, 4), np.float32)}), ({"ids": 0}, pad)):
        expected = explainer.explain(feeds, mode="deeplift", baseline=given).relevance
        explainer.compile(path, mode="deeplift", baseline=baseline)
        found = _run(path, feeds)
        _close(found["relevance/x"], expected["x"])
        np.testing.assert_allclose(found["relevance/ids"], expected["ids"], rtol=1e-4, atol=1e-5)
        other: Any = Explainer(_masked(), engine="onnxruntime")
        made = other.explain(feeds, mode="deeplift", baseline=given).relevance
        np.testing.assert_allclose(made["ids"], expected["ids"], rtol=1e-4, atol=1e-5)


def test_branches_of_the_model_run_on_the_baseline(tmp_path: Path) -> None:
    """A body reads what is around it: in the second run, what that run made."""
    value = helper.make_tensor_value_info("b", FLOAT, None)
    body = helper.make_graph([helper.make_node("Relu", ["h"], ["b"])], "then", [], [value])
    other = helper.make_graph([helper.make_node("Neg", ["h"], ["b"])], "else", [], [value])
    nodes = [
        node("MatMul", ["x", "W"], ["h"], "fc"),
        node("If", ["yes"], ["a"], "branch", then_branch=body, else_branch=other),
        node("MatMul", ["a", "V"], ["y"], "out"),
    ]
    weights = {"W": normal(4, 5), "V": normal(5, 3), "yes": np.array(True)}
    made = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)
    explainer, x, path = Explainer(made), normal(2, 4, seed=7), tmp_path / "if.onnx"
    explainer.compile(path, mode="deeplift")
    _close(
        _run(path, {"x": x})["relevance/x"], explainer.explain(x, mode="deeplift").relevance["x"]
    )


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"mode": "deeplift", "baseline": "blur"}, "a number, an array"),
        ({"mode": "deeplift", "baseline": np.zeros((2, 5))}, "does not fit"),
        ({"mode": "deeplift", "baseline": np.full(4, np.nan)}, "NaN"),
        ({"mode": "deeplift", "baseline": {"z": 0}}, "no input of the model: z"),
        ({"mode": "lrp", "baseline": 0}, "without a baseline"),
    ],
)
def test_what_does_not_fit_is_said(asked: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=said):
        Explainer(mlp()).compile(tmp_path / "made.onnx", **asked)


def test_names_that_are_taken_and_inputs_that_have_no_zero(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "W"], ["baseline/x"], "a"), node("Tanh", ["baseline/x"], ["y"])]
    kinds = {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}
    explainer = Explainer(model(nodes, *kinds, {"W": normal(4, 3)}))
    with pytest.raises(CompileError, match="'baseline/x' already"):
        explainer.compile(tmp_path / "made.onnx", mode="deeplift")
    nodes = [node("Gather", ["T", "ids"], ["e"], "rows"), node("ReduceMean", ["e", "one"], ["y"])]
    weights = {"T": normal(9, 4), "one": np.array([1], np.int64)}
    explainer = Explainer(model(nodes, {"ids": (INT64, ["n", "t"])}, {"y": (FLOAT, None)}, weights))
    with pytest.raises(RequestError, match="have no zero"):
        explainer.compile(tmp_path / "made.onnx", mode="deeplift")


@pytest.mark.parametrize("mode", ["deeplift", "integrated_gradients(steps=8)"])
def test_a_baseline_that_must_be_given(mode: str, tmp_path: Path) -> None:
    explainer, path = Explainer(mlp()), tmp_path / "required.onnx"
    explainer.compile(path, mode=mode, baseline="required")
    made = onnx.load(path).graph
    assert [value.name for value in made.input] == ["x", "baseline/x", "target"]
    assert "baseline/x" not in {w.name for w in made.initializer}
    x, x0 = normal(3, 4), normal(3, 4, seed=8)
    expected = explainer.explain(x, mode=mode, baseline=x0).relevance["x"]
    _close(_run(path, {"x": x, "baseline/x": x0})["relevance/x"], expected)
    with pytest.raises(ValueError, match="baseline/x"):
        _run(path, {"x": x})


def test_a_baseline_that_must_be_given_for_one_input(tmp_path: Path) -> None:
    explainer, path = Explainer(_masked()), tmp_path / "ids.onnx"
    feeds = {"ids": np.array([[1, 2, 3], [4, 5, 6]]), "mask": np.array([[1, 1, 1], [1, 1, 0]])}
    feeds["x"] = normal(2, 4, seed=6)
    pad, x0 = np.full((2, 3), 7), normal(1, 4, seed=8)
    explainer.compile(path, mode="deeplift", baseline={"ids": "required", "x": x0})
    assert "baseline/x" not in {value.name for value in onnx.load(path).graph.input}
    both = {"ids": pad, "x": np.repeat(x0, 2, 0)}
    expected = explainer.explain(feeds, mode="deeplift", baseline=both).relevance
    found = _run(path, {**feeds, "baseline/ids": pad})
    for name in ("ids", "x"):
        _close(found[f"relevance/{name}"], expected[name])


FORMS: dict[str, tuple[dict[str, Any], bool]] = {
    "optional": ({"target": "optional", "baseline": 0.0}, True),
    "no baseline": ({"target": "required"}, True),
    "required": ({"target": "required", "baseline": "required"}, False),
    "several": ({"target": "several", "baseline": "required"}, False),
    "constants": ({"target": None, "baseline": np.ones(4, np.float32)}, False),
    "zeros": ({"target": 1, "baseline": "zeros"}, False),
    "start": ({"start": True, "baseline": "required"}, False),
}


@pytest.mark.parametrize("mode", ["deeplift", "integrated_gradients(steps=4)"])
@pytest.mark.parametrize("form", FORMS)
def test_which_files_onnxruntime_warns_of(
    form: str, mode: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given, warned = FORMS[form]
    Explainer(mlp()).compile(tmp_path / "made.onnx", mode=mode, **given)
    capfd.readouterr()
    ort.InferenceSession(tmp_path / "made.onnx")
    said = capfd.readouterr().err
    assert bool(said) == warned, said


def test_the_command_says_which_baseline_must_be_given(tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")

    def told(*arguments: str) -> str:
        asked = ["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "e.onnx")]
        done = CliRunner().invoke(commands, [*asked, "--mode", "deeplift", *arguments])
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    optional = told("--target", "required")
    assert "baseline/x float32[?, ?] (optional): what x is compared with, zeros if" in optional
    assert "baseline/x is an initializer" in optional and "--baseline required" in optional
    both = told()
    assert "baseline/x, target are initializers" in both and "--target required" in both
    required = told("--target", "required", "--baseline", "required")
    assert "baseline/x float32[?, ?]: what x is compared with" in required
    assert "overridden" not in required and "(optional)" not in required
