"""Assertions for the tests of others: they hold, and say what does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx as bt
from backtrace_onnx.testing import assert_audit, assert_explanation, assert_same_reasons
from tests.audit.audited import linear, write_model, write_rows
from tests.audit.checks.test_row_drift import A, B
from tests.command_line import ADULT, ROWS

X = np.array([[1.0, 0.5, -3.0, 0.0], [2.0, 0.0, 5.0, 0.0]], np.float32)


@pytest.fixture
def explanation(tmp_path: Path) -> bt.Explanation:
    model = write_model(tmp_path, linear([(1, -1), (1, -1), (1, -1), (0, 0)]))
    return bt.explain(model, X, mode="epsilon(absolute=1e-6)")


def test_what_holds(explanation: bt.Explanation, tmp_path: Path) -> None:
    explanation.save(tmp_path / "e.npz")
    assert_explanation(
        explanation,
        top=["x[[]2]", "x[[]0]"],
        not_top=["x[[]3]"],
        count=2,
        shares={"x*": (0.99, 1.0), "x[[]2]": (0.6, 0.8)},
        like=tmp_path / "e.npz",
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"top": ["x[[]1]"], "count": 1}, r"sample 0: x\[\[\]1\] is not among the top 1: x\[2\]"),
    ({"not_top": ["x*"]}, r"sample 0: x\[2\] is among the top 3"),
    ({"shares": {"x[[]2]": (0.0, 0.5)}}, "has 66.7% of .relevance., which must be 0.0% to 50.0%"),
]


@pytest.mark.parametrize(("how", "words"), WRONG)
def test_what_does_not_hold_is_said(
    explanation: bt.Explanation, how: dict[str, Any], words: str
) -> None:
    with pytest.raises(AssertionError, match=words):
        assert_explanation(explanation, **how)


def test_a_name_that_is_none_is_no_assertion(explanation: bt.Explanation) -> None:
    with pytest.raises(bt.RequestError, match="no entry is called 'age'; there are"):
        assert_explanation(explanation, not_top=["age"])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"top": ["agee"]}, "no entry is called 'agee'"),
        ({"top": "agee"}, "no entry is called 'agee'"),
        ({"shares": {"agee": (0.9, 1.0)}}, "no entry is called 'agee'"),
        ({"shares": {"x*": (0.6, 0.1)}}, "least and the most part, from 0 to 1, not 0.6 and 0.1"),
        ({"shares": {"x*": (10, 20)}}, "from 0 to 1, not 10 and 20"),
    ],
)
def test_what_no_explanation_could_hold_to_is_refused_before(
    explanation: bt.Explanation, how: dict[str, Any], words: str
) -> None:
    with pytest.raises(bt.RequestError, match=words):
        assert_explanation(explanation, **how)


def test_what_is_no_explanation() -> None:
    with pytest.raises(bt.RequestError, match="an Explanation is asserted, not int"):
        assert_explanation(3)  # type: ignore[arg-type]


def test_unsound_explanations(explanation: bt.Explanation) -> None:
    nothing = {name: r * 0 for name, r in explanation.relevance.items()}
    with pytest.raises(AssertionError, match="sample 0: no relevance reaches"):
        assert_explanation(replace(explanation, relevance=nothing))
    strange = {name: r + np.nan for name, r in explanation.relevance.items()}
    with pytest.raises(AssertionError, match="is not finite"):
        assert_explanation(replace(explanation, relevance=strange))
    moved = {name: r * 1.01 for name, r in explanation.relevance.items()}
    with pytest.raises(AssertionError, match=r"moved by 1\.0e-02 of its largest"):
        assert_explanation(replace(explanation, relevance=moved), like=explanation)


def test_same_reasons(tmp_path: Path) -> None:
    rows = str(write_rows(tmp_path, 60))
    old, new = (write_model(tmp_path, linear(w), n) for w, n in ((A, "old"), (B, "new")))
    assert_same_reasons(old, old, rows, settings={"mode": "lrp"})
    with pytest.raises(AssertionError) as raised:
        assert_same_reasons(old, new, rows, settings={"mode": "lrp"})
    text = str(raised.value)
    assert "new.onnx has other reasons than" in text and "\n  sample-drift: the reasons of" in text
    assert "confirmed by an intervention" in text


def test_an_audit() -> None:
    assert_audit(ADULT, str(ROWS), settings={"label": "loan"})
    top = {"top_features": {"forbidden": ["hours-per-week", "age", "marital-status"]}}
    with pytest.raises(AssertionError, match="forbidden-top-features: "):
        assert_audit(ADULT, str(ROWS), settings=top)
