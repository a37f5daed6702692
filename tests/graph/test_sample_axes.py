"""Where the samples of a batch lie: relevance and books of a batch are those of its samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.graph.graph import SampleAxis
from backtrace_onnx.graph.merged_axes import merge
from tests.graphs import FLOAT, check_closed, check_samples, mlp, model, node, normal

MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
W, B = normal(4, 3), normal(3, seed=1)
WEIGHTS = {"w": W, "b": B}
CORE = [
    node("MatMul", ["t", "w"], ["h"]),
    node("Add", ["h", "b"], ["s"]),
    node("Relu", ["s"], ["r"]),
]


def _between(
    before: list[onnx.NodeProto], after: list[onnx.NodeProto], **shapes: list[int]
) -> onnx.ModelProto:
    """x[N, 5, 4] -> before -> t -> MatMul, Add, Relu -> r -> after -> y[N, 5, 3]."""
    weights = {**WEIGHTS, **{name: np.array(s) for name, s in shapes.items()}}
    inputs, outputs = {"x": (FLOAT, ["N", 5, 4])}, {"y": (FLOAT, ["N", 5, 3])}
    return model([*before, *CORE, *after], inputs, outputs, weights)


MODELS = {
    "samples first": _between([node("Identity", ["x"], ["t"])], [node("Identity", ["r"], ["y"])]),
    "samples second": _between(
        [node("Transpose", ["x"], ["t"], perm=[1, 0, 2])],
        [node("Transpose", ["r"], ["y"], perm=[1, 0, 2])],
    ),
    "samples last": _between(
        [
            node("Transpose", ["x"], ["q"], perm=[1, 2, 0]),
            node("Transpose", ["q"], ["t"], perm=[2, 0, 1]),
        ],
        [node("Identity", ["r"], ["y"])],
    ),
    "samples before steps": _between(
        [node("Reshape", ["x", "in"], ["t"])],
        [node("Reshape", ["r", "out"], ["y"])],
        **{"in": [-1, 4], "out": [-1, 5, 3]},
    ),
    "steps before samples": _between(
        [
            node("Transpose", ["x"], ["q"], perm=[1, 0, 2]),
            node("Reshape", ["q", "in"], ["t"]),
        ],
        [
            node("Reshape", ["r", "out"], ["p"]),
            node("Transpose", ["p"], ["y"], perm=[1, 0, 2]),
        ],
        **{"in": [-1, 4], "out": [5, -1, 3]},
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layout", MODELS)
def test_a_batch_is_its_samples(layout: str, mode: str) -> None:
    check_samples(MODELS[layout], normal(3, 5, 4, seed=3), mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_plain_batch_is_its_samples(mode: str) -> None:
    check_samples(mlp(), normal(7, 4, seed=3), mode=mode)


@pytest.mark.parametrize("layout", MODELS)
def test_the_compiled_books_are_the_eager_ones(layout: str) -> None:
    x = normal(3, 5, 4, seed=3)
    eager = Explainer(MODELS[layout]).explain(x).ledger.total()
    compiled = Explainer(MODELS[layout], engine="onnxruntime").explain(x).ledger.total()
    for kind in ("start", "inputs", "constants", "unassigned"):
        assert np.allclose(getattr(eager, kind), getattr(compiled, kind), atol=1e-4), kind


STEPS_FIRST = model(
    [
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "b"], ["s"]),
        node("Relu", ["s"], ["y"]),
    ],
    {"x": (FLOAT, ["steps", "batch", 4])},
    {"y": (FLOAT, ["steps", "batch", 3])},
    WEIGHTS,
)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", [None, (2, 1), [0, 4, 7]])
def test_samples_of_an_output_may_lie_along_its_second_axis(
    engine: Any, mode: str, target: Any
) -> None:
    x = normal(5, 3, 4, seed=3)
    explainer = Explainer(STEPS_FIRST, engine=engine)
    together = explainer.explain(x, mode=mode, target=target)
    check_closed(together)
    assert together.ledger.total().start.shape[1] == 3
    for k in range(3):
        own = [target[k]] if isinstance(target, list) else target
        alone = explainer.explain(x[:, k : k + 1], mode=mode, target=own)
        wanted = alone.relevance["x"][:, 0]
        assert np.allclose(together.relevance["x"][:, k], wanted, atol=1e-6)


def test_a_fixed_batch_is_explained_sample_by_sample() -> None:
    inputs, outputs = {"x": (FLOAT, [3, 4])}, {"y": (FLOAT, [3, 3])}
    fixed = model([node("MatMul", ["x", "w"], ["y"])], inputs, outputs, {"w": W})
    open_ = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": W},
    )
    x = normal(3, 4, seed=3)
    found, wanted = Explainer(fixed).explain(x), Explainer(open_).explain(x)
    assert np.array_equal(found.relevance["x"], wanted.relevance["x"])
    assert found.target is not None
    assert wanted.target is not None
    assert found.target.tolist() == wanted.target.tolist()
    check_closed(found)


def test_samples_that_meet_in_one_number_are_one_sample() -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["h"]), node("ReduceSum", ["h"], ["y"], keepdims=0)],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, [])},
        {"w": W},
    )
    found = Explainer(proto).explain(normal(3, 4))
    assert found.ledger.total().start.shape == (1, 1)
    check_closed(found)


def test_an_input_for_all_samples_is_booked_to_all_alike() -> None:
    proto = model(
        [node("Add", ["x", "k"], ["y"])],
        {"x": (FLOAT, ["N", 4]), "k": (FLOAT, [1, 4])},
        {"y": (FLOAT, ["N", 4])},
    )
    found = Explainer(proto).explain({"x": normal(3, 4), "k": normal(1, 4, seed=9)})
    total = found.ledger.total()
    assert np.isclose(total.start.sum(), total.inputs.sum())


@pytest.mark.parametrize(
    ("before", "axis", "after", "wanted"),
    [
        (("N", 5, 4), SampleAxis(0, alone=True), (None, 4), (0, 0)),
        ((5, "N", 4), SampleAxis(1, alone=True), (None, 4), (0, 1)),
        ((5, "N", 4), SampleAxis(1, alone=True), (5, None, 2), (1, 2)),
        ((5, "N", 3, 4), SampleAxis(1, alone=True), (None, 4), (0, 3)),
        ((None, 4), SampleAxis(0, 1), (5, None, 4), (1, 1)),
        (("N", 12), SampleAxis(0, alone=True), (1, None, 3, 4), (1, 0)),
    ],
)
def test_where_samples_lie_after_a_reshape(
    before: tuple[int | str | None, ...],
    axis: SampleAxis,
    after: tuple[int | str | None, ...],
    wanted: tuple[int, int],
) -> None:
    found = merge(before, axis, after)
    assert found is not None
    assert (int(found), found.inner) == wanted


def test_what_cannot_be_told_is_not_guessed() -> None:
    assert merge(("T", "N", None, 4), SampleAxis(1, alone=True), (None, 4)) is None
    assert merge((5, "N", 4), SampleAxis(1, alone=True), (None, None)) is None
