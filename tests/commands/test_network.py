"""The command `network`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backtrace_onnx import network_analysis
from tests.command_line import ADULT, ROWS


def test_a_table_json_and_the_picture(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed, _ = run("network", ADULT, ROWS, "--out", out, "--json")
    told = json.loads(printed)
    made = network_analysis(ADULT, ROWS, mode="auto")
    assert code == 0 and told["files"] == ["flow.png", "report.json"]
    assert told["parts"] == json.loads(json.dumps(made.record()))["parts"]
    assert json.loads((out / "report.json").read_text())["parts"] == told["parts"]
    assert (out / "flow.png").read_bytes().startswith(b"\x89PNG")
    code, printed, _ = run("network", ADULT, ROWS, "--parts", "all", "--batch", 2)
    lines = printed.splitlines()
    assert code == 0 and lines[0] == f"5 row(s), mode lrp: {made.title}"
    heads = [line.split()[0] for line in lines if "received" in line]
    assert heads == ["layer", "module", "node", "input"]
    assert any(line.startswith("relu2/Relu") and "dead" in line for line in lines)


def test_wrong_requests(run: Any, tmp_path: Path) -> None:
    for wrong, what in (
        (("--mode", "gradcam"), "tells of the inputs only"),
        (("--target", "rich"), "target 'rich' is neither an index nor a label"),
        (("--parts", "heads"), "'heads' is not one of"),
    ):
        code, _, error = run("network", ADULT, ROWS, *wrong)
        assert code == 2 and what in error, error
    code, _, error = run("network", ADULT, tmp_path / "none.csv")
    assert code == 2 and "no such file" in error


def test_columns_that_are_no_inputs_are_named(run: Any, tmp_path: Path) -> None:
    header, *rows = ROWS.read_text().splitlines()
    lines = [f"{header},who,case", *(f"{row},a,{i}" for i, row in enumerate(rows))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    plain = run("network", ADULT, ROWS, "--json")[1]
    kept = ("--label-column", "loan", "--id-column", "case", "--group-column", "who")
    code, printed, _ = run("network", ADULT, tmp_path / "rows.csv", *kept, "--json")
    assert code == 0 and json.loads(printed)["parts"] == json.loads(plain)["parts"]
    code, _, error = run("network", ADULT, tmp_path / "rows.csv", "--group-column", "whom")
    assert code == 2 and "did you mean: who?" in error


def test_what_reading_tells_is_told(run: Any, tmp_path: Path) -> None:
    lines = ROWS.read_text().splitlines()
    lines[2] = lines[2].replace("23", "young", 1)
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    out = tmp_path / "out"
    given = ("network", ADULT, tmp_path / "rows.csv", "--skip-bad")
    code, printed, _ = run(*given, "--out", out, "--json")
    left, column, *_ = json.loads(printed)["notes"]
    assert code == 0 and json.loads(printed)["rows"] == 4
    assert left.startswith("1 row(s) could not be read and were left out: ")
    assert "rows.csv: line 3, column 'age': 'young' is not a number" in left
    assert column.endswith("the model has no input for column 'loan', which is left out")
    assert json.loads((out / "report.json").read_text())["notes"][:2] == [left, column]
    assert f"note: {left}" in run(*given)[1].splitlines()
    (tmp_path / "rows.csv").write_text("\n".join([lines[0], lines[2]]))
    code, _, error = run(*given)
    assert code == 2 and "there is no row to analyse the network with; 1 row(s) could" in error
