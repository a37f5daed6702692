"""SHAP values of trees against brute force over all subsets of the features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from backtrace_onnx import CompileError, Explainer, Explanation, RequestError, UnsupportedError
from backtrace_onnx.cli import commands
from tests.cases import Array, generator
from tests.rules.trees import ML, MODES, Tree, ensemble, grow, listed, nodes, rooted

FEATURES = 5
ROWS = 12
Value = Callable[[frozenset[int]], Array]


def inputs(n: int, seed: object, missing: float = 0.1) -> Array:
    """Whole, broken and missing numbers."""
    rng = generator("shap", seed)
    x = rng.normal(size=(n, FEATURES))
    x = np.where(rng.random(x.shape) < 0.4, np.round(x), x)
    return np.where(rng.random(x.shape) < missing, np.nan, x).astype(np.float32)


def forest(n: int, targets: Sequence[int], seed: object = 0, **how: Any) -> list[Tree]:
    rng = generator("shap forest", seed)
    modes = how.pop("modes", MODES[:6])
    grown: list[Tree] = []
    while len(grown) < n:  # a tree of one leaf asks nothing
        tree = grow(rng, 4, FEATURES, targets, modes, **how)
        grown += [tree] if tree.yes is not None else []
    return grown


def visited(trees: Sequence[Tree], rng: np.random.Generator) -> None:
    """Give every leaf a number of visits, some none, and splits their sums."""
    for tree in trees:
        for node in reversed(nodes(tree)):
            below = [way for way in (node.yes, node.no) if way is not None]
            node.hits = sum(way.hits for way in below) if below else float(rng.integers(0, 9))


def answers(trees: Sequence[Tree], row: Array, targets: int) -> Array:
    """float64[targets]: the sum of the votes of the leaves that a row reaches."""
    total = np.zeros(targets)
    for tree in trees:
        while tree.yes is not None:
            tree = tree.asks(row)
        for target, weight in tree.votes:
            total[target] += weight
    return total


def expected(tree: Tree, row: Array, present: frozenset[int], targets: int) -> Array:
    """What a tree is expected to answer where only some features are there."""
    if tree.yes is None or tree.no is None:
        return answers([tree], row, targets)
    if tree.feature in present:
        return expected(tree.asks(row), row, present, targets)
    ways = (tree.yes, tree.no)
    both = sum(way.hits for way in ways)
    parts = [way.hits / both if both else 0.5 for way in ways]
    each = (expected(way, row, present, targets) for way in ways)
    return np.asarray(sum(part * way for part, way in zip(parts, each, strict=True)))


def shapley(value: Value, players: int = FEATURES) -> Array:
    """[players, ...]: the mean gain over all orders, by the sum over all subsets."""
    made = []
    for player in range(players):
        rest = [p for p in range(players) if p != player]
        total: Any = 0.0
        for size in range(players):
            weight = 1 / (players * comb(players - 1, size))
            for some in combinations(rest, size):
                gain = value(frozenset({*some, player})) - value(frozenset(some))
                total = total + weight * gain
        made.append(total)
    return np.array(made)


def by_visits(trees: Sequence[Tree], x: Array, targets: int) -> Array:
    """[rows, features, targets]."""

    def one(row: Array) -> Array:
        return shapley(lambda s: np.sum([expected(t, row, s, targets) for t in trees], 0))

    return np.array([one(row) for row in x])


def by_background(
    trees: Sequence[Tree],
    x: Array,
    rows: Array,
    targets: int,
    then: Callable[[Array], Array] = np.asarray,
) -> Array:
    """[rows, features, targets]: features that are absent are those of the background."""

    def value(row: Array, present: frozenset[int]) -> Array:
        mixed = rows.copy()
        mixed[:, sorted(present)] = row[sorted(present)]
        return np.mean([then(answers(trees, one, targets)) for one in mixed], 0)

    return np.array([shapley(lambda s, row=row: value(row, s)) for row in x])


def explain(proto: onnx.ModelProto, x: Array, target: int = 0, **how: Any) -> Explanation:
    made = Explainer(proto).explain(x, **{"mode": "shap", "target": target, **how})
    total = made.ledger.total()
    whole = total.inputs + total.constants + total.unassigned
    np.testing.assert_allclose(whole, total.start, atol=1e-5, rtol=1e-6)
    np.testing.assert_allclose(total.unassigned, 0, atol=2e-5)
    np.testing.assert_allclose(made.relevance["x"].sum(1), total.inputs[0], atol=1e-5, rtol=1e-5)
    return made


def near(made: Explanation, wanted: Array) -> None:
    np.testing.assert_allclose(made.relevance["x"], wanted, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("double", [False, True])
def test_visits_in_the_file_are_what_absent_features_are(double: bool) -> None:
    trees = forest(3, [0, 1])
    visited(trees, generator("visits"))
    attributes = listed(trees, "target", double=double) | {"n_targets": 2}
    kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
    proto = ensemble("TreeEnsembleRegressor", attributes, FEATURES, x=kind, y=TensorProto.FLOAT)
    x = inputs(ROWS, "visits").astype(np.float64 if double else np.float32)
    wanted = by_visits(trees, x, 2)
    for target in (0, 1):
        made = explain(proto, x, target, task="classification")
        near(made, wanted[..., target])
    base = sum(expected(t, x[0], frozenset(), 2) for t in trees)
    np.testing.assert_allclose(made.ledger.total().constants[0], base[1], rtol=1e-6)
    assert made.conserved == "score" and "the expected one" in made.notes[-1].text


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_a_background_are_what_absent_features_are(seed: int) -> None:
    trees = forest(3, [0, 1], seed)
    attributes = listed(trees, "target") | {"n_targets": 2, "base_values": [0.5, -1.0]}
    proto = ensemble("TreeEnsembleRegressor", attributes, FEATURES)
    x, rows = inputs(ROWS, seed), inputs(7, ("rows", seed), missing=0)
    wanted = by_background(trees, x, rows, 2)
    for target in (0, 1):
        made = explain(proto, x, target, task="classification", background=rows)
        near(made, wanted[..., target])
    mean = np.mean([answers(trees, row, 2) for row in rows], 0) + np.array([0.5, -1.0])
    np.testing.assert_allclose(made.ledger.total().constants[0], mean[1], rtol=1e-6)


def test_sets_of_members_are_one_question() -> None:
    trees = forest(3, [0], modes=MODES)
    proto = ensemble("TreeEnsemble", rooted(trees) | {"n_targets": 1}, FEATURES, version=5)
    x, rows = np.nan_to_num(inputs(ROWS, "sets")), np.nan_to_num(inputs(9, "set rows"))
    near(explain(proto, x, background=rows), by_background(trees, x, rows, 1)[..., 0])


def test_visits_are_counted_over_a_background() -> None:
    trees = forest(2, [0], modes=("LEQ", "GT"))
    proto = ensemble("TreeEnsemble", rooted(trees) | {"n_targets": 1}, FEATURES, version=5)
    x, rows = inputs(ROWS, "counted"), inputs(50, "counted rows", missing=0)
    for tree in trees:
        for node in nodes(tree):
            node.hits = 0
        for row in rows:
            here = tree
            here.hits += 1
            while here.yes is not None:
                here = here.asks(row)
                here.hits += 1
    made = explain(proto, x, background=rows, perturbation="path")
    near(made, by_visits(trees, x, 1)[..., 0])
    assert "50 row(s) of the background went there" in made.notes[-1].text


@pytest.mark.parametrize("aggregate", ["AVERAGE", "MAX"])
def test_trees_are_averaged_and_extremes_are_refused(aggregate: str) -> None:
    trees = forest(4, [0])
    attributes = listed(trees, "target") | {"n_targets": 1, "aggregate_function": aggregate}
    proto = ensemble("TreeEnsembleRegressor", attributes, FEATURES)
    x, rows = inputs(ROWS, aggregate), inputs(5, "rows", missing=0)
    if aggregate == "MAX":
        with pytest.raises(UnsupportedError, match=r"node trees.*takes the maximum"):
            explain(proto, x, background=rows)
        return
    near(explain(proto, x, background=rows), by_background(trees, x, rows, 1)[..., 0] / 4)


def sigmoid(t: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-t)))


def test_the_margin_of_one_score_for_two_classes() -> None:
    trees = forest(3, [0])
    attributes = listed(trees, "class") | {
        "classlabels_int64s": [0, 1],
        "post_transform": "LOGISTIC",
        "base_values": [0.25],
    }
    proto = ensemble("TreeEnsembleClassifier", attributes, FEATURES)
    x, rows = inputs(ROWS, "two"), inputs(6, "two rows", missing=0)
    wanted = by_background(trees, x, rows, 1)[..., 0]
    near(explain(proto, x, 1, background=rows), wanted)
    near(explain(proto, x, 0, background=rows), -wanted)


def test_margins_of_several_classes() -> None:
    trees = [*forest(2, [0], "a"), *forest(2, [1], "b"), *forest(2, [2], "c")]
    visited(trees, generator("several"))
    attributes = listed(trees, "class") | {
        "classlabels_int64s": [3, 4, 5],
        "post_transform": "SOFTMAX",
    }
    proto = ensemble("TreeEnsembleClassifier", attributes, FEATURES)
    x = inputs(ROWS, "several")
    wanted = by_visits(trees, x, 3)
    for target in range(3):
        near(explain(proto, x, target), wanted[..., target])


def test_a_probability_against_one_row_is_the_margin_s_part_of_it() -> None:
    trees = forest(3, [0])
    attributes = listed(trees, "class") | {
        "classlabels_int64s": [0, 1],
        "post_transform": "LOGISTIC",
    }
    proto = ensemble("TreeEnsembleClassifier", attributes, FEATURES)
    x, rows = inputs(ROWS, "p"), inputs(4, "p rows", missing=0)
    wanted = np.zeros(x.shape)
    for row in rows:
        margins = by_background(trees, x, row[None], 1)[..., 0]
        here = np.array([answers(trees, one, 1)[0] for one in x])
        there = answers(trees, row, 1)[0]
        apart = here - there
        same = np.abs(apart) < 1e-9
        rise = (sigmoid(here) - sigmoid(there)) / np.where(same, 1, apart)
        wanted += margins * np.where(same, 0.25, rise)[:, None] / len(rows)
    made = explain(proto, x, 1, background=rows, start="probability")
    np.testing.assert_allclose(made.relevance["x"], wanted, atol=2e-4)
    total = made.ledger.total()
    mean = np.mean([sigmoid(answers(trees, row, 1)[0]) for row in rows])
    np.testing.assert_allclose(total.constants[0], mean, rtol=1e-5)
    with pytest.raises(RequestError, match="against a background's rows only"):
        explain(proto, x, 1, start="probability")


def test_deeplift_over_trees_is_shap_against_its_baseline() -> None:
    trees = forest(3, [0], modes=("LEQ",))
    proto = ensemble("TreeEnsembleRegressor", listed(trees, "target") | {"n_targets": 1}, FEATURES)
    x, rows = inputs(ROWS, "deep"), inputs(3, "deep rows", missing=0)
    made = Explainer(proto).explain(x, mode="deeplift", baseline=list(rows), task="regression")
    near(made, by_background(trees, x, rows, 1)[..., 0])


def test_a_sample_gets_in_a_batch_what_it_gets_alone() -> None:
    trees = forest(5, [0])
    visited(trees, generator("alone"))
    proto = ensemble("TreeEnsembleRegressor", listed(trees, "target") | {"n_targets": 1}, FEATURES)
    explainer, x = Explainer(proto), inputs(3000, "alone")
    for how in ({}, {"background": inputs(20, "alone rows", missing=0)}):
        whole = explainer.explain(x, mode="shap", task="regression", **how).relevance["x"]
        for i in (0, 1499, 2999):
            alone = explainer.explain(x[i : i + 1], mode="shap", task="regression", **how)
            assert np.array_equal(alone.relevance["x"][0], whole[i])


def _chain(length: int) -> Tree:
    """A tree whose leaves ask for up to `length` features, one after another."""
    tree = Tree([(0, 1.0)], hits=3.0)
    for feature in range(length):
        leaf = Tree([(0, float(feature % 7) - 2)], hits=float(1 + feature % 3))
        value = float(np.float32(0.1 * (feature % 5)))
        hits = tree.hits + leaf.hits
        tree = Tree(feature=feature, mode="LEQ", value=value, yes=tree, no=leaf, hits=hits)
    return tree


@pytest.mark.parametrize("length", [14, 70])
def test_deep_leaves_against_the_sum_by_size(length: int) -> None:
    tree = _chain(length)
    proto = ensemble("TreeEnsembleRegressor", listed([tree], "target") | {"n_targets": 1}, length)
    rng = generator("deep leaves", length)
    x, rows = (rng.normal(0.3, 0.5, size=(n, length)).astype(np.float32) for n in (5, 4))
    made = explain(proto, x)
    np.testing.assert_allclose(made.relevance["x"], _by_sizes(tree, x, length), atol=2e-6)
    made = explain(proto, x, background=rows)
    wanted = np.mean([_by_sizes(tree, x, length, row) for row in rows], 0)
    np.testing.assert_allclose(made.relevance["x"], wanted, atol=2e-6)


def _by_sizes(tree: Tree, x: Array, length: int, row: Array | None = None) -> Array:
    """Shapley values leaf by leaf: the polynomial of what subsets of each size are worth."""
    made = np.zeros(x.shape)
    for sample, out in zip(x, made, strict=True):
        path: list[tuple[int, float, float]] = []
        here: Tree | None = tree
        while here is not None and here.yes is not None and here.no is not None:
            leaf, on = here.no, here.yes
            there = bool(sample[here.feature] <= here.value)
            part = on.hits / here.hits if row is None else float(row[here.feature] <= here.value)
            _add(out, [*path, (here.feature, float(not there), 1 - part)], leaf.votes[0][1])
            path.append((here.feature, float(there), part))
            here = on
        assert here is not None
        _add(out, path, here.votes[0][1])
    return made


def _add(out: Array, path: list[tuple[int, float, float]], worth: float) -> None:
    for i, (feature, here, part) in enumerate(path):
        sizes = np.ones(1)
        for k, (_, one, other) in enumerate(path):
            if k != i:
                sizes = np.convolve(sizes, [other, one])
        count = len(path)
        weights = [1 / (count * comb(count - 1, size)) for size in range(count)]
        out[feature] += worth * (here - part) * float(np.dot(weights, sizes))


def _behind(*after: onnx.NodeProto, y: str, before: Sequence[onnx.NodeProto] = ()) -> Any:
    trees = forest(2, [0, 1])
    visited(trees, generator("behind"))
    attributes = listed(trees, "target") | {"n_targets": 2}
    start = before[-1].output[0] if before else "x"
    node = helper.make_node(
        "TreeEnsembleRegressor", [start], ["t"], "trees", domain=ML, **attributes
    )
    array = onnx.numpy_helper.from_array
    graph = helper.make_graph(
        [*before, node, *after],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["N", None])],
        [
            array(np.array([[2.0], [-0.5]], np.float32), "w"),
            array(np.array([1.0], np.float32), "c"),
            array(np.linspace(-1, 1, FEATURES, dtype=np.float32), "shift"),
            array(np.eye(FEATURES, dtype=np.float32) + 1, "mix"),
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)]
    return trees, helper.make_model(graph, opset_imports=opsets, ir_version=10)


def test_what_is_linear_behind_the_trees_is_added_up() -> None:
    trees, proto = _behind(
        helper.make_node("MatMul", ["t", "w"], ["m"], "product"),
        helper.make_node("Add", ["m", "c"], ["y"], "shift"),
        y="y",
    )
    x = inputs(ROWS, "linear")
    made = explain(proto, x, task="regression")
    near(made, by_visits(trees, x, 2) @ [2.0, -0.5])
    base = sum(expected(t, x[0], frozenset(), 2) for t in trees) @ [2.0, -0.5] + 1
    np.testing.assert_allclose(made.ledger.total().constants[0], base, rtol=1e-5)


def test_columns_before_the_trees_get_their_features_values() -> None:
    before = [
        helper.make_node("Sub", ["x", "shift"], ["s"], "centre"),
        helper.make_node("Mul", ["s", "c"], ["u"], "scale"),
    ]
    trees, proto = _behind(before=before, y="t")
    x = inputs(ROWS, "columns", missing=0)
    moved = x - np.linspace(-1, 1, FEATURES, dtype=np.float32)
    near(explain(proto, x, 1, task="classification"), by_visits(trees, moved, 2)[..., 1])
    rows = inputs(5, "column rows", missing=0)
    made = explain(proto, x, 1, task="classification", background=rows)
    moved_rows = rows - np.linspace(-1, 1, FEATURES, dtype=np.float32)
    near(made, by_background(trees, moved, moved_rows, 2)[..., 1])


def test_what_is_not_the_trees_is_refused_by_name() -> None:
    _, proto = _behind(helper.make_node("Relu", ["t"], ["y"], "bend"), y="y")
    with pytest.raises(UnsupportedError, match=r"'?bend.*not linear"):
        explain(proto, inputs(2, "bend"), task="regression")
    mixing = [helper.make_node("MatMul", ["x", "mix"], ["u"], "mixing")]
    _, proto = _behind(before=mixing, y="t")
    with pytest.raises(UnsupportedError, match=r"mixing.*of several"):
        explain(proto, inputs(2, "mixing", missing=0), task="regression")


def test_without_counts_or_a_background_nothing_is_made_up() -> None:
    proto = ensemble(
        "TreeEnsembleRegressor", listed(forest(2, [0]), "target") | {"n_targets": 1}, FEATURES
    )
    with pytest.raises(RequestError, match="count_visits"):
        explain(proto, inputs(2, "none"))
    with pytest.raises(RequestError, match='"path" or "background"'):
        explain(proto, inputs(2, "none"), perturbation="interventional")


def test_paths_credit_what_splits_change() -> None:
    from tests.rules.trees import attribution

    trees = forest(3, [0, 1], modes=MODES[:6])
    proto = ensemble("TreeEnsembleRegressor", listed(trees, "target") | {"n_targets": 2}, FEATURES)
    x = inputs(ROWS, "paths")
    wanted, bias = attribution(trees, x, 2)
    for mode in ("paths", "lrp(0)", "attnlrp"):
        made = explain(proto, x, 1, mode=mode, task="classification")
        near(made, wanted[:, 1])
        np.testing.assert_allclose(made.ledger.total().constants[0], bias[1], rtol=1e-5)
    with pytest.raises(UnsupportedError, match="modes shap, paths"):
        Explainer(proto).explain(x, mode="gradient")


@pytest.mark.parametrize("counted", [False, True])
def test_auto_picks_what_trees_can_be_told(counted: bool) -> None:
    trees = forest(2, [0])
    if counted:
        visited(trees, generator("auto"))
    proto = ensemble("TreeEnsembleRegressor", listed(trees, "target") | {"n_targets": 1}, FEATURES)
    explainer, x, rows = Explainer(proto), inputs(2, "auto"), inputs(4, "auto rows", missing=0)
    for how, mode in (
        ({}, "shap" if counted else "paths"),
        ({"background": rows}, "shap"),
        ({"baseline": "zeros"}, "deeplift"),
    ):
        made = explainer.explain(x, mode="auto", task="regression", **how)
        assert made.mode == mode and made.conserved in ("score", "difference")


@pytest.mark.parametrize("how", ["visits", "background", "recounted", "deeplift"])
@pytest.mark.parametrize("modes", [("LEQ",), MODES[:6]])
def test_a_file_tells_what_the_eager_engine_tells(
    tmp_path: Path, how: str, modes: Sequence[str]
) -> None:
    trees = forest(3, [0, 1], how, modes=modes)
    visited(trees, generator("file"))
    attributes = listed(trees, "target") | {"n_targets": 2}
    proto = ensemble("TreeEnsembleRegressor", attributes, FEATURES)
    explainer, x, rows = Explainer(proto), inputs(ROWS, "file"), inputs(6, "file rows", missing=0)
    given: dict[str, Any] = {"background": rows} if how in ("background", "recounted") else {}
    given |= {"baseline": rows[0]} if how == "deeplift" else {}
    mode = {"deeplift": "deeplift", "recounted": "shap(perturbation=path)"}.get(how, "shap")
    explainer.compile(tmp_path / "file.onnx", mode=mode, task="classification", target=1, **given)
    session = ort.InferenceSession(tmp_path / "file.onnx")
    (relevance,) = session.run(["relevance/x"], {"x": x})
    wanted = explainer.explain(x, mode=mode, task="classification", target=1, **given)
    np.testing.assert_allclose(relevance, wanted.relevance["x"], atol=1e-5, rtol=1e-4)
    if how == "visits":
        made = Explainer(proto, engine="onnxruntime").explain(
            x, mode=mode, task="classification", target=1
        )
        np.testing.assert_allclose(made.relevance["x"], relevance, atol=1e-6)
        total, same = made.ledger.total(), wanted.ledger.total()
        np.testing.assert_allclose(total.constants, same.constants, rtol=1e-5)


def test_a_table_that_is_too_large_for_a_file_is_refused(tmp_path: Path) -> None:
    tree = _chain(20)
    proto = ensemble("TreeEnsembleRegressor", listed([tree], "target") | {"n_targets": 1}, 20)
    with pytest.raises(CompileError, match=r"node 'trees'.*up to 20 features"):
        Explainer(proto).compile(tmp_path / "file.onnx", mode="shap", task="regression")


def test_the_books_of_deeplift_close_where_the_operator_makes_probabilities(tmp_path: Path) -> None:
    trees = [*forest(2, [0], "p"), *forest(2, [1], "q"), *forest(2, [2], "r")]
    attributes = listed(trees, "class") | {"classlabels_int64s": [0, 1, 2]}
    for kind, transform in ((TensorProto.INT64, "NONE"), (TensorProto.FLOAT, "SOFTMAX")):
        given = attributes | {"post_transform": transform}
        proto = ensemble("TreeEnsembleClassifier", given, FEATURES, x=kind)
        x = np.round(inputs(ROWS, "books", missing=0) * 2)
        x = x.astype(np.int64 if kind == TensorProto.INT64 else np.float32)
        explainer, how = Explainer(proto), {"target": 1, "baseline": x[:1]}
        made = explainer.explain(x, mode="deeplift", **how)
        total = made.ledger.total()
        np.testing.assert_allclose(total.start, total.inputs, atol=1e-5)
        np.testing.assert_allclose(total.unassigned, 0, atol=1e-5)
        explainer.compile(tmp_path / "f.onnx", mode="deeplift", task="classification", **how)
        session = ort.InferenceSession(tmp_path / "f.onnx")
        (relevance,) = session.run(["relevance/x"], {"x": x})
        np.testing.assert_allclose(relevance, made.relevance["x"], atol=1e-5)


def test_all_targets_are_what_each_is() -> None:
    trees = [*forest(2, [0], "p"), *forest(2, [1], "q")]
    visited(trees, generator("all"))
    attributes = listed(trees, "class") | {"classlabels_int64s": [0, 1, 2]}
    explainer = Explainer(ensemble("TreeEnsembleClassifier", attributes, FEATURES))
    x = inputs(ROWS, "all")
    for target, made in enumerate(explainer.explain(x, mode="shap", targets="all")):
        alone = explainer.explain(x, mode="shap", target=target)
        assert np.array_equal(made.relevance["x"], alone.relevance["x"])


@pytest.mark.parametrize("kind", ["TreeEnsembleRegressor", "TreeEnsemble"])
@pytest.mark.parametrize("mode", ["shap", "background", "deeplift", "paths", "lrp", "default"])
def test_onnxruntime_explains_trees_as_kernels_do(kind: str, mode: str) -> None:
    trees = [*forest(2, [0], "engine"), *forest(3, [1], "engine too")]
    visited(trees, generator("engine"))
    if kind == "TreeEnsemble":
        proto = ensemble(kind, rooted(trees) | {"n_targets": 2}, FEATURES, version=5)
    else:
        proto = ensemble(kind, listed(trees, "target") | {"n_targets": 2}, FEATURES)
    x, rows = inputs(ROWS, "engine", missing=0), inputs(6, "engine rows", missing=0)
    given: dict[str, Any] = {"target": 1, "task": "classification", "mode": mode}
    if mode == "deeplift":
        given["baseline"] = rows[0]
    if mode == "background" or (mode == "shap" and kind == "TreeEnsemble"):  # it has no counts
        given |= {"mode": "shap", "background": rows}
    one = Explainer(proto, engine="onnxruntime").explain(x, **given)
    other = Explainer(proto).explain(x, **given)
    assert np.abs(other.relevance["x"]).max() > 0
    np.testing.assert_allclose(one.relevance["x"], other.relevance["x"], rtol=1e-5, atol=1e-6)


def test_onnxruntime_refuses_a_table_that_is_too_large() -> None:
    attributes = listed([_chain(20)], "target") | {"n_targets": 1}
    proto = ensemble("TreeEnsembleRegressor", attributes, 20)
    x = generator("large").normal(size=(2, 20)).astype(np.float32)
    with pytest.raises(CompileError, match=r"node 'trees'.*engine='numba'"):
        Explainer(proto, engine="onnxruntime").explain(x, mode="shap", task="regression")
    made = Explainer(proto, engine="onnxruntime").explain(
        x, mode="deeplift", task="regression", baseline=0.0
    )
    wanted = Explainer(proto).explain(x, mode="deeplift", task="regression", baseline=0.0)
    np.testing.assert_allclose(made.relevance["x"], wanted.relevance["x"], atol=1e-5)


@pytest.mark.parametrize("mode", ["smoothgrad", "expected_gradients", "integrated_gradients"])
def test_no_file_of_trees_is_advised_that_has_slopes(mode: str, tmp_path: Path) -> None:
    trees = forest(2, [0], "slopes")
    proto = ensemble("TreeEnsembleRegressor", listed(trees, "target") | {"n_targets": 1}, FEATURES)
    with pytest.raises(UnsupportedError, match="knows no slope of it; modes shap") as refused:
        Explainer(proto).compile(tmp_path / "file.onnx", mode=mode)
    assert "compile mode" not in str(refused.value)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_the_command_line_explains_trees_with_both_engines(engine: str, tmp_path: Path) -> None:
    trees = forest(2, [0], "command")
    visited(trees, generator("command"))
    proto = ensemble("TreeEnsembleRegressor", listed(trees, "target") | {"n_targets": 1}, FEATURES)
    onnx.save(proto, tmp_path / "trees.onnx")
    np.save(tmp_path / "rows.npy", inputs(2, "command", missing=0))
    asked = ["explain", str(tmp_path / "trees.onnx"), str(tmp_path / "rows.npy")]
    done = CliRunner().invoke(commands, [*asked, "--mode", "shap", "--engine", engine])
    assert done.exit_code == 0, done.output
    assert "SHAP values, exact" in " ".join(done.output.split())
