"""The command line over data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from backtrace_onnx import explain_dataset
from tests.command_line import ADULT, MNIST, ROWS

COLUMNS = ("--label-column", "loan", "--group-column", "gender")


def test_rows_become_parts(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("explain-dataset", ADULT, ROWS, "--out", out, *COLUMNS, "--batch", 2)
    code, printed, _ = run(*arguments, "--part-rows", 3)
    first, note = printed.splitlines()
    assert code == 0 and first == f"5 rows explained: {out} (2 part(s))"
    assert note.startswith("note: mode auto picked lrp: ")
    table = pq.read_table(out)
    assert table["label/loan"].to_pylist() == ["<=50K"] * 4 + [">50K"]
    assert "picked lrp" in table["notes"][0].as_py()[0]
    code, printed, _ = run(*arguments, "--part-rows", 3, "--json")
    assert json.loads(printed) == {
        "folder": str(out),
        "rows": 5,
        "skipped": 0,
        "bad": [],
        "parts": [str(out / f"part-0000{i}.parquet") for i in range(2)],
        "notes": [note.removeprefix("note: ")],
        "resumed": 2,
    }
    code, _, error = run(*arguments, "--target", ">50K")
    assert code == 2 and "options target was None, now 1" in error
    code, _, _ = run(
        *arguments, "--target", ">50K", "--no-resume", "--mode", "epsilon(absolute=1e-6)"
    )
    assert code == 0 and set(pq.read_table(out)["target"].to_pylist()) == {1}


def test_bad_rows_and_wrong_requests(run: Any, tmp_path: Path) -> None:
    lines = ROWS.read_text().splitlines()
    lines[2] = lines[2].replace("23", "young")
    data, out = tmp_path / "rows.csv", tmp_path / "out"
    data.write_text("\n".join(lines))
    code, _, error = run("explain-dataset", ADULT, data, "--out", out)
    assert code == 2 and "rows.csv: line 3, column 'age': 'young' is not a number" in error
    code, printed, _ = run("explain-dataset", ADULT, data, "--out", out, "--skip-bad")
    assert code == 0 and printed.startswith("4 rows explained")
    assert "1 row(s) could not be read and were left out:\n  " in printed
    assert "note: " in printed and "no input for column 'loan'" in printed
    for wrong, what in (
        (("--target", "rich"), "target 'rich' is neither an index nor a label"),
        (("--sample-axis", "first"), "--sample-axis is the number of an axis or none"),
        (("--mode", "lpr"), "lpr"),
    ):
        code, _, error = run("explain-dataset", ADULT, ROWS, "--out", tmp_path / "x", *wrong)
        assert code == 2 and what in error
    code, _, _ = run("explain-dataset", ADULT, ROWS, "--out", tmp_path / "x")
    assert code == 0  # what failed before its first part holds nobody up


def test_a_folder_of_pictures(run: Any, tmp_path: Path) -> None:
    pattern = ROWS.parent / "digit_*.png"
    out = ("--out", tmp_path / "out", "--id-column", "file", "--target", 3)
    code, _, _ = run("explain-dataset", MNIST, pattern, *out)
    table = pq.read_table(tmp_path / "out")
    assert code == 0 and table["prediction"].to_pylist() == [2, 5, 8]
    assert table["target"].to_pylist() == [3, 3, 3]


REASONS = """
outcome = ">50K"
[[reasons]]
code = "R1"
text = "Few hours"
features = ["hours-per-week"]
"""
LIKE: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("--mode", "lrp"), {"mode": "lrp"}),
    ((), {"mode": "auto", "values": False, "engine": "numba", "labels": ()}),
    (
        ("--target", ">50K", "--label-column", "loan", "--baseline", "zeros"),
        {"mode": "auto", "target": ">50K", "labels": "loan", "baseline": "zeros"},
    ),
    (
        ("--target", "1", "--label-column", "loan", "--baseline", "zeros"),
        {"mode": "auto", "target": 1, "labels": ["loan"], "baseline": ["zeros"]},
    ),
    (
        ("--background", str(ROWS), "--skip-bad", "--batch", "2"),
        {"mode": "auto", "background": ROWS, "skip_bad": True, "batch": 2},
    ),
]


@pytest.mark.parametrize(("typed", "options"), LIKE)
def test_manifests_are_those_of_python(
    run: Any, typed: tuple[str, ...], options: dict[str, Any], tmp_path: Path
) -> None:
    code, *_ = run("explain-dataset", ADULT, ROWS, "--out", tmp_path / "typed", *typed)
    explain_dataset(ADULT, ROWS, tmp_path / "called", **options)
    texts = [(tmp_path / name / "_manifest.json").read_text() for name in ("typed", "called")]
    assert code == 0 and texts[0] == texts[1]
    assert explain_dataset(str(ADULT), str(ROWS), tmp_path / "typed", **options).resumed == 1


def test_manifests_with_reasons_are_those_of_python(run: Any, tmp_path: Path) -> None:
    from backtrace_onnx.audit.reason_columns import ReasonColumns

    (tmp_path / "reasons.toml").write_text(REASONS)
    typed = ("--out", tmp_path / "typed", "--reasons", tmp_path / "reasons.toml")
    assert run("explain-dataset", ADULT, ROWS, *typed)[0] == 0
    more = ReasonColumns(tmp_path / "reasons.toml")
    made = explain_dataset(ADULT, ROWS, tmp_path / "typed", mode="auto", more=more)
    assert made.resumed == 1
