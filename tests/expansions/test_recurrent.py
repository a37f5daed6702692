"""Cells with the samples first are explained as the same ones with the steps first."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from backtrace_onnx import Explainer
from tests.checks import MODES
from tests.graphs import FLOAT, Dims, check_closed, model, node, normal

STEPS, BATCH, INPUT, HIDDEN = 3, 2, 4, 5
GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
SEQUENCE, STATES = (1, 0, 2), ("initial_h", "initial_c")


def _network(operator: str, layout: int, full: bool) -> onnx.ModelProto:
    """A cell in both directions; `full` with sequence lengths, states and LSTM's peepholes."""
    gates, lstm = GATES[operator], operator == "LSTM"
    weights = {
        "w": normal(2, gates * HIDDEN, INPUT, seed=1),
        "r": normal(2, gates * HIDDEN, HIDDEN, seed=2),
        "b": normal(2, 2 * gates * HIDDEN, seed=3),
        "p": normal(2, 3 * HIDDEN, seed=4),
    }
    states = STATES[: 1 + lstm] if full else ()
    given = ["x", "w", "r", "b"] + (["lengths", *states, *(["p"] if lstm else [])] if full else [])
    made = ["y", "h", "c"][: 2 + lstm]
    inputs: dict[str, tuple[int, Dims]] = {"x": (FLOAT, [None, None, INPUT])}
    if full:
        inputs["lengths"] = TensorProto.INT32, [None]
        inputs |= dict.fromkeys(states, (FLOAT, [None, None, HIDDEN]))
    attributes = {"hidden_size": HIDDEN, "direction": "bidirectional", "layout": layout}
    return model(
        [node(operator, given, made, "cell", **attributes)],
        inputs,
        dict.fromkeys(made, (FLOAT, None)),
        {name: array for name, array in weights.items() if name in given},
    )


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("operator", GATES)
def test_samples_first(operator: str, full: bool) -> None:
    x = normal(STEPS, BATCH, INPUT, seed=5)
    feeds = {"x": x}
    if full:
        feeds["lengths"] = np.array([3, 2], np.int32)
        for i, state in enumerate(STATES[: 1 + (operator == "LSTM")]):
            feeds[state] = normal(2, BATCH, HIDDEN, seed=6 + i)
    turned = {k: v if k == "lengths" else v.transpose(SEQUENCE) for k, v in feeds.items()}
    ours, theirs = (Explainer(_network(operator, layout, full)) for layout in (1, 0))
    for output, perm in (("y", (2, 0, 1, 3)), ("h", SEQUENCE)):
        for mode in MODES:
            wanted = theirs.explain(feeds, mode=mode, output=output, task="regression")
            found = ours.explain(turned, mode=mode, output=output, task="regression")
            check_closed(found)
            y = wanted.outputs[output].transpose(perm)
            assert np.allclose(found.outputs[output], y, atol=1e-6)
            for name in feeds.keys() - {"lengths"}:
                r = wanted.relevance[name].transpose(SEQUENCE)
                assert np.allclose(found.relevance[name], r, atol=1e-5 * np.abs(r).max())
