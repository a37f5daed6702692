"""Reasons as columns of a data set's results: those of `explain --reasons`, in any batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from backtrace_onnx import ExplainBatches, InputError, RequestError, explain_dataset
from backtrace_onnx.audit import reason_columns
from backtrace_onnx.audit.reason_columns import ReasonColumns
from tests.command_line import ADULT, ROWS

REASONS = """
outcome = ">50K"
count = 2
[[reasons]]
code = "R1"
text = "Few hours"
features = ["hours-per-week"]
direction = "low"
[[reasons]]
code = "R2"
text = "Capital"
features = ["capital-*"]
[[reasons]]
code = "R4"
text = "Not married"
features = ["marital-status", "relationship"]
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "reasons.toml").write_text(REASONS)
    header, *rows = ROWS.read_text().splitlines()
    (tmp_path / "rows.csv").write_text("\n".join([header, *rows * 4]))
    return tmp_path


def columns(here: Path, out: str, **options: Any) -> pa.Table:
    more = ReasonColumns(here / "reasons.toml")
    how = {"mode": "lrp", "more": more, **options}
    table = explain_dataset(ADULT, here / "rows.csv", here / out, **how).read()
    return table.select([name for name in table.column_names if name.startswith("reason/")])


def test_they_are_the_reasons_of_explain(run: Any, here: Path) -> None:
    code, out, _ = run(
        *("explain", ADULT, here / "rows.csv", "--mode", "lrp", "--no-check", "--json"),
        *("--reasons", here / "reasons.toml"),
    )
    assert code == 0
    told = [sample["reasons"] for sample in json.loads(out)["samples"]]
    rows = columns(here, "out").to_pylist()
    assert len(rows) == len(told) == 20
    assert any(one["given"] for one in told) and not all(one["denied"] for one in told)
    for row, one in zip(rows, told, strict=True):
        assert (row["reason/denied"], row["reason/untold"]) == (one["denied"], one["untold"])
        for i in range(2):
            own = one["given"][i] if i < len(one["given"]) else {}
            assert row[f"reason/{i + 1}"] == own.get("code")
            for key in ("text", "features", "share", "confirmed"):
                assert row[f"reason/{i + 1}_{key}"] == own.get(key)


def test_they_are_the_same_in_any_batch_and_by_workers(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = columns(here, "whole")
    assert columns(here, "some", batch=3, part_rows=7).equals(whole)
    assert columns(here, "two", batch=4, workers=2).equals(whole)
    monkeypatch.setattr(reason_columns, "OTHERS", 6)
    few = columns(here, "few")
    assert columns(here, "few3", batch=3).equals(few)


def test_the_command_has_them_and_resumes_with_the_same_sentences_only(
    run: Any, here: Path
) -> None:
    def typed() -> tuple[int, str]:
        code, out, err = run(
            *("explain-dataset", ADULT, here / "rows.csv", "--mode", "lrp"),
            *("--out", here / "out", "--reasons", here / "reasons.toml"),
        )
        return code, out + err

    assert typed()[0] == 0
    assert "1 of them kept" in typed()[1]
    (here / "reasons.toml").write_text(REASONS.replace("Few hours", "Too few hours"))
    code, said = typed()
    assert code == 2 and "results of another run: options more" in said


def test_without_rows_and_without_a_data_set(here: Path) -> None:
    (here / "rows.csv").write_text(ROWS.read_text().splitlines()[0] + "\n")
    assert columns(here, "none").num_rows == 0
    explain = ExplainBatches(ADULT, more=ReasonColumns(here / "reasons.toml"))
    with pytest.raises(RequestError, match="reasons go with explain_dataset"):
        explain(pa.csv.read_csv(ROWS))
    (here / "reasons.toml").write_text("outcome = 1")
    with pytest.raises(InputError, match=r"reasons\.toml"):
        ReasonColumns(here / "reasons.toml")


def test_explanations_with_reasons_are_computed_again(run: Any, here: Path) -> None:
    """The baseline that nobody gave is kept, so that what was saved is verified."""
    how = ("--reasons", here / "reasons.toml", "--out", here / "out", "--no-check")
    assert run("explain", ADULT, ROWS, *how)[0] == 0
    saved = sorted((here / "out").glob("*.npz"))[0]
    code, out, err = run("verify", saved)
    assert code == 0, out + err


def test_notes_of_rows_say_what_nobody_gave(here: Path) -> None:
    """Rows are compared with a mean that nobody gave: their notes say whose it is."""
    more = ReasonColumns(here / "reasons.toml")
    made = explain_dataset(ADULT, here / "rows.csv", here / "out", more=more)
    said = {note for notes in made.read()["notes"].to_pylist() for note in notes}
    words = "the sidecar's means, and all categories alike"
    assert f"the score is compared with that of {words}" in said
    assert not [note for note in said if "given" in note]


def test_the_command_takes_what_they_are_compared_with(run: Any, here: Path) -> None:
    """As `explain` does, row by row; and a background that changed is another run's."""
    header, *rows = ROWS.read_text().splitlines()
    back = here / "back.csv"
    back.write_text("\n".join([header, *rows[3:]]))
    reasons = ("--reasons", here / "reasons.toml")
    _, out, _ = run("explain", ADULT, ROWS, *reasons, "--background", back, "--no-check", "--json")
    told = [
        [reason["code"] for reason in sample["reasons"]["given"]]
        for sample in json.loads(out)["samples"]
    ]
    typed = ("explain-dataset", ADULT, ROWS, "--out", here / "out", *reasons, "--background", back)
    code, out, _ = run(*typed)
    assert code == 0 and "compare with 2 rows of the background" in out
    made = pa.parquet.read_table(here / "out" / "part-00000.parquet").to_pylist()
    assert [[row[f"reason/{i}"] for i in (1, 2) if row[f"reason/{i}"]] for row in made] == told
    assert any(told)
    back.write_text("\n".join([header, rows[0]]))
    code, _, err = run(*typed)
    assert code == 2 and "another run: options background" in err
