"""Visits counted with data, against those that scikit-learn and plain walks know."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, RequestError, count_visits
from tests.cases import Array, generator
from tests.graphs import mlp
from tests.rules.trees import Tree, ensemble, grow, listed, nodes


def walked(tree: Tree, x: Array) -> list[float]:
    """How often each node of a tree is visited, in the order of `nodes`."""
    for row in x:
        here = tree
        here.hits += 1
        while here.yes is not None:
            here = here.asks(row)
            here.hits += 1
    return [node.hits - 1 for node in nodes(tree)]


def hits(proto: onnx.ModelProto) -> list[float]:
    (found,) = (a.floats for a in proto.graph.node[0].attribute if a.name == "nodes_hitrates")
    return list(found)


@pytest.mark.parametrize("double", [False, True])
def test_every_node_is_counted(double: bool) -> None:
    rng = generator("visits")
    trees = [grow(rng, 4, 3, [0]) for _ in range(3)]
    x = rng.normal(size=(50, 3)).astype(np.float64 if double else np.float32)
    proto = ensemble(
        "TreeEnsembleRegressor",
        {**listed(trees, "target", double=double), "n_targets": 1},
        3,
        x=onnx.helper.np_dtype_to_tensor_dtype(x.dtype),
    )
    counted = count_visits(proto, {"x": x})
    assert hits(counted) == [n for tree in trees for n in walked(tree, x)]
    old, new = (Explainer(p).explain(x[:5], task="regression") for p in (proto, counted))
    np.testing.assert_array_equal(old.outputs["y"], new.outputs["y"])
    assert np.abs(old.relevance["x"] - new.relevance["x"]).max() > 0


def test_counted_with_its_training_data_a_tree_is_explained_as_by_its_trainer() -> None:
    """Saabas' attribution with scikit-learn's own counts."""
    linear = pytest.importorskip("sklearn.tree")
    skl2onnx = pytest.importorskip("skl2onnx")
    rng = generator("trainer")
    x = rng.normal(size=(200, 4)).astype(np.float32)
    y = x[:, 0] * (x[:, 1] > 1) + x[:, 2]
    fitted = linear.DecisionTreeRegressor(max_depth=5, random_state=0).fit(x, y)
    proto = skl2onnx.to_onnx(fitted, x[:1], target_opset={"": 18, "ai.onnx.ml": 3})
    name = proto.graph.input[0].name
    want, tree = np.zeros((5, 4)), fitted.tree_
    for row, sample in zip(want, x[:5], strict=True):
        here = 0
        while tree.children_left[here] >= 0:
            left = sample[tree.feature[here]] <= tree.threshold[here]
            after = tree.children_left[here] if left else tree.children_right[here]
            row[tree.feature[here]] += tree.value[after, 0, 0] - tree.value[here, 0, 0]
            here = after
    counted = count_visits(proto, {name: x})
    got = (
        Explainer(counted)
        .explain(x[:5], mode="epsilon(absolute=1e-6)", task="regression")
        .relevance[name]
    )
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_models_without_trees_are_refused() -> None:
    with pytest.raises(RequestError, match="no TreeEnsemble"):
        count_visits(mlp(), {"x": np.zeros((1, 4), np.float32)})
