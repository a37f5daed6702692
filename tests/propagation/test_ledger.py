"""The books: per node, channel and sample, and of the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, Explanation
from backtrace_onnx.propagation.ledger import Balance, Entry, Ledger, NodeBooks
from tests.cases import channels
from tests.graphs import FLOAT, HALF, Array, check_closed, mlp, model, node, normal

X = normal(3, 4, seed=5)
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
ENGINES: tuple[Literal["numba", "onnxruntime"], ...] = ("numba", "onnxruntime")


@pytest.mark.parametrize("mode", MODES)
def test_every_node_closes_per_channel_and_sample(mode: str) -> None:
    found = Explainer(mlp()).explain(X, mode=mode)
    check_closed(found)
    channels = 2 if mode == "contrastive" else 1
    assert list(found.ledger) == ["fc2", "act", "fc1"]
    for entry in found.ledger.values():
        assert entry.incoming.shape == (channels, 3)
    assert found.ledger.total().start.shape == (channels, 3)


def test_what_a_node_hands_on_comes_in_at_the_next() -> None:
    ledger = Explainer(mlp()).explain(X).ledger
    assert np.allclose(ledger["fc2"].data, ledger["act"].incoming, atol=1e-6)
    assert np.allclose(ledger["act"].data, ledger["fc1"].incoming, atol=1e-6)
    assert np.allclose(ledger["fc1"].data, ledger.total().inputs, atol=1e-6)


def test_the_bias_is_booked_to_constants() -> None:
    found = Explainer(mlp()).explain(X)
    total = found.ledger.total()
    assert np.array_equal(total.constants, found.ledger["fc1"].constants)
    assert np.abs(total.constants).max() > 0


def test_an_input_of_zeros_leaves_everything_to_the_bias() -> None:
    total = Explainer(mlp()).explain(np.zeros((1, 4))).ledger.total()
    assert np.allclose(total.inputs, 0)
    assert np.allclose(total.start, total.constants + total.unassigned, atol=1e-6)


def test_a_unit_without_mass_is_unassigned() -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 3)},
    )
    found = Explainer(proto).explain(np.zeros((2, 4)), start=np.ones((2, 3)))
    total = found.ledger.total()
    assert total.unassigned.tolist() == [[3, 3]]
    assert not found.relevance["x"].any()
    check_closed(found)


def test_what_is_missing_is_seen() -> None:
    one = np.ones((1, 2))
    balance = Balance(one, one * 0.5, one * 0.25, one * 0)
    assert np.array_equal(balance.residual, one * 0.25)
    assert balance.relative_residual == 0.25
    entry = Entry("n", "Gemm", one, one * 0.5, one * 0.25, one * 0)
    assert np.array_equal(entry.residual, one * 0.25)


def test_nothing_moved_is_nothing_missing() -> None:
    zero = np.zeros((1, 2))
    assert Balance(zero, zero, zero, zero).relative_residual == 0


def test_it_reads_like_a_mapping() -> None:
    one = np.ones((1, 1))
    entry = Entry("n", "Gemm", one, one, one, one)
    ledger = Ledger({"n": entry}, Balance(one, one, one, one))
    assert (list(ledger), len(ledger), ledger["n"]) == (["n"], 1, entry)


def test_entries_of_a_walk_are_made_of_its_books() -> None:
    """In the order of the nodes, each with what belongs to it."""
    books = np.arange(4.0 * 2 * 1 * 3).reshape(4, 2, 1, 3)
    sent = {"b": {"x": books[1, 0]}, "a": {}}
    entries = NodeBooks({"b": "Gemm", "a": "Relu"}, books, sent)
    assert list(entries) == ["b", "a"]
    found = entries["a"]
    assert (found.node, found.operator, found.sent) == ("a", "Relu", {})
    kinds = (found.incoming, found.data, found.constants, found.unassigned)
    np.testing.assert_array_equal(kinds, books[:, 1])
    assert entries["a"] is found
    assert "c" not in entries


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_samples_that_meet_are_booked_together(
    mode: str, engine: Literal["numba", "onnxruntime"], tmp_path: Path
) -> None:
    proto = model(
        [
            node("Relu", ["texts"], ["t"], "relu"),
            node("MatMul", ["t", "w"], ["u"], "project"),
            node("Transpose", ["u"], ["v"], "turn"),
            node("MatMul", ["pictures", "v"], ["scores"], "score"),
        ],
        {"pictures": (FLOAT, ["N", 4]), "texts": (FLOAT, ["N", 4])},
        {"scores": (FLOAT, ["N", "N"])},
        {"w": normal(4, 4, seed=1)},
    )
    feeds = {"pictures": X, "texts": normal(3, 4, seed=6)}
    found = Explainer(proto, engine=engine).explain(feeds, mode=mode)
    check_closed(found)
    assert found.ledger.mixed
    arrived = sum(found.positive[name].sum() for name in feeds)
    assert found.ledger.total().inputs[0].sum() == pytest.approx(arrived, rel=1e-4)
    found.save(tmp_path / "found.npz")
    assert Explanation.load(tmp_path / "found.npz").ledger.mixed


APART: dict[str, tuple[onnx.ModelProto, dict[str, Array], dict[str, Any]]] = {
    "a vector for all samples": (
        model(
            [node("Add", ["x", "y"], ["z"])],
            {"x": (FLOAT, [3, 4, 5]), "y": (FLOAT, [5])},
            {"z": (FLOAT, [3, 4, 5])},
        ),
        {"x": normal(3, 4, 5), "y": normal(5, seed=1)},
        {},
    ),
    "a result for the whole batch": (
        model(
            [node("ReduceMax", ["x"], ["z"], keepdims=1)],
            {"x": (FLOAT, [3, 2, 2])},
            {"z": (FLOAT, [1, 1, 1])},
        ),
        {"x": normal(3, 2, 2)},
        {},
    ),
    "two batches of their own sizes": (
        model(
            [node("Transpose", ["y"], ["v"]), node("MatMul", ["x", "v"], ["z"])],
            {"x": (FLOAT, ["P", 4]), "y": (FLOAT, ["T", 4])},
            {"z": (FLOAT, ["P", "T"])},
        ),
        {"x": normal(2, 4), "y": normal(3, 4, seed=1)},
        {},
    ),
    "an axis that the caller names": (
        model(
            [node("Relu", ["x"], ["r"]), node("MatMul", ["r", "w"], ["z"])],
            {"x": (FLOAT, ["N", 4, 5])},
            {"z": (FLOAT, ["N", 4, 2])},
            {"w": normal(5, 2)},
        ),
        {"x": normal(3, 4, 5, seed=2)},
        {"sample_axis": 1},
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", APART)
def test_the_outputs_samples_are_those_of_all_books(case: str, mode: str) -> None:
    proto, feeds, said = APART[case]
    made = [Explainer(proto, engine=e).explain(feeds, mode=mode, **said) for e in ENGINES]
    for found in made:
        check_closed(found)
        total = found.ledger.total()
        arrived = sum(r.sum() for name in feeds for r in channels(found, name))
        assert total.inputs.sum() == pytest.approx(arrived, rel=1e-4, abs=1e-5)
    ours, theirs = (found.ledger.total() for found in made)
    for kind in ("start", "inputs", "constants", "unassigned"):
        np.testing.assert_allclose(getattr(ours, kind), getattr(theirs, kind), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_tensor_without_samples_has_none(engine: Literal["numba", "onnxruntime"]) -> None:
    """A session that folds constants does not divide by its size."""
    proto = model(
        [
            node("Slice", ["x", "none", "none"], ["e"]),
            node("Concat", ["e", "x"], ["c"], axis=0),
            node("MatMul", ["c", "w"], ["y"]),
        ],
        {"x": (FLOAT, [3, 4])},
        {"y": (FLOAT, [3, 2])},
        {"none": np.array([0]), "w": normal(4, 2)},
    )
    check_closed(Explainer(proto, engine=engine).explain(X))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", ["default", "contrastive", "lrp"])
def test_what_starts_where_no_input_reaches_is_unassigned(
    mode: str, engine: Literal["numba", "onnxruntime"]
) -> None:
    """Places of the largest number carry no relevance; slopes start before Exp."""
    proto = model(
        [
            node("ArgMax", ["x"], ["place"], axis=1, keepdims=1),
            node("Cast", ["place"], ["number"], to=FLOAT),
            node("Exp", ["number"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 1])},
    )
    found = Explainer(proto, engine=engine).explain(
        X + np.arange(4) * 3, mode=mode, task="regression"
    )
    assert any("none of the relevance reached" in str(note) for note in found.notes)
    total = found.ledger.total()
    assert np.abs(total.start[0]).min() > 0
    assert np.array_equal(total.unassigned, total.start)
    assert total.relative_residual == 0


SIZES = (("w", (6, 8)), ("b", (8,)), ("v", (8, 3)))


def test_what_is_rounded_in_half_precision_is_no_reason_to_mix_samples() -> None:
    """Roundings of a batch may cancel; a sample has the books that it has alone."""
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Add", ["a", "b"], ["c"]),
        node("Tanh", ["c"], ["r"]),
        node("MatMul", ["r", "v"], ["y"]),
    ]
    weights = {
        name: normal(*shape, seed=i).astype(np.float16) for i, (name, shape) in enumerate(SIZES)
    }
    kinds = {"x": (HALF, ["N", 6])}, {"y": (HALF, ["N", 3])}
    explainer = Explainer(model(nodes, *kinds, weights))
    for seed in range(20):
        x = normal(3, 6, seed=seed).astype(np.float16)
        made = explainer.explain(x, mode="lrp(0)")
        assert not made.ledger.mixed
        sums = made.relevance["x"].sum(1, dtype=np.float64)
        np.testing.assert_allclose(made.ledger.total().inputs[0], sums, rtol=1e-4, atol=1e-5)
        alone = explainer.explain(x[:1], mode="lrp(0)").ledger.total()
        np.testing.assert_array_equal(alone.start, made.ledger.total().start[:, :1])
