"""Mode "auto" picks by what the graph is made of, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Contrast, Explainer
from tests.graphs import FLOAT, INT64, mlp, model, node, normal


def _convolution(side: int = 5) -> onnx.ModelProto:
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"])]
    nodes += [node("GlobalAveragePool", ["r"], ["g"]), node("Flatten", ["g"], ["y"])]
    channels = 2 if side < 8 else 3  # what is smaller is no picture
    weights = {"w": normal(3, channels, 3, 3)}
    inputs = {"x": (FLOAT, ["n", channels, side, side])}
    return model(nodes, inputs, {"y": (FLOAT, ["n", 3])}, weights)


def _attention(patches: bool = False) -> onnx.ModelProto:
    """x -> softmax(x x') x; of patches of a picture, a convolution comes first."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["x", "t"], ["s"]),
        node("Softmax", ["s"], ["p"]),
        node("MatMul", ["p", "x"], ["a"]),
        node("ReduceMean", ["a", "one"], ["y"], keepdims=0),
    ]
    weights = {"one": np.array([1])}
    shape: list[Any] = ["n", 4, 3]
    if patches:
        nodes[:0] = [node("Conv", ["image", "w"], ["c"]), node("Reshape", ["c", "to"], ["x"])]
        weights |= {"w": normal(4, 2, 3, 3), "to": np.array([0, 4, 9])}
        return model(nodes, {"image": (FLOAT, ["n", 2, 5, 5])}, {"y": (FLOAT, ["n", 9])}, weights)
    return model(nodes, {"x": (FLOAT, shape)}, {"y": (FLOAT, ["n", 3])}, weights)


def _scatter() -> onnx.ModelProto:
    """A product that a scatter makes, which has no slope."""
    nodes = [
        node("ScatterElements", ["x", "at", "u"], ["h"], axis=1, reduction="mul"),
        node("Gemm", ["h", "w"], ["y"]),
    ]
    inputs = {"x": (FLOAT, [1, 4]), "at": (INT64, [1, 1]), "u": (FLOAT, [1, 1])}
    return model(nodes, inputs, {"y": (FLOAT, [1, 2])}, {"w": normal(4, 2)})


NETS = [
    (mlp(), {"x": normal(2, 4)}, "lrp", "neither attention nor convolutions"),
    (_convolution(), {"x": normal(2, 2, 5, 5)}, "cnn", "has convolutions"),
    (_attention(), {"x": normal(2, 4, 3)}, "attnlrp", "has attention"),
    (_attention(True), {"image": normal(2, 2, 5, 5)}, "attnlrp", "has attention"),
    (
        _scatter(),
        {"x": normal(1, 4), "at": np.array([[1]]), "u": normal(1, 1)},
        "default",
        "no signed mode explains ScatterElements",
    ),
]


@pytest.mark.parametrize(("net", "inputs", "picked", "why"), NETS)
def test_auto_is_the_mode_that_it_names(net: Any, inputs: Any, picked: str, why: str) -> None:
    explainer = Explainer(net)
    made = explainer.explain(inputs, mode="auto")
    assert made.mode == picked
    (note,) = (n for n in made.notes if n.text.startswith(f"mode auto picked {picked}: "))
    assert why in note.text and not note.warning
    wanted = explainer.explain(inputs, mode=picked)
    assert all(np.array_equal(r, wanted.relevance[name]) for name, r in made.relevance.items())


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_rows_of_columns_are_compared_with_each_row(engine: Any) -> None:
    explainer, x, rows = Explainer(mlp(), engine=engine), normal(3, 4), normal(5, 4, seed=1)
    made = explainer.explain(x, mode="auto", background=rows)
    wanted = explainer.explain(x, mode="deeplift", baseline=list(rows))
    assert made.mode == "deeplift"
    assert any("5 rows of the background" in note.text for note in made.notes)
    np.testing.assert_array_equal(made.relevance["x"], wanted.relevance["x"])
    given = explainer.explain(x, mode="auto", background=rows, baseline="mean")
    mean = explainer.explain(x, mode="deeplift", background=rows)
    np.testing.assert_array_equal(given.relevance["x"], mean.relevance["x"])


def test_pictures_that_are_given_are_compared_with_in_the_mean() -> None:
    explainer = Explainer(_convolution())
    shape = [n if isinstance(n, int) else 3 for n in explainer.graph.type("x").shape or ()]
    x, rows = normal(*shape), normal(*shape, seed=1)
    made = explainer.explain(x, mode="auto", background=rows)
    wanted = explainer.explain(x, mode="deeplift", baseline=rows.mean(0))
    assert made.mode == "deeplift"
    np.testing.assert_allclose(made.relevance["x"], wanted.relevance["x"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_pictures_are_compared_with_blurred_ones(engine: Any) -> None:
    explainer, x = Explainer(_convolution(8), engine=engine), normal(2, 3, 8, 8)
    made = explainer.explain(x, mode="auto")
    (note,) = (n for n in made.notes if n.text.startswith("mode auto picked deeplift: "))
    assert "blurred" in note.text and not note.warning
    wanted = explainer.explain(x, mode="deeplift", baseline="blur")
    np.testing.assert_array_equal(made.relevance["x"], wanted.relevance["x"])


def test_what_is_given_goes_before_a_blur() -> None:
    explainer, x = Explainer(_convolution(8)), normal(2, 3, 8, 8)
    made = explainer.explain(x, mode="auto", baseline="zeros")
    wanted = explainer.explain(x, mode="deeplift", baseline="zeros")
    np.testing.assert_array_equal(made.relevance["x"], wanted.relevance["x"])


def test_auto_is_compiled(tmp_path: Path) -> None:
    explainer = Explainer(_convolution())
    explainer.compile(tmp_path / "auto.onnx", mode="auto")
    explainer.compile(tmp_path / "cnn.onnx", mode="cnn")
    assert (tmp_path / "auto.onnx").read_bytes() == (tmp_path / "cnn.onnx").read_bytes()


def test_two_answers_are_set_against_each_other_in_a_mode_that_knows_signs() -> None:
    explainer, x = Explainer(mlp()), normal(2, 4)
    made = explainer.explain(x, mode="auto", start=Contrast(1, 0))
    both = [explainer.explain(x, mode="lrp", target=i).relevance["x"] for i in (1, 0)]
    assert made.mode == "lrp"
    np.testing.assert_allclose(made.relevance["x"], both[0] - both[1], rtol=1e-4, atol=1e-6)


def test_where_no_signed_mode_explains_two_answers_are_contrasted() -> None:
    _, inputs, _, why = NETS[-1]
    made = Explainer(_scatter()).explain(inputs, mode="auto", start=Contrast(1, 0))
    assert made.mode == "contrastive"
    assert any(note.text == f"mode auto picked contrastive: {why}" for note in made.notes)


def test_a_model_that_reads_nothing_is_not_made_of_trees(tmp_path: Path) -> None:
    drawn = model([node("RandomNormal", [], ["y"], shape=[1, 3])], {}, {"y": (FLOAT, [1, 3])})
    notes = Explainer(drawn).compile(tmp_path / "m.onnx", mode="auto")
    assert notes and not any("trees" in str(note) for note in notes)
