"""The command line's table of modes and metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backtrace_onnx import evaluate
from tests.command_line import ADULT, MNIST, MODELS, ROWS

QUICK = ("--sets", 10, "--steps", 3)


def test_a_table_and_a_folder(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("evaluate", MNIST, "--data", MODELS / "samples" / "digit_*.png", *QUICK, "--out", out)
    code, printed, error = run(*given)
    assert (code, error) == (0, "")
    lines = printed.splitlines()
    assert lines[0].split()[0] == "mode" and lines[0].endswith("median rank")
    assert [line.split()[0] for line in lines[1:5]] == [
        *("auto", "default", "gradient_x_input", "random")
    ]
    assert "note: auto was deeplift" in lines
    assert "note: parts are 196 squares; what takes their place is a blur" in lines
    code, printed, _ = run(*given, "--json")
    record = json.loads(printed)
    assert record["resumed"] == 12 and record["rows"] == 3
    assert record["metrics"][0]["name"] == "faithfulness-correlation"
    own = {mode["mode"]: mode for mode in record["modes"]}
    assert own["random"]["median_rank"] is None and own["auto"]["used"] == ["deeplift"]
    assert own["auto"]["metrics"]["abpc"]["low"] <= own["auto"]["metrics"]["abpc"]["mean"]
    assert len(own["auto"]["curves"]["morf"]) == 4
    kept = json.loads((out / "evaluation.json").read_text())
    assert kept["modes"] == record["modes"]


def test_columns_of_a_table_are_parts(run: Any) -> None:
    given = ("evaluate", ADULT, "--data", ROWS, "--mode", "lrp", "--mode", "shap", *QUICK)
    code, printed, _ = run(*given, "--metric", "abpc", "--metric", "sensitivity-max", "--rows", 3)
    assert code == 0
    assert "note: parts are 12 columns; what takes their place is the mean of the rows" in printed
    assert "note: 3 of 5 rows, drawn with seed 0" in printed
    assert "shap: not in 3 of 3 rows: " in printed
    code, printed, _ = run(*given, "--metric", "complexity", "--target", ">50K", "--rows", "all")
    assert code == 0 and "drawn with seed" not in printed


def test_wrong_requests(run: Any) -> None:
    for wrong, said in (
        (("--rows", "some"), "--rows is a number, not 'some'"),
        (("--metric", "abcp"), "did you mean abpc?"),
        (("--mode", "lpr"), "unknown mode 'lpr'"),
        (("--sample-axis", "first"), "--sample-axis is a number"),
        (("--replace", "nothing"), "there are: zeros, mean, blur, background"),
    ):
        code, _, error = run("evaluate", ADULT, "--data", ROWS, *QUICK, *wrong)
        assert code == 2 and said in error


def test_a_run_goes_on_from_python(run: Any, tmp_path: Path) -> None:
    typed = ("--mode", "lrp", "--metric", "complexity", "--target", ">50K", "--rows", 3)
    given = ("evaluate", ADULT, "--data", ROWS, *typed, "--out", tmp_path)
    assert run(*given)[0] == 0
    how = {"modes": "lrp", "metrics": "complexity", "rows": 3, "out": tmp_path}
    assert evaluate(ADULT, ROWS, **how, target=1).kept == 3
