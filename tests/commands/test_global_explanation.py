"""The command `global`: over a model's data, and over results that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backtrace_onnx import global_explanation
from tests.command_line import ADULT, MNIST, ROWS


def test_a_model_and_its_data(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("--by", "class", "--by", "gender", "--group", "family=marital*,relationship")
    code, printed, _ = run("global", ADULT, ROWS, *asked, "--out", out, "--json")
    assert code == 0
    told = json.loads(printed)
    assert sorted(told["files"]) == sorted(path.name for path in out.iterdir())
    assert json.loads((out / "report.json").read_text())["slices"] == told["slices"]
    groups = {"family": ["marital*", "relationship"]}
    made = global_explanation(
        ADULT, ROWS, mode="auto", by=["class", "gender"], groups=groups, drawn=0
    )
    assert json.loads(json.dumps(made.record()["slices"])) == told["slices"]
    titles = [(one["by"], one["value"], one["rows"]) for one in told["slices"]]
    assert titles == [
        (None, None, 5),
        ("class", "<=50K", 4),
        ("class", ">50K", 1),
        ("gender", "Female", 1),
        ("gender", "Male", 4),
    ]
    code, printed, _ = run("global", ADULT, ROWS, *asked, "--top", 2, "--modules")
    lines = printed.splitlines()
    assert code == 0 and "\\n" not in printed
    assert lines[0] == "5 row(s); intervals of 95%" and "class = >50K: 1 row(s)" in lines
    assert "and 10 more" in lines
    assert any(line.split()[1] == "family" for line in lines if len(line.split()) > 1)
    assert any("fc3" in line for line in lines)
    assert "note: all rows: intervals of 5 row(s) are rough; 30 are few already" in lines


def test_results_that_are_there(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("explain-dataset", ADULT, ROWS, "--out", out, "--label-column", "loan")
    code, printed, _ = run("global", out, "--by", "loan", "--json")
    there = json.loads(printed)
    asked = ("--by", "loan", "--label-column", "loan", "--json")
    code, printed, _ = run("global", ADULT, ROWS, *asked)
    assert code == 0 and json.loads(printed)["slices"] == there["slices"]
    for wrong, what in (
        ((out, "--by", "lon"), "did you mean 'loan'"),
        ((ADULT,), "is no folder of results"),
        ((ADULT, ROWS, "--by", "loans"), "did you mean: loan"),
        ((ADULT, ROWS, "--group", "x=nothing"), "no feature is called 'nothing'"),
        ((ADULT, ROWS, "--group", "x"), "a group is NAME=MEMBER"),
        ((out, "--target", 1), "target: options of explaining do not go with results"),
        ((ADULT, ROWS, "--confidence", 95), "confidence lies between 0 and 1"),
    ):
        code, _, error = run("global", *wrong)
        assert code == 2 and what in error, error


def test_pictures_have_mean_maps(run: Any, tmp_path: Path) -> None:
    pattern = ROWS.parent / "digit_*.png"
    code, printed, _ = run("global", MNIST, pattern, "--out", tmp_path / "out", "--by", "class")
    assert code == 0 and "map-image.png" in printed.splitlines()[-1]
    assert (tmp_path / "out" / "map-image.png").read_bytes().startswith(b"\x89PNG")


def test_what_modes_that_compare_compare_with(run: Any) -> None:
    """Rows of a background, or a baseline that is named."""
    asked = ["global", ADULT, ROWS, "--json"]
    for how, same in (
        (["--background", ROWS], {"mode": "auto", "background": ROWS}),
        (["--mode", "deeplift", "--baseline", "zeros"], {"mode": "deeplift", "baseline": "zeros"}),
    ):
        code, out, _ = run(*asked, *how)
        wanted = global_explanation(ADULT, ROWS, **same).record()["slices"]
        assert code == 0 and json.loads(out)["slices"] == json.loads(json.dumps(wanted))
    code, _, err = run(*asked, "--mode", "lrp", "--baseline", "zeros")
    assert code == 2 and "mode 'lrp' takes no baseline" in err
