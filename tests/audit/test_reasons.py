"""Sentences against an outcome: which, in which order, and whether they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx.audit.reason_texts import ReasonTexts, read_reasons
from backtrace_onnx.audit.reasons import find_reasons
from backtrace_onnx.errors import InputError, RequestError
from tests.audit.audited import linear, one, subject, write_model, write_rows
from tests.text.made import classifier, word_pieces

WEIGHTS = ((0.0, 3.0), (0.0, 2.0), (0.0, 1.0), (0.0, 0.0))
REASONS = """
outcome = "yes"
count = 2

[[reasons]]
code = "A"
text = "a is low"
features = ["a"]
direction = "low"

[[reasons]]
code = "BC"
text = "b or c"
features = ["b", "c"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path, 100)
    write_model(tmp_path, linear(WEIGHTS))
    (tmp_path / "reasons.toml").write_text(REASONS)
    return tmp_path


def texts(*reasons: Any, outcome: str = "yes", **how: Any) -> ReasonTexts:
    made = [{"code": c, "text": c, "features": f, **more} for c, f, more in reasons]
    return ReasonTexts.model_validate({"outcome": outcome, "reasons": made, **how})


def test_reasons_are_the_negative_contributions(folder: Path) -> None:
    """Of a linear model by hand: value times weight, those below 0, added up by sentence."""
    own = subject(folder / "net.onnx", folder / "rows.csv")
    x = own.data.feeds["x"].astype(np.float64)
    parts, given = x * np.array(WEIGHTS)[:, 1], find_reasons(own, read_reasons_of(folder))
    low = x[:, 0] < np.median(x[:, 0])
    for row, found in enumerate(given):
        assert found.denied == (parts[row].sum() <= 0)
        if not found.denied:
            assert found.reasons == ()
            continue
        wanted = {"A": parts[row, 0] if low[row] else 0.0, "BC": np.minimum(parts[row, 1:3], 0)}
        sums = {code: float(np.sum(part)) for code, part in wanted.items()}
        order = sorted((code for code in sums if sums[code] < 0), key=lambda code: sums[code])
        assert [reason.code for reason in found.reasons] == order
        for reason in found.reasons:
            assert reason.relevance == pytest.approx(sums[reason.code], rel=1e-3, abs=1e-4)
        assert "leak" not in found.untold
    denied = [found for found in given if found.denied]
    assert len(denied) > 30
    assert all(reason.confirmed for f in denied for reason in f.reasons if reason.relevance < -3)


def read_reasons_of(folder: Path) -> ReasonTexts:
    return read_reasons(folder / "reasons.toml")


def test_equal_reasons_stand_as_in_the_file(folder: Path) -> None:
    """Columns a and b are one: whatever rounding says, the file's order decides."""
    model = write_model(folder, linear([(0, 1), (0, 1.0000001), (0, 0), (0, 0)]), "equal")
    own = subject(model, folder / "rows.csv")
    for order in (["a", "b"], ["b", "a"]):
        given = find_reasons(own, texts(*((name, [name], {}) for name in order), count=1))
        codes = {reason.code for found in given for reason in found.reasons}
        assert codes == {order[0]}


def test_a_reason_that_moves_nothing_is_not_confirmed(folder: Path) -> None:
    """What two branches add and take away again has relevance in mode default only."""
    kept = "float[4, 2] w = {0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0}"
    text = f"h = MatMul(x, w) k = MatMul(x, v) y = Sub(h, k)|{kept}, "
    text += "float[4, 2] v = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0}"
    own = subject(write_model(folder, text, "idle"), folder / "rows.csv")
    explain = own.explain

    def tilted(*asked: Any, **how: Any) -> Any:
        made = explain(*asked, **how)
        made.features[:, 3] = -1.0
        return made

    own.explain = tilted  # type: ignore[method-assign]
    given = find_reasons(own, texts(("L", ["leak"], {}), ("A", ["a"], {})))
    told = {r.code: r.confirmed for found in given for r in found.reasons if found.denied}
    assert told["L"] is False


