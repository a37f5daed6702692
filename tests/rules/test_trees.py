"""Tree ensembles against a walk through every tree, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from backtrace_onnx import Explainer, InputError, ModelError, UnsupportedError
from tests.cases import Array, Case, channels, generator, starts
from tests.checks import CANCELS, assert_close, check_batch, check_compiled, check_ledger
from tests.checks import MODES as POLICIES
from tests.dense_oracle import share
from tests.rules.trees import (
    MODES,
    Tree,
    attribution,
    ensemble,
    grow,
    listed,
    nodes,
    rooted,
)

FEATURES = 5
SPLITS = MODES[:6]


def inputs(n: int = 6, seed: object = 0, features: int = FEATURES) -> Array:
    """Whole and broken numbers: some equal what splits ask for."""
    rng = generator("inputs", seed)
    x = rng.normal(size=(n, features))
    return np.where(rng.random(x.shape) < 0.4, np.round(x), x).astype(np.float32)


def forest(n: int, targets: Sequence[int], modes: Sequence[str] = SPLITS, **how: Any) -> list[Tree]:
    rng = generator("forest", n, tuple(targets))
    return [grow(rng, 4, FEATURES, targets, modes, **how) for _ in range(n)]


def check(
    case: Case,
    c: Array,
    bias: Array,
    folder: Path,
    *,
    gate: tuple[float, float] | None = None,
) -> None:
    """Every mode gives what the policy makes of contributions c[samples, units, features]."""
    for mode in POLICIES:
        r = starts(case, mode)
        got = case.explain(mode, r)
        want = [
            share(mode, one, bias, [x[k] for x in r], gate if mode == "default" else None)
            for k, one in enumerate(c)
        ]
        stacked = [np.stack(parts) for parts in zip(*want, strict=True)]
        assert_close(channels(got, "x"), stacked, 2e-5 * CANCELS.get(mode, 1), mode)
        check_ledger(got, each=True)
        check_compiled(case, mode, r, got, folder, 2e-5 * CANCELS.get(mode, 1))


@pytest.mark.parametrize("targets", [1, 3])
def test_a_regressor_shares_among_the_changes_on_its_paths(targets: int, tmp_path: Path) -> None:
    trees, x = forest(7, range(targets)), inputs()
    base = [0.5, -1.0, 2.0][:targets]
    proto = ensemble(
        "TreeEnsembleRegressor",
        {**listed(trees, "target"), "n_targets": targets, "base_values": base},
        FEATURES,
    )
    case = Case(proto, {"x": x})
    c, bias = attribution(trees, x, targets)
    np.testing.assert_allclose(c.sum(2) + bias + base, case.y, rtol=1e-4, atol=1e-5)
    check(case, c, bias + base, tmp_path)


def test_samples_of_a_batch_get_what_they_get_alone(tmp_path: Path) -> None:
    trees = forest(5, range(2))
    proto = ensemble("TreeEnsembleRegressor", {**listed(trees, "target"), "n_targets": 2}, FEATURES)
    for mode in ("default", "contrastive"):
        check_batch(Case(proto, {"x": inputs(3)}), mode, tmp_path)


def test_average_is_a_sum_of_shares(tmp_path: Path) -> None:
    trees, x = forest(4, [0]), inputs()
    attributes = {**listed(trees, "target"), "n_targets": 1, "aggregate_function": "AVERAGE"}
    case = Case(ensemble("TreeEnsembleRegressor", attributes, FEATURES), {"x": x})
    c, bias = attribution(trees, x, 1)
    np.testing.assert_allclose((c.sum(2) + bias) / 4, case.y, rtol=1e-4, atol=1e-5)
    check(case, c / 4, bias / 4, tmp_path)


@pytest.mark.parametrize("choice", ["MIN", "MAX"])
def test_the_winning_tree_takes_all(choice: str, tmp_path: Path) -> None:
    trees, x = forest(4, range(2)), inputs()
    attributes = {**listed(trees, "target"), "n_targets": 2, "aggregate_function": choice}
    attributes["base_values"] = [0.25, -0.5]
    case = Case(ensemble("TreeEnsembleRegressor", attributes, FEATURES), {"x": x})
    each = [attribution([tree], x, 2) for tree in trees]
    answers = np.stack([c.sum(2) + bias for c, bias in each])
    best = answers.argmin(0) if choice == "MIN" else answers.argmax(0)
    rows, units = np.indices(best.shape)
    c = np.stack([c for c, _ in each])[best, rows, units]
    bias = np.stack([np.broadcast_to(b, best.shape) for _, b in each])[best, rows, units]
    bias = bias + np.array([0.25, -0.5])
    np.testing.assert_allclose(c.sum(2) + bias, case.y, rtol=1e-4, atol=1e-5)
    for mode in POLICIES:
        r = starts(case, mode)
        got = case.explain(mode, r)
        want = [share(mode, one, bias[k], [x[k] for x in r]) for k, one in enumerate(c)]
        assert_close(channels(got, "x"), [np.stack(w) for w in zip(*want, strict=True)], 1e-4, mode)
        check_ledger(got, each=True)
        check_compiled(case, mode, r, got, tmp_path, 1e-4)


def test_twin_trees_that_win_together_share_alike() -> None:
    tree = forest(1, [0])[0]
    x = inputs(1)
    attributes = {"n_targets": 1, "aggregate_function": "MAX"}
    one, two = (
        Explainer(
            ensemble("TreeEnsembleRegressor", {**listed(t, "target"), **attributes}, FEATURES)
        ).explain(x, task="regression")
        for t in ([tree], [tree, tree])
    )
    np.testing.assert_allclose(one.relevance["x"], two.relevance["x"], rtol=1e-6)


def test_hit_rates_weigh_the_expectations(tmp_path: Path) -> None:
    trees, x = forest(3, [0]), inputs()
    rng = generator("hits")
    for tree in trees:
        for node in reversed(nodes(tree)):
            ways = (node.yes, node.no)
            node.hits = sum(w.hits for w in ways if w) if node.yes else float(rng.integers(1, 50))
    case = Case(
        ensemble("TreeEnsembleRegressor", {**listed(trees, "target"), "n_targets": 1}, FEATURES),
        {"x": x},
    )
    check(case, *attribution(trees, x, 1), tmp_path)


def test_thresholds_are_compared_in_double_where_the_model_does(tmp_path: Path) -> None:
    trees = forest(6, [0], ("LEQ",))
    x = inputs(8).astype(np.float64)
    for row, tree in zip(x, trees, strict=False):  # a hair beside a threshold that float32 loses
        if tree.yes is not None:
            row[tree.feature] = np.nextafter(tree.value, np.inf)
    attributes = {**listed(trees, "target", double=True), "n_targets": 1}
    proto = ensemble("TreeEnsembleRegressor", attributes, FEATURES, x=TensorProto.DOUBLE)
    case = Case(proto, {"x": x})
    c, bias = attribution(trees, x, 1)
    np.testing.assert_allclose(c.sum(2) + bias, case.y, rtol=1e-4, atol=1e-5)
    check(case, c, bias, tmp_path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trees_numbered_by_root(dtype: Any, tmp_path: Path) -> None:
    rng = generator("rooted")
    trees = []
    while len(trees) < 6:
        tree = grow(rng, 4, FEATURES, [len(trees) % 2], MODES)
        trees += [tree] if tree.yes is not None else []
    element = TensorProto.FLOAT if dtype == np.float32 else TensorProto.DOUBLE
    attributes = {**rooted(trees, dtype), "n_targets": 2}
    proto = ensemble("TreeEnsemble", attributes, FEATURES, version=5, x=element, y=element)
    x = np.abs(np.round(inputs(8) * 2)).astype(dtype)  # onnxruntime: members are whole numbers
    case = Case(proto, {"x": x})
    c, bias = attribution(trees, x, 2)
    np.testing.assert_allclose(c.sum(2) + bias, case.y, rtol=1e-4, atol=1e-5)
    check(case, c, bias, tmp_path)


def test_membership_written_as_a_chain_is_one_split() -> None:
    leaves = [Tree([(0, 1.0)]), Tree([(0, 5.0)])]
    split = Tree(feature=1, mode="MEMBER", members=(1.0, 2.0, 4.0), yes=leaves[0], no=leaves[1])
    rows = {
        "nodes_treeids": [0] * 5,
        "nodes_nodeids": [0, 1, 2, 3, 4],
        "nodes_featureids": [1] * 5,
        "nodes_modes": ["BRANCH_EQ"] * 3 + ["LEAF"] * 2,
        "nodes_values": [1.0, 2.0, 4.0, 0.0, 0.0],
        "nodes_truenodeids": [3, 3, 3, 0, 0],
        "nodes_falsenodeids": [1, 2, 4, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [3, 4],
        "target_ids": [0, 0],
        "target_weights": [1.0, 5.0],
        "n_targets": 1,
    }
    x = np.array([[0, 1], [0, 2], [0, 4], [0, 3]], np.float32)
    case = Case(ensemble("TreeEnsembleRegressor", rows, 2), {"x": x})
    c, bias = attribution([split], x, 1)
    assert bias == 3.0
    np.testing.assert_allclose(c.sum(2) + bias, case.y)
    got = case.explain("epsilon(absolute=1e-6)", [case.y])
    np.testing.assert_allclose(got.relevance["x"], c[:, 0], rtol=1e-5)


def test_trees_of_one_leaf_are_all_bias() -> None:
    attributes = {**listed([Tree([(0, 2.0)])], "target"), "n_targets": 1}
    x = inputs(2)
    got = Explainer(ensemble("TreeEnsembleRegressor", attributes, FEATURES)).explain(x)
    assert not got.relevance["x"].any()
    assert got.ledger.total().constants.sum() == 4.0


# Classifiers ----------------------------------------------------------------------------------


def classified(trees: Sequence[Tree], classes: int, **attributes: Any) -> onnx.ModelProto:
    made = {**listed(trees, "class"), "classlabels_int64s": list(range(classes)), **attributes}
    made = {name: value for name, value in made.items() if value != []}
    return ensemble("TreeEnsembleClassifier", made, FEATURES)


GATE = {"LOGISTIC": (-4.0, 4.0), "SOFTMAX": (-1.0, 2.0)}


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("classes", [2, 3])
def test_scores_of_a_classifier(classes: int, transform: str, tmp_path: Path) -> None:
    trees, x = forest(5, range(classes)), inputs()
    base = [] if classes == 2 else [0.5, 0.0, -0.5]
    proto = classified(trees, classes, post_transform=transform, base_values=base)
    c, bias = attribution(trees, x, classes)
    bias = bias + (base or 0.0)
    check(Case(proto, {"x": x}), c, bias, tmp_path, gate=GATE.get(transform))


@pytest.mark.parametrize("base", [[], [0.25]])
def test_one_vote_for_two_classes_as_probability(base: list[float], tmp_path: Path) -> None:
    trees, x = forest(3, [0], positive=True), inputs()
    case = Case(classified(trees, 2, base_values=base), {"x": x})
    c, bias = attribution(trees, x, 1)
    bias = bias + sum(base)
    both = np.concatenate([-c, c], axis=1)
    shift = np.array([1 - bias[0], bias[0]])
    np.testing.assert_allclose(both.sum(2) + shift, case.y, rtol=1e-4, atol=1e-5)
    check(case, both, shift, tmp_path)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
def test_one_vote_for_two_classes_as_score(transform: str, tmp_path: Path) -> None:
    trees, x = forest(3, [0]), inputs()
    case = Case(classified(trees, 2, base_values=[0.25], post_transform=transform), {"x": x})
    c, bias = attribution(trees, x, 1)
    score = c.sum(2)[:, 0] + bias[0] + 0.25
    told = 1 / (1 + np.exp(-score)) if transform == "LOGISTIC" else score
    np.testing.assert_allclose(told, case.y[:, 1], rtol=1e-4, atol=1e-5)
    both, shift = np.concatenate([-c, c], axis=1), np.array([-1, 1]) * (bias + 0.25)
    check(case, both, shift, tmp_path, gate=GATE.get(transform))


def test_votes_for_the_second_class_only(tmp_path: Path) -> None:
    trees, x = forest(3, [1]), inputs()
    case = Case(classified(trees, 2, base_values=[0.25]), {"x": x})
    c, bias = attribution(trees, x, 2)
    np.testing.assert_allclose(c.sum(2) + bias, case.y, rtol=1e-4, atol=1e-5)
    check(case, c, bias, tmp_path)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float64])
def test_a_classifier_of_other_numbers(dtype: Any) -> None:
    trees = forest(4, range(3))
    made = {**listed(trees, "class"), "classlabels_int64s": [0, 1, 2]}
    element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x = np.round(inputs() * 2).astype(dtype)
    case = Case(ensemble("TreeEnsembleClassifier", made, FEATURES, x=element), {"x": x})
    c, bias = attribution(trees, x.astype(np.float64), 3)
    r = starts(case, "default")
    want = np.stack([share("default", one, bias, [r[0][k]])[0] for k, one in enumerate(c)])
    assert_close(channels(case.explain("default", r), "x"), [want], 1e-5)


def test_missing_values_go_the_way_the_split_says(tmp_path: Path) -> None:
    trees, x = forest(5, [0]), inputs()
    x[generator("missing").random(x.shape) < 0.4] = np.nan
    proto = ensemble("TreeEnsembleRegressor", {**listed(trees, "target"), "n_targets": 1}, FEATURES)
    case = Case(proto, {"x": x})
    c, bias = attribution(trees, x, 1)
    np.testing.assert_allclose(c.sum(2) + bias, case.y, rtol=1e-4, atol=1e-5)
    check(case, c, bias, tmp_path)


def test_missing_values_are_for_trees_alone() -> None:
    trees = forest(2, [0])
    proto = ensemble("TreeEnsembleRegressor", {**listed(trees, "target"), "n_targets": 1}, FEATURES)
    x = inputs(2)
    x[0, 0] = np.inf
    with pytest.raises(InputError, match=r"first at \(0, 0\)"):
        Explainer(proto).explain(x)
    proto.graph.node.append(onnx.helper.make_node("ReduceSum", ["x"], ["z"], "sum"))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    x[0, 0] = np.nan
    with pytest.raises(InputError, match=r"first at \(0, 0\)"):
        Explainer(proto).explain(x)


def test_a_model_that_imports_no_other_operators(tmp_path: Path) -> None:
    trees = forest(2, [0])
    proto = ensemble("TreeEnsembleRegressor", {**listed(trees, "target"), "n_targets": 1}, FEATURES)
    del proto.opset_import[0]
    assert [o.domain for o in proto.opset_import] == ["ai.onnx.ml"]
    x = inputs()
    check(Case(proto, {"x": x}), *attribution(trees, x, 1), tmp_path)


# The same function, the same explanation ------------------------------------------------------


def followed(proto: onnx.ModelProto, op_type: str) -> onnx.ModelProto:
    """The model with an activation behind y, which is then named z."""
    proto.graph.node.append(onnx.helper.make_node(op_type, ["y"], ["z"], op_type))
    proto.graph.output[0].name = "z"
    return proto


def alike(first: onnx.ModelProto, second: onnx.ModelProto, x: Array) -> None:
    explainers = Explainer(first), Explainer(second)
    start = inputs(len(x), "start", 2)
    for mode in POLICIES:
        pair = (np.abs(start), np.abs(start[::-1])) if mode == "contrastive" else start
        a, b = (e.explain(x, mode=mode, start=pair).relevance["x"] for e in explainers)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(a).max())


@pytest.mark.parametrize(
    ("transform", "op_type"), [("LOGISTIC", "Sigmoid"), ("SOFTMAX", "Softmax")]
)
def test_an_activation_within_is_one_behind(transform: str, op_type: str) -> None:
    trees, x = forest(5, range(2)), inputs()
    attributes = {**listed(trees, "target"), "n_targets": 2}
    plain = ensemble("TreeEnsembleRegressor", attributes, FEATURES)
    within = ensemble(
        "TreeEnsembleRegressor", {**attributes, "post_transform": transform}, FEATURES
    )
    alike(within, followed(plain, op_type), x)


def test_a_regressor_is_a_classifier_without_labels() -> None:
    trees, x = forest(5, range(2)), inputs()
    one = ensemble("TreeEnsembleRegressor", {**listed(trees, "target"), "n_targets": 2}, FEATURES)
    alike(one, classified(trees, 2), x)


def test_trees_numbered_by_root_are_the_same_trees() -> None:
    rng = generator("both")
    trees: list[Tree] = []
    while len(trees) < 4:
        tree = grow(rng, 3, FEATURES, [len(trees) % 2], SPLITS)
        trees += [tree] if tree.yes is not None else []
    old = ensemble("TreeEnsembleRegressor", {**listed(trees, "target"), "n_targets": 2}, FEATURES)
    new = ensemble("TreeEnsemble", {**rooted(trees), "n_targets": 2}, FEATURES, version=5)
    alike(old, new, inputs())


def test_one_vote_mirrored_is_two_votes() -> None:
    trees, x = forest(4, [0]), inputs()
    one = classified(trees, 2, post_transform="LOGISTIC")
    for tree in trees:
        for leaf in tree.leaves():
            ((_, weight),) = leaf.votes
            leaf.votes = [(0, -weight), (1, weight)]
    alike(one, classified(trees, 2, post_transform="LOGISTIC"), x)


# Hostile --------------------------------------------------------------------------------------


def broken(**changes: Any) -> onnx.ModelProto:
    """A tree of one split and two leaves, with some lists changed."""
    attributes: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }
    return ensemble("TreeEnsembleRegressor", {**attributes, **changes}, FEATURES)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"nodes_truenodeids": [9, 0, 0]}, "does not exist"),
        ({"nodes_nodeids": [0, 1, 1]}, "given twice"),
        ({"nodes_modes": ["BRANCH_ODD", "LEAF", "LEAF"]}, "unknown split mode"),
        ({"nodes_modes": ["BRANCH_LEQ", "BRANCH_LT", "LEAF"]}, "lead back to themselves"),
        ({"nodes_truenodeids": [0, 0, 0]}, "lead back to themselves"),
        ({"nodes_featureids": [FEATURES, 0, 0]}, "a feature its input does not have"),
        ({"nodes_featureids": [-1, 0, 0]}, "a feature its input does not have"),
        ({"nodes_values": [0.5]}, "nodes_values has 1 entries, not 3"),
        ({"target_nodeids": [1, 7]}, "does not exist"),
        ({"target_ids": [0, 5]}, "a target that does not exist"),
        ({"target_weights": [1.0, float("nan")]}, "NaN or Inf"),
        ({"base_values": [1.0, 2.0]}, "2 base values do not fit"),
    ],
)
def test_broken_trees_are_named(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelError, match=why) as error:
        Explainer(broken(**changes))
    assert "'trees'" in str(error.value)


def test_ways_that_meet_again_are_refused() -> None:
    rows = broken(
        nodes_treeids=[0] * 5,
        nodes_nodeids=[0, 1, 2, 3, 4],
        nodes_featureids=[0, 1, 2, 0, 0],
        nodes_modes=["BRANCH_LEQ"] * 3 + ["LEAF"] * 2,
        nodes_values=[0.0] * 5,
        nodes_truenodeids=[1, 3, 3, 0, 0],
        nodes_falsenodeids=[2, 4, 4, 0, 0],
        target_nodeids=[3, 4],
    )
    with pytest.raises(UnsupportedError, match="meet again"):
        Explainer(rows)
