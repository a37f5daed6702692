"""Explanations of models whose weights are drawn anew, and of other classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from backtrace_onnx import Explainer, RequestError, metrics
from tests.graphs import FLOAT, mlp, model, node, normal

X = normal(3, 4, seed=3)


def _explain(of: Any, x: Any) -> Any:
    return Explainer(of).explain(x, mode="gradient_x_input", target=1).relevance["x"]


@pytest.mark.parametrize(
    ("order", "nodes"),
    [
        ("top_down", ["fc2", "fc1"]),
        ("bottom_up", ["fc1", "fc2"]),
        ("independent", ["fc2", "fc1"]),
    ],
)
def test_weights_are_drawn_node_by_node(order: Any, nodes: list[str]) -> None:
    plain = {w.name: numpy_helper.to_array(w) for w in mlp().graph.initializer}
    of = {n.name: [name for name in n.input if name in plain] for n in mlp().graph.node}
    found = list(metrics.randomised_models(mlp(), order=order))
    assert [name for name, _ in found] == nodes
    for k, (name, proto) in enumerate(found):
        new = {w.name: numpy_helper.to_array(w) for w in proto.graph.initializer}
        assert new.keys() == plain.keys()
        changed = {n for n in plain if not np.array_equal(new[n], plain[n])}
        drawn = nodes[: k + 1] if order != "independent" else [name]
        assert changed == {w for layer in drawn for w in of[layer] if plain[w].ndim > 1}
    again = list(metrics.randomised_models(mlp(), order=order))
    assert all(a == b for (_, a), (_, b) in zip(found, again, strict=True))


def test_an_explanation_of_learned_weights_changes_and_a_constant_one_does_not() -> None:
    made = metrics.model_randomisation(_explain, mlp(), X)
    assert made.nodes == ("fc2", "fc1") and made.similarity.shape == (2, 3)
    assert (made.similarity < 1).any()
    still = metrics.model_randomisation(lambda of, x: np.abs(x), mlp(), X)
    assert (still.similarity == 1).all() and (still.rise == 0).all()
    smooth = metrics.model_randomisation(_explain, mlp(), X, noisy=3, noise=0.1)
    assert not np.array_equal(smooth.similarity, made.similarity)


def test_noise_is_in_parts_of_a_samples_own_range() -> None:
    x = X * np.array([[1], [100], [0.01]], np.float32)
    asked: Any = {"noisy": 3, "noise": 0.1}
    together = metrics.model_randomisation(_explain, mlp(), x, **asked)
    for k in range(3):
        alone = metrics.model_randomisation(_explain, mlp(), x[k : k + 1], **asked)
        np.testing.assert_allclose(together.similarity[:, k], alone.similarity[:, 0])
        np.testing.assert_allclose(together.rise[k], alone.rise[0], rtol=1e-4)
    single = metrics.model_randomisation(_explain, mlp(), x, noise=0.1)  # is the sample as it is
    plain = metrics.model_randomisation(_explain, mlp(), x)
    np.testing.assert_array_equal(single.similarity, plain.similarity)


def test_similarity_is_a_rank_correlation_with_ties() -> None:
    a = [[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0, 3.0], [5.0, 5.0, 5.0, 5.0]]
    b = [[10.0, 20.0, 30.0, 99.0], [4.0, 4.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0]]
    np.testing.assert_allclose(metrics.similarity(a, b), [1, -1, 0])
    np.testing.assert_allclose(metrics.similarity([[1.0, 2.0, 3.0]], [[1.0, 3.0, 2.0]]), 0.5)


def test_class_sensitivity() -> None:
    a = [[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    b = [[2.0, 0.0], [-1.0, -1.0], [0.0, 3.0], [1.0, 0.0]]
    np.testing.assert_allclose(metrics.class_sensitivity(a, b), [0, 2, 1, np.nan], atol=1e-12)


def test_a_model_without_weights_is_said_to_have_none() -> None:
    proto = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, [1])}, {"y": (FLOAT, [1])})
    with pytest.raises(RequestError, match="no node of it has weights"):
        next(metrics.randomised_models(proto))
    with pytest.raises(RequestError, match="order is top_down"):
        next(metrics.randomised_models(mlp(), order="sideways"))  # type: ignore[arg-type]
