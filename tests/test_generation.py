"""Language models: contrasts, continuations, and caches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Contrast, Explainer, explain_continuation
from backtrace_onnx.errors import RequestError
from backtrace_onnx.generation import entries_of
from tests.checks import check_ledger, gap
from tests.graphs import Array, mlp
from tests.language_models import IDS, MODES, SIZE, channels, feeds
from tests.text.made import language_model


@pytest.fixture(scope="module")
def plain() -> Explainer:
    return Explainer(language_model(size=SIZE))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", [0, 3, -1])
def test_what_follows_carries_nothing(plain: Explainer, mode: str, place: int) -> None:
    made = plain.explain(feeds(), mode=mode, task="generation", target=(place, 7))
    last = place % IDS.shape[1]
    check_ledger(made)
    for part in channels(made):
        assert not part[0, last + 1 :].any()
    assert np.count_nonzero(made.positive["input_ids"][0, : last + 1]) > last / 2


@pytest.mark.parametrize("mode", ["default", "epsilon(absolute=1e-6)"])
def test_a_contrast_is_the_difference_of_two_explanations(plain: Explainer, mode: str) -> None:
    both = [
        plain.explain(feeds(), mode=mode, task="generation", target=token).relevance["input_ids"]
        for token in (7, 2)
    ]
    made = plain.explain(feeds(), mode=mode, start=Contrast(7, 2))
    assert np.abs(made.relevance["input_ids"] - (both[0] - both[1])).max() < 1e-5
    y = made.outputs["logits"][0, -1]
    difference = y[7] - y[2] if mode == "epsilon(absolute=1e-6)" else 0
    assert made.ledger.total().start == pytest.approx(difference, abs=1e-6)


def test_a_contrast_in_two_channels() -> None:
    y = np.array([[[3.0, 1.0, -2.0], [0.5, 4.0, -1.0]]])
    good, bad = Contrast((0, 0), (1, 1))(y, 2)
    assert good.tolist() == [[[1, 0, 0], [0, 0, 0]]] and bad.tolist() == [[[0, 0, 0], [0, 1, 0]]]
    good, bad = Contrast((0, 2), (1, 2))(y, 2)
    assert good.tolist() == [[[0, 0, 0], [0, 0, 1]]] and bad.tolist() == [[[0, 0, 1], [0, 0, 0]]]


def test_a_contrast_conserves_each_channel(plain: Explainer) -> None:
    y = plain.explain(feeds()).outputs["logits"][0, -1]
    first, second = (int(i) for i in np.argsort(-y)[:2])
    made = plain.explain(feeds(), mode="contrastive", start=Contrast(first, second))
    assert made.ledger.total().start.ravel().tolist() == [1, 1]
    check_ledger(made)
    assert made.positive["input_ids"].sum() == pytest.approx(1, abs=1e-4)
    assert made.negative["input_ids"].sum() == pytest.approx(1, abs=1e-4)


def test_a_contrast_of_classes_and_of_each_sample() -> None:
    explainer = Explainer(mlp())
    x = np.random.default_rng(3).normal(size=(2, 4)).astype(np.float32)
    made = explainer.explain(x, start=Contrast(np.array([0, 2]), 1))
    want = [
        explainer.explain(x, start=_one(k, x)).relevance["x"] for k in (np.array([0, 2]), (1, 1))
    ]
    assert gap(made.relevance["x"], want[0] - want[1]) < 1e-5


def _one(entries: Any, x: Array) -> Array:
    start = np.zeros((len(x), 3), np.float32)
    start[np.arange(len(x)), np.asarray(entries)] = 1
    return start


def test_the_other_engine_contrasts_alike(plain: Explainer) -> None:
    compiled = Explainer(language_model(size=SIZE), engine="onnxruntime")
    for mode in MODES:
        start = Contrast(7, 2)
        want = plain.explain(feeds(), mode=mode, start=start).relevance["input_ids"]
        got = compiled.explain(feeds(), mode=mode, start=start).relevance["input_ids"]
        assert gap(got, want) < 1e-5


@pytest.mark.parametrize(
    ("contrast", "words"),
    [
        (Contrast(7, 7), "target and other are the same: 7"),
        (Contrast((9, 1), 2), "out of range"),
        (Contrast(7, SIZE), "out of range"),
        (Contrast("Paris", 2), "generation takes target=token"),
        (Contrast(np.zeros((1, 2, 2), int), 2), "one entry for each sample"),
    ],
)
def test_contrasts_that_do_not_fit(plain: Explainer, contrast: Contrast, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        plain.explain(feeds(), start=contrast)


def test_entries_of_an_output() -> None:
    y = np.zeros((2, 3, 5))
    assert entries_of((1, 4), y).tolist() == [9, 9]
    assert entries_of(np.array([[0, 1], [-1, 2]]), y).tolist() == [1, 12]
    assert entries_of(np.array([1, 2]), np.zeros((2, 4))).tolist() == [1, 2]


@pytest.mark.parametrize("mode", MODES)
def test_a_continuation_is_an_explanation_for_each_token(plain: Explainer, mode: str) -> None:
    made = explain_continuation(plain, feeds(), 3, mode=mode, rows=2)
    assert made.relevance.shape == (3, 7) and made.first == 4 and len(made.parts) == 2
    for row, place in enumerate((4, 5, 6)):
        target = (place - 1, int(IDS[0, place]))
        alone = plain.explain(feeds(), mode=mode, task="generation", target=target)
        assert gap(made.relevance[row], alone.relevance["input_ids"][0]) < 1e-5
        assert not made.relevance[row, place:].any()
        logits = alone.outputs["logits"][0, place - 1].astype(np.float64)
        assert made.logits[row] == pytest.approx(logits[target[1]], abs=1e-5)
        odds = np.exp(logits) / np.exp(logits).sum()
        assert made.probabilities[row] == pytest.approx(odds[target[1]], abs=1e-6)
    for part in made.parts:
        check_ledger(part, each=True)


@pytest.mark.parametrize("count", [0, 7, -1])
def test_continuations_without_context(plain: Explainer, count: int) -> None:
    with pytest.raises(RequestError, match=f"{count} of 7 tokens"):
        explain_continuation(plain, feeds(), count)


def test_continuations_of_several_texts(plain: Explainer) -> None:
    with pytest.raises(RequestError, match="for one sequence, not 2"):
        explain_continuation(plain, feeds(np.repeat(IDS, 2, 0)), 2)
