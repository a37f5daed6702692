"""The steps of a recogniser: a class of one step is explained by its step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backtrace_onnx as bt
from backtrace_onnx.targets.entries import entry_of
from tests.graphs import normal
from tests.targets.entry_models import MODES, speller


@pytest.mark.parametrize("steps_first", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_step_s_class_is_explained_by_its_step(steps_first: bool, mode: str, engine: Any) -> None:
    x = normal(2, 3, 8, 12, seed=7)
    explainer = bt.Explainer(speller(steps_first), engine=engine)
    made = explainer.explain(x, task="ctc", target=(4, 2), mode=mode)
    reached = np.abs(made.relevance["x"]).sum(axis=(1, 2))
    assert (reached[:, 4] > 0).all()
    assert not np.delete(reached, 4, axis=1).any()
    start = made.ledger.total().start
    y = made.outputs["y"].swapaxes(0, 1) if steps_first else made.outputs["y"]
    np.testing.assert_allclose(start[0], y[:, 4, 2], rtol=1e-5)
    if mode == "contrastive":
        np.testing.assert_allclose(start[1], 1 - y[:, 4, 2], rtol=1e-4)


@pytest.mark.parametrize("softmax", [False, True])
def test_the_surest_letter_is_explained_unless_another_is_asked_for(softmax: bool) -> None:
    x = normal(1, 3, 8, 3, seed=8)  # fewer steps than classes
    made = bt.explain(speller(softmax=softmax), x, task="ctc")
    letters = np.delete(made.outputs["y"][0], 0, axis=1)
    step, label = np.unravel_index(letters.argmax(), letters.shape)
    assert made.target is not None
    assert entry_of((3, 5), 1, int(made.target[0])) == (step, label + 1)
