"""A start of generation is computed at the positions that it lies at, and 0 at all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.targets.asked_positions import find_asked
from tests.graphs import FLOAT, normal, unary

TOKENS = unary("Identity", (FLOAT, ["N", "T", 5]), (FLOAT, ["N", "T", 5]))
Y = normal(2, 7, 5, seed=3)
TARGETS: dict[str, Any] = {
    "the last": [[6, 1], [6, 4]],
    "another in each text": [[-3, 0], [0, 2]],
    "several, one of them twice": [[[2, 1], [5, 3], [2, 1]], [[0, 0], [6, 4], [6, 3]]],
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("mode", ["default", "contrastive", "attnlrp", "epsilon(absolute=1e-6)"])
def test_a_start_is_where_it_was_asked_for(mode: str, target: Any) -> None:
    found = Explainer(TOKENS).explain(
        Y, mode=mode, task="generation", target=np.array(target), scaler=None
    )
    hits, rest = (np.zeros(Y.shape, np.float64) for _ in range(2))
    for sample, pairs in enumerate(np.array(target).reshape(2, -1, 2)):
        for place, token in pairs:
            hits[sample, place, token] += 1 / len(pairs)
            rest[sample, place] += np.maximum(Y[sample, place], 0) / len(pairs)
    rest[hits > 0] = 0
    if mode == "contrastive":
        turned = (hits > 0) & (Y < 0)
        want = np.where(turned, 0, hits), np.where(turned, hits, rest)
        np.testing.assert_allclose(found.negative["x"], want[1], rtol=1e-6)
    else:
        want = (hits if mode == "default" else hits * Y,)
    np.testing.assert_allclose(found.positive["x"], want[0], rtol=1e-6)
    total = found.ledger.total()
    np.testing.assert_allclose(total.start[0], want[0].sum((1, 2)), rtol=1e-6)
    assert total.relative_residual < 1e-6


def test_positions_are_named_once_in_their_order() -> None:
    asked = find_asked(np.array([[[5, 3], [2, 1]], [[2, 0], [5, 4]]]), 7)
    np.testing.assert_array_equal(asked.at, [2, 5])
    np.testing.assert_array_equal(asked.target, [[[1, 3], [0, 1]], [[0, 0], [1, 4]]])
    whole = asked.back(asked.of(Y))
    np.testing.assert_array_equal(whole[:, [2, 5]], Y[:, [2, 5]])
    assert whole.shape == Y.shape and not np.delete(whole, [2, 5], 1).any()
