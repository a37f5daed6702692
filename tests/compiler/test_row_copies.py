"""Files that compare with several rows: what the eager engine finds, in batches of any size."""

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
ROWS = normal(6, 4, seed=3)


def run(path: Path, **feeds: Array) -> dict[str, Array]:
    onnx.checker.check_model(str(path), full_check=True)
    session = ort.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def close(found: Array, expected: Array) -> None:
    assert np.abs(expected).max() > 0 and found.shape == expected.shape
    assert np.abs(found - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    "how",
    [
        {"mode": "auto", "background": ROWS},
        {"mode": "deeplift", "background": ROWS, "baseline": "rows"},
        {"mode": "deeplift", "background": ROWS},
        {"mode": "deeplift", "baseline": [*ROWS]},
        {"mode": "deeplift", "baseline": [{"x": ROWS[0]}, {"x": 0.5}]},
        {"mode": "deeplift", "baseline": [*ROWS[:1]]},
        {"mode": "auto", "baseline": "mean", "background": {"x": ROWS}},
    ],
)
def test_what_is_explained_with_them(how: dict[str, Any], tmp_path: Path) -> None:
    explainer, path = Explainer(mlp()), tmp_path / "rows.onnx"
    explainer.compile(path, **how, target="required")
    for count in (1, 3):
        x, target = normal(count, 4, seed=9), np.arange(count) % 3
        wanted = explainer.explain(x, **how, target=target)
        found = run(path, x=x, target=target)
        close(found["relevance/x"], wanted.relevance["x"])
        close(found["y"], wanted.outputs["y"])
        assert [value.name for value in onnx.load(path).graph.input] == ["x", "target"]


def test_every_way_to_say_what_is_explained(tmp_path: Path) -> None:
    explainer, path, x = Explainer(mlp()), tmp_path / "rows.onnx", normal(3, 4, seed=9)
    how: dict[str, Any] = {"mode": "deeplift", "baseline": [*ROWS]}
    explainer.compile(path, **how)
    largest = explainer.explain(x, **how).relevance["x"]
    close(run(path, x=x)["relevance/x"], largest)
    close(run(path, x=x, target=np.array([-1, -1, -1]))["relevance/x"], largest)
    explainer.compile(path, **how, target=1)
    close(run(path, x=x)["relevance/x"], explainer.explain(x, **how, target=1).relevance["x"])
    explainer.compile(path, **how, target="several")
    found = run(path, x=x, targets=np.array([[0, 1, 2], [2, 2, 2]]))["relevance/x"]
    for own, target in zip(found, ([0, 1, 2], [2, 2, 2]), strict=True):
        close(own, explainer.explain(x, **how, target=target).relevance["x"])
    explainer.compile(path, **how, start=True)
    start = normal(3, 3, seed=8)
    close(run(path, x=x, start=start)["relevance/x"],
          explainer.explain(x, **how, start=start).relevance["x"])  # fmt: skip


def test_samples_that_lie_second_and_tensors_inside(tmp_path: Path) -> None:
    """A cell reads [steps, samples, ...]; a mask of integers goes with each sample."""
    nodes = [
        node("RNN", ["x", "W", "R"], ["h", "last"], "cell", hidden_size=3),
        node("Squeeze", ["last", "zero"], ["s"], "squeeze"),
        node("Cast", ["m"], ["f"], "cast", to=FLOAT),
        node("Mul", ["s", "f"], ["g"], "mask"),
        node("MatMul", ["g", "V"], ["y"], "fc"),
    ]
    weights = {"W": normal(1, 3, 4, seed=1), "R": normal(1, 3, 3, seed=2), "V": normal(3, 2)}
    inputs = {"x": (FLOAT, ["t", "n", 4]), "m": (INT64, ["n", 3])}
    made = model(nodes, inputs, {"y": (FLOAT, ["n", 2])}, weights | {"zero": np.array([0])})
    explainer, path = Explainer(made), tmp_path / "rows.onnx"
    rows = [{"x": normal(5, 1, 4, seed=i)} for i in range(3)]
    x, m = normal(5, 2, 4, seed=9), np.array([[1, 0, 1], [1, 1, 1]])
    keep = ["x", "s"]
    explainer.compile(path, mode="deeplift", baseline=rows, target="required", tensors=keep)
    found = run(path, x=x, m=m, target=np.array([1, 0]))
    wide = [{"x": np.broadcast_to(row["x"], x.shape)} for row in rows]
    how: dict[str, Any] = {"mode": "deeplift", "baseline": wide, "keep": keep, "target": [1, 0]}
    wanted = explainer.explain({"x": x, "m": m}, **how).relevance
    for name in keep:
        close(found[f"relevance/{name}"], wanted[name])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"mode": "integrated_gradients", "baseline": [*ROWS]}, "with one baseline; deeplift take"),
        ({"mode": "deeplift", "baseline": "rows"}, "baseline 'rows' is of a background"),
        ({"mode": "deeplift", "baseline": 0, "background": ROWS}, "and another one is given"),
        ({"mode": "deeplift", "baseline": ROWS}, r"\(6, 4\), does not fit .* are a list"),
        ({"mode": "deeplift", "baseline": []}, "several are a list"),
        ({"mode": "deeplift", "baseline": [ROWS[0], "required"]}, "several are a list"),
        ({"mode": "deeplift", "background": ROWS[:, :3]}, "does not fit"),
        ({"mode": "lrp", "background": ROWS}, "compiles without a background"),
    ],
)
def test_what_does_not_fit_is_said(how: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=said):
        Explainer(mlp()).compile(tmp_path / "made.onnx", **how)
    assert not (tmp_path / "made.onnx").exists()


def test_a_batch_of_one_size_takes_one_baseline(tmp_path: Path) -> None:
    made = model([node("MatMul", ["x", "V"], ["y"], "fc")], {"x": (FLOAT, [2, 4])},
                 {"y": (FLOAT, [2, 3])}, {"V": normal(4, 3)})  # fmt: skip
    explainer, path = Explainer(made), tmp_path / "made.onnx"
    with pytest.raises(RequestError, match=r"'x', of shape \(2, 4\), has no axis of any number"):
        explainer.compile(path, mode="deeplift", baseline=[*ROWS])
    explainer.compile(path, mode="deeplift", baseline=ROWS[:2])
    x = normal(2, 4, seed=9)
    wanted = explainer.explain(x, mode="deeplift", baseline=ROWS[:2])
    close(run(path, x=x)["relevance/x"], wanted.relevance["x"])
