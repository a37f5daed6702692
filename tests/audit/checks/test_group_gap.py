"""Groups of people: a model that reads other features for the one than for the other is found."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.audit.checks.group_gap import find_gaps
from backtrace_onnx.errors import InputError
from tests.audit.audited import COLUMNS, linear, one, subject, write_model, write_rows


def with_groups(folder: Path, groups: Any, name: str = "people.csv") -> Path:
    """The rows, with a column `who`."""
    with (folder / "rows.csv").open() as file:
        rows = list(csv.reader(file))
    lines = [[*rows[0], "who"], *([*row, g] for row, g in zip(rows[1:], groups, strict=True))]
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path, 400)
    return tmp_path


def test_groups_at_random_have_no_gap(folder: Path) -> None:
    rows = with_groups(folder, np.random.default_rng(3).choice(["x", "y", "z"], 400))
    found = one("group-gap", write_model(folder, linear()), rows, groups=["who"], label="answer")
    assert (found.status, found.value) == ("passed", 0.0)
    about = found.evidence["groups"]["who"]
    assert sum(group["rows"] for group in about.values()) == 400
    assert all(group["accuracy"] == 1.0 for group in about.values())
    assert sum(about["x"]["answers"].values()) == pytest.approx(1, abs=1e-5)


def test_a_feature_that_counts_for_one_group_is_found_and_confirmed(folder: Path) -> None:
    """The model reads column c only where a is positive: these rows are group p."""
    text = (
        "a = MatMul(x, pick) g = Relu(a) s = Sign(g) h = MatMul(x, w) k = MatMul(x, v) "
        "m = Mul(s, h) y = Add(m, k)"
        "|float[4, 1] pick = {1.0, 0.0, 0.0, 0.0}, "
        "float[4, 2] w = {0.0, 0.0, 0.0, 0.0, 3.0, -3.0, 0.0, 0.0}, "
        "float[4, 2] v = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, -1.0}"
    )
    model = write_model(folder, text, "gated")
    a = np.loadtxt(folder / "rows.csv", delimiter=",", skiprows=1, usecols=0)
    rows = with_groups(folder, np.where(a > 0, "p", "n"))
    found = one("group-gap", model, rows, groups=["who"])
    assert (found.status, found.confirmed) == ("failed", True), found.text
    worst = found.evidence["gaps"][0]
    made = subject(model, rows, groups=["who"])
    place, inside = COLUMNS.index(worst["feature"]), made.data.groups["who"] == worst["group"]
    shares = np.abs(made.whole.shares[:, place])
    wanted = shares[inside].mean() - shares[~inside].mean()
    assert worst["difference"] == pytest.approx(wanted, abs=1e-6)
    assert found.value == pytest.approx(min(map(abs, worst["interval"])), abs=1e-6)
    assert worst["interval"][0] < worst["difference"] < worst["interval"][1]


def test_intervals_hold_together(folder: Path) -> None:
    """In 95 of 100 divisions at random no interval of any feature and group lies off 0."""
    made = subject(write_model(folder, linear()), folder / "rows.csv")
    rng, off = np.random.default_rng(0), 0
    for _ in range(200):
        made.data.__dict__["groups"] = {"who": rng.choice(["p", "q"], 400).astype(object)}
        off += find_gaps(made)[0].least > 0
    assert off <= 20


def test_few_people_and_no_column(folder: Path) -> None:
    model = write_model(folder, linear())
    rows = with_groups(folder, ["p"] * 390 + ["q"] * 10)
    assert "no two groups of 30 rows" in one("group-gap", model, rows, groups=["who"]).text
    assert one("group-gap", model, rows).text.startswith("no column names groups")
    with pytest.raises(InputError, match=r"no column 'whom' \(did you mean: who\?"):
        one("group-gap", model, rows, groups=["whom"])
    np.save(folder / "x.npy", np.ones((5, 4), np.float32))
    with pytest.raises(InputError, match=r"x\.npy: has no column 'who'; it has: x"):
        one("group-gap", model, folder / "x.npy", groups=["who"])


def test_groups_of_the_sidecar(folder: Path) -> None:
    import json

    rows = with_groups(folder, ["p", "q"] * 200)
    model, file = write_model(folder, linear()), folder / "net.sidecar.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "columns": {"groups": ["who"]}}))
    assert set(subject(model, rows).data.groups["who"]) == {"p", "q"}
    assert one("group-gap", model, rows).status == "passed"