def test_features_without_a_sentence_are_told(folder: Path) -> None:
    own = subject(folder / "net.onnx", folder / "rows.csv")
    given = [found for found in find_reasons(own, texts(("C", ["c"], {}))) if found.denied]
    assert any("a" in found.untold for found in given)
    assert all({"c", "leak"}.isdisjoint(found.untold) for found in given)
    everyone = find_reasons(own, texts(("A", ["a"], {}), everyone=True))
    assert any(found.reasons and not found.denied for found in everyone)


def test_what_is_negligible_or_weaker_than_the_count_is_not_told(folder: Path) -> None:
    """By hand: shares of a, b, c and leak, of which a alone has a sentence."""
    model = write_model(folder, linear([(0, 1), (0, 1), (0, 1), (0, 1)]), "sum")
    rows = [(-10, -8, -0.5, 3), (-10, -8, -4, 3), (-1, -30, -20, -2)]
    (folder / "few.csv").write_text(
        "a,b,c,leak\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows)
    )
    own = subject(model, folder / "few.csv")
    untold = [
        [found.untold for found in find_reasons(own, texts(("A", ["a"], {}), count=count))]
        for count in (1, 2, 4)
    ]
    assert untold == [
        [(), (), ("b",)],  # a is the strongest of the first two rows
        [("b",), ("b",), ("b", "c")],
        [("b",), ("b", "c"), ("b", "c")],  # 2 % of the first row, and 4 % of the third are too few
    ]


def test_one_row_is_not_tried(folder: Path) -> None:
    x = np.array([[-1.0, -1.0, -1.0, 0.0]], np.float32)
    np.save(folder / "one.npy", x)
    (found,) = find_reasons(
        subject(folder / "net.onnx", folder / "one.npy"), texts(("A", ["a"], {}))
    )
    assert [reason.confirmed for reason in found.reasons] == [None]


def test_a_regression_has_higher_and_lower(folder: Path) -> None:
    own = subject(folder / "net.onnx", folder / "rows.csv", task="regression")
    up = find_reasons(own, texts(("A", ["a"], {}), outcome="higher"))
    down = find_reasons(own, texts(("A", ["a"], {}), outcome="lower"))
    a = own.data.feeds["x"][:, 0]
    for row, pair in enumerate(zip(up, down, strict=True)):
        assert [bool(found.reasons) for found in pair] == [a[row] < 0, a[row] > 0]
    with pytest.raises(InputError, match="higher or lower, not 'yes'"):
        find_reasons(own, texts(("A", ["a"], {})))


WRONG = [
    ("outcome = 'yess'", "did you mean 'yes'"),
    ("[[reasons]]\ncode='A'\ntext='t'\nfeatures=['a']", "code 'A' is there twice"),
    ("[[reasons]]\ncode='Z'\ntext='t'\nfeature=['a']", "'feature'; did you mean 'features'"),
    ("[[reasons]]\ncode='Z'\ntext='t'\nfeatures=[]", "reasons.2.features"),
    ("[[reasons]]\ncode='Z'\ntext='t'\nfeatures=['leek']", "did you mean 'leak'"),
    ("[[reasons]]\ncode='Z'\ntext='t'\nfeatures=['a']\nvalues=['x']", "a has no 'x'"),
    (
        "[[reasons]]\ncode='Z'\ntext='t'\nfeatures=['a']\nvalues=['x']\ndirection='low'",
        "either a direction or values",
    ),
    ("count = [", "not valid TOML"),
]


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_wrong_files_are_named(folder: Path, line: str, words: str) -> None:
    text = REASONS.replace('outcome = "yes"', line) if "outcome" in line else REASONS + line
    (folder / "reasons.toml").write_text(text)
    with pytest.raises((InputError, RequestError)) as raised:
        find_reasons(subject(folder / "net.onnx", folder / "rows.csv"), read_reasons_of(folder))
    assert words in str(raised.value)
    assert str(raised.value).startswith(str(folder / "reasons.toml"))


