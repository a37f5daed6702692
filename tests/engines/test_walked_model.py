"""Lines and noise of ids: the path runs behind what they look up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer, RequestError
from tests.graphs import FLOAT, INT64, model, node, normal

Array = npt.NDArray[Any]
ENGINES = ["numba", "onnxruntime"]
TABLE, PLACES, W = normal(9, 4, seed=1), normal(6, 4, seed=2), normal(4, 3, seed=3)
IDS = np.array([[1, 2, 0], [4, 3, 8]])
PAD = np.full((2, 3), 5)


def _network(batch: Any = "n", tokens: Any = "t") -> Any:
    """Rows of tokens and of places, tanh, sum over tokens, a layer, and a softmax."""
    nodes = [
        node("Gather", ["T", "ids"], ["e"], "rows"),
        node("Shape", ["ids"], ["shape"], "sizes", start=1),
        node("Squeeze", ["shape"], ["count"], "count"),
        node("Range", ["zero", "count", "one"], ["at"], "places"),
        node("Gather", ["P", "at"], ["p"], "positions"),
        node("Add", ["e", "p"], ["s"], "sum"),
        node("Tanh", ["s"], ["h"], "tanh"),
        node("ReduceSum", ["h", "axis"], ["r"], "pool", keepdims=0),
        node("MatMul", ["r", "W"], ["y"], "fc"),
        node("Softmax", ["y"], ["q"], "soft", axis=1),
    ]
    weights = {"T": TABLE, "P": PLACES, "W": W, "axis": np.array([1])}
    weights |= {"zero": np.int64(0), "one": np.int64(1)}
    kinds = {"ids": (INT64, [batch, tokens])}, {"q": (FLOAT, [batch, 3])}
    return model(nodes, *kinds, weights)


def _slopes(e: Array, target: int) -> Array:
    return (1 - np.tanh(e + PLACES[:3]) ** 2) * W[:, target]


def _on_the_line(places: Array, weights: Array, target: int) -> Array:
    """The relevance of ids, by the definition of integrated gradients of what they look up."""
    e, e0 = TABLE[IDS].astype(np.float64), TABLE[PAD].astype(np.float64)
    means = sum(
        w * _slopes(e0 + u * (e - e0), target) for u, w in zip(places, weights, strict=True)
    )
    made: Array = ((e - e0) * means).sum(-1)
    return made


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sizes", [("n", "t"), (2, 3)])
def test_integrated_gradients_of_ids(engine: Any, sizes: Any) -> None:
    explainer = Explainer(_network(*sizes), engine=engine)
    made = explainer.explain(IDS, mode="integrated_gradients(steps=6)", baseline=PAD, target=2)
    places, weights = np.polynomial.legendre.leggauss(6)
    wanted = _on_the_line((places + 1) / 2, weights / 2, 2)
    np.testing.assert_allclose(made.relevance["ids"], wanted, rtol=1e-4, atol=1e-5)
    y, y0 = (np.tanh(TABLE[x] + PLACES[:3]).sum(1) @ W[:, 2] for x in (IDS, PAD))
    total = made.ledger.total()
    np.testing.assert_allclose(total.start[0], y - y0, rtol=1e-4)
    np.testing.assert_allclose(total.inputs[0], wanted.sum(1), rtol=1e-4)
    assert total.relative_residual < 1e-6


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sample_in_a_batch_gets_what_it_gets_alone(engine: Any) -> None:
    explainer = Explainer(_network(), engine=engine)
    for mode, told in (
        ("integrated_gradients", {"baseline": PAD[:1]}),
        ("expected_gradients(samples=20)", {"background": IDS[::-1]}),
        ("smoothgrad(samples=5)", {}),
    ):
        made = explainer.explain(IDS, mode=mode, keep=["e", "h"], **told)
        alone = [explainer.explain(row[None], mode=mode, keep=["e", "h"], **told) for row in IDS]
        for name in ("ids", "e", "h"):
            rows = np.concatenate([one.relevance[name] for one in alone])
            np.testing.assert_allclose(rows, made.relevance[name], rtol=1e-4, atol=1e-5)
            assert rows.any()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_looked_up_has_the_relevance_of_its_ids(engine: Any) -> None:
    explainer = Explainer(_network(), engine=engine)
    asked: dict[str, Any] = {"keep": ["e", "s", "h"], "baseline": PAD}
    made = explainer.explain(IDS, mode="integrated_gradients(steps=40)", **asked)
    for name in ("e", "s", "h"):
        ids = made.relevance[name].sum(-1)
        np.testing.assert_allclose(ids, made.relevance["ids"], rtol=1e-2, atol=1e-3)
    assert {"rows", "sum", "tanh", "pool", "fc"} <= set(made.ledger)
    plain = explainer.explain(IDS, mode="integrated_gradients(steps=40)", baseline=PAD)
    assert np.array_equal(plain.relevance["ids"], made.relevance["ids"])


@pytest.mark.parametrize("engine", ENGINES)
def test_smoothgrad_of_ids_is_their_row_times_its_mean_slope(engine: Any) -> None:
    made = Explainer(_network(), engine=engine).explain(
        IDS, mode="smoothgrad(samples=3, noise=0.2)", target=1, keep=["e"]
    )
    e, rng = TABLE[IDS].astype(np.float64), np.random.default_rng(0)
    ranges = np.ptp(e, axis=(1, 2), keepdims=True)
    slopes = [_slopes(e + 0.2 * ranges * rng.standard_normal((1, 3, 4)), 1) for _ in range(3)]
    mean = np.mean(slopes, 0)
    np.testing.assert_allclose(made.relevance["e"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(made.relevance["ids"], (e * mean).sum(-1), rtol=1e-4, atol=1e-6)


def test_ids_need_a_baseline_and_the_line_ends_at_it() -> None:
    explainer = Explainer(_network())
    with pytest.raises(RequestError, match="which have no zero: baseline="):
        explainer.explain(IDS, mode="integrated_gradients")
    made = explainer.explain(IDS, mode="integrated_gradients", baseline=IDS)
    assert not made.relevance["ids"].any()


def test_masks_are_held_as_they_are_at_the_input() -> None:
    """Padding is masked by an added number: the mask has no relevance, nor has what it covers."""
    nodes = [
        node("Gather", ["T", "ids"], ["e"], "rows"),
        node("MatMul", ["e", "v"], ["k"], "score"),
        node("Squeeze", ["k", "last"], ["z"], "flat"),
        node("Cast", ["mask"], ["m"], "floats", to=FLOAT),
        node("Sub", ["one", "m"], ["away"], "turned"),
        node("Mul", ["away", "far"], ["far_away"], "scaled"),
        node("Add", ["z", "far_away"], ["masked"], "masking"),
        node("Softmax", ["masked"], ["p"], "soft", axis=1),
        node("Unsqueeze", ["p", "middle"], ["row"], "row"),
        node("MatMul", ["row", "e"], ["mixed"], "mix"),
        node("Squeeze", ["mixed", "middle"], ["c"], "whole"),
        node("MatMul", ["c", "W"], ["y"], "fc"),
    ]
    weights = {"T": TABLE, "v": normal(4, 1, seed=5), "W": W, "one": np.float32(1)}
    weights |= {"far": np.float32(-1e4), "last": np.array([-1]), "middle": np.array([1])}
    kinds = {"ids": (INT64, ["n", "t"]), "mask": (INT64, ["n", "t"])}
    explainer = Explainer(model(nodes, kinds, {"y": (FLOAT, ["n", 3])}, weights))
    feeds = {"ids": IDS, "mask": np.array([[1, 1, 0], [1, 1, 1]])}
    made = explainer.explain(feeds, mode="integrated_gradients", baseline={"ids": PAD})
    assert not made.relevance["mask"].any()
    assert made.relevance["ids"][0, 2] == 0 and made.relevance["ids"][0, :2].all()
    total = made.ledger.total()
    assert (np.abs(total.unassigned) <= 0.0101 * np.abs(total.start)).all()
