"""Operators that look for what must not be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from tests.cases import session
from tests.checks import check_ledger
from tests.expansions.checks import MICROSOFT, numbers
from tests.graphs import BOOL, FLOAT, INT64, model, node

X = numbers(2, 3)


@pytest.mark.parametrize(
    ("bad", "attributes", "finite"),
    [
        (1.0, {}, True),
        (np.nan, {}, False),
        (-np.inf, {}, False),
        (np.nan, {"isinf_only": 1}, True),
        (np.inf, {"isinf_only": 1}, False),
        (np.inf, {"isnan_only": 1}, True),
        (np.nan, {"isnan_only": 1}, False),
    ],
)
def test_is_all_finite_chooses_and_carries_nothing(
    bad: float, attributes: Any, finite: bool
) -> None:
    nodes = [
        node("Add", ["x", "c"], ["b"], "add"),
        node("IsAllFinite", ["x", "b"], ["ok"], "f", domain=MICROSOFT, **attributes),
        node("Where", ["ok", "x", "zero"], ["y"], "w"),
    ]
    proto = model(
        nodes,
        {"x": (FLOAT, [2, 3])},
        {"y": (FLOAT, [2, 3]), "ok": (BOOL, [])},
        {"zero": np.float32(0), "c": np.array([0, 0, bad], np.float32)},
        domains={MICROSOFT: 1},
    )
    made = Explainer(proto).explain({"x": X}, output="y", start=np.ones_like(X))
    assert bool(made.outputs["ok"]) is finite
    np.testing.assert_array_equal(made.relevance["x"], np.full(X.shape, float(finite)))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("dynamic", [False, True])
def test_ngrams_that_repeat_are_forbidden(size: int, dynamic: bool) -> None:
    ids = np.array([[1, 2, 3, 1, 2], [4, 4, 4, 4, 4]])
    scores = numbers(2, 6)
    first = "samples" if dynamic else 2
    proto = model(
        [
            node("NGramRepeatBlock", ["ids", "x"], ["s"], domain=MICROSOFT, ngram_size=size),
            node("Softmax", ["s"], ["y"]),
        ],
        {"ids": (INT64, [first, 5]), "x": (FLOAT, [first, 6])},
        {"y": (FLOAT, [first, 6])},
        domains={MICROSOFT: 1},
    )
    feeds = {"ids": ids, "x": scores}
    y = session(proto).run(["y"], feeds)[0]
    made = Explainer(proto).explain(feeds, start=np.ones_like(scores))
    np.testing.assert_allclose(made.outputs["y"], y, rtol=1e-6)
    check_ledger(made)
    np.testing.assert_array_equal(made.relevance["x"], (y > 0).astype(np.float32))
    assert (y == 0).any() == (size < 4)