def test_a_text_that_is_typed_has_no_columns(run: Any, folder: Path, tmp_path: Path) -> None:
    onnx.save(classifier(), tmp_path / "text.onnx")
    how = ("--tokenizer", word_pieces(tmp_path), "--reasons", folder / "reasons.toml")
    (tmp_path / "reviews.txt").write_text("a good film\n")
    lines = f"@{tmp_path / 'reviews.txt'}"
    for typed in ("a good film", "input_ids=bad . a film", "text=good.csv and bad", lines):
        code, _, err = run("explain", tmp_path / "text.onnx", typed, *how)
        assert (
            code == 2
            and f"--reasons takes rows of columns, from a file, and '{typed}' is a text" in err
        )
        assert "no such file" not in err


def test_the_audit_counts_who_cannot_be_told(folder: Path) -> None:
    how = {"reasons": str(folder / "reasons.toml")}
    model, rows = folder / "net.onnx", folder / "rows.csv"
    (folder / "reasons.toml").write_text(REASONS.replace('["b", "c"]', '["c"]'))
    found = one("reason-codes", model, rows, **how)
    assert found.confirmed is True and found.evidence["codes"]["A"] > 0
    assert found.value is not None and found.value > 0
    assert "count from zero" in found.text and found.evidence["compared"] in found.text
    (folder / "reasons.toml").write_text(REASONS)
    better = one("reason-codes", model, rows, **how)
    assert better.value is not None and better.value < found.value
    (folder / "reasons.toml").write_text(REASONS.replace('["b", "c"]', '["leak"]'))
    worse = one("reason-codes", model, rows, **how)
    assert worse.status == "failed" and worse.evidence["untold"]["b"] > 0


def test_the_command_prints_and_writes_them(run: Any, folder: Path) -> None:
    (folder / "three.csv").write_text("a,b,c,leak\n-1,-1,1,0\n2,2,0,0\n1,-9,0,1\n")
    how = ("explain", folder / "net.onnx", folder / "three.csv", "--mode", "lrp")
    reasons = ("--reasons", folder / "reasons.toml")
    code, out, _ = run(*how, *reasons)
    assert code == 0 and "Reasons against yes:\n  A  a is low (a; " in out
    assert "No reasons are given: the answer is yes." in out
    found = json.loads(run(*how, *reasons, "--json")[1])["samples"]
    assert [sample["reasons"]["denied"] for sample in found] == [True, False, True]
    assert [r["code"] for r in found[2]["reasons"]["given"]] == ["BC"]
    assert "reasons" not in json.loads(run(*how, "--json")[1])["samples"][0]
    code, _, err = run(*how, "--reasons", folder / "none.toml")
    assert code == 2 and "none.toml: cannot be read" in err


def test_modes_that_compare_take_their_baseline(run: Any, folder: Path) -> None:
    """Against a baseline of ones, zeros speak against the outcome."""
    np.save(folder / "ones.npy", np.ones((1, 4), np.float32))
    (folder / "zero.csv").write_text("a,b,c,leak\n-0.5,0,0,0\n0,0,0,0\n")
    how = ("explain", folder / "net.onnx", folder / "zero.csv", "--mode", "deeplift", "--json")
    more = ("--reasons", folder / "reasons.toml", "--baseline", folder / "ones.npy")
    found = json.loads(run(*how, *more)[1])["samples"][0]["reasons"]["given"]
    sizes = {reason["code"]: reason["relevance"] for reason in found}
    assert sizes["A"] == pytest.approx(-4.5, rel=1e-3)
    assert sizes["BC"] == pytest.approx(-3.0, rel=1e-3)
