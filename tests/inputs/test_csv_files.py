"""Tables as files, however they are written: what is read, refused and reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from backtrace_onnx import Explainer, InputError
from backtrace_onnx.cli import commands, main
from tests.column_models import KINDS, people
from tests.graphs import FLOAT, INT64, STRING, mlp, model, node, normal
from tests.inputs.table_rows import ARRAYS, HOURS, JOBS, RECORDS, ROWS

CSV = "age,hours,job\n30,40,pilot\n41.5,20,cook\n64,38,sailor\n"


def report(folder: Path, name: str, text: str | bytes, *options: str, imputed: bool = False) -> Any:
    onnx.save(people(imputed=imputed), folder / "m.onnx")
    data = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(data)
    arguments = ["explain", str(folder / "m.onnx"), str(folder / name), "--json", *options]
    return json.loads(CliRunner().invoke(commands, arguments, catch_exceptions=False).stdout)


SPELLINGS = {
    "plain.csv": CSV,
    "order.csv": "job,age,hours\npilot,30,40\ncook,41.5,20\nsailor,64,38\n",
    "quoted.csv": '"age","hours","job"\r\n"30","40","pilot"\r\n41.5,20,cook\r\n64,38,"sailor"\r\n',
    "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "semicolons.csv": CSV.replace(",", ";"),
    "tabs.csv": CSV.replace(",", "\t"),
    "excel.csv": "sep=;\r\n" + CSV.replace(",", ";"),
    "excel bars.csv": b"\xef\xbb\xbfsep=|\n" + CSV.replace(",", "|").encode(),
    "spaces.csv": " age , hours , job\n\n30, 40,pilot\n41.5,20 ,cook\n64,38.0,sailor\n,,\n\n",
    "records.json": json.dumps(RECORDS),
    "columns.json": json.dumps(ROWS),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_files_however_they_are_written(name: str, tmp_path: Path) -> None:
    found = report(tmp_path, name, SPELLINGS[name], "--mode", "contrastive")
    assert [s["source"] for s in found["samples"]] == [f"{name} row {i}" for i in (1, 2, 3)]
    direct = Explainer(people()).explain(ARRAYS, mode="contrastive")
    for i, sample in enumerate(found["samples"]):
        told = [note for note in sample["notes"] if "column" in note or "missing" in note]
        blanks = [note for note in told if "columns are called without the blanks of" in note]
        assert told == blanks and bool(told) is (name == "spaces.csv")
        parts = {part["name"]: part for part in sample["top"]}
        assert {k: part["input"] for k, part in parts.items()} == {k: k for k in ROWS}
        for column, part in parts.items():
            assert part["relevance"] == direct.relevance[column][i, 0]
        assert parts["job"]["value"] == JOBS[i] and parts["hours"]["value"] == str(HOURS[i])


def test_what_is_left_out_and_missing_is_in_the_report(tmp_path: Path) -> None:
    text = "age,hours,job,income\n30,40,pilot,1\n,20,,0\n"
    first, second = report(tmp_path, "rows.csv", text, imputed=True)["samples"]
    assert first["notes"][:2] == second["notes"][:2]
    assert "no input for column 'income', which is left out" in first["notes"][0]
    assert "age 1 (given as NaN), job 1 (given as the empty text)" in first["notes"][1]
    values = {part["name"]: part["value"] for part in second["top"]}
    assert values == {"age": "missing", "hours": "20", "job": "(empty)"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the table is empty"),
        ("sep=;", "the table is empty"),
        ("sep=;\nage;hours;job\n1;2\n", "row 1 has 2 values, the header 3"),
        ("age,hours,job\n", "has no rows"),
        ("age,age,hours,job\n1,1,1,cook\n", "names column 'age' twice"),
        ("age,hours,job\n1,2,cook\n1,2\n", "row 2 has 2 values, the header 3"),
        ("age,job\n1,cook\n", "has no column 'hours'; it has: age, job"),
        ("age,hours,jobs\n1,2,cook\n", r"has no column 'job' (did you mean: jobs?)"),
        ("30,40,cook\n", "has no rows"),
        ("30,40,cook\n30,40,cook\n", "has no column 'age', 'hours', 'job'"),
        ("age,hours,job\n1,2,cook\n,2,cook\n", "row 2, column 'age': the value is missing"),
        ("age,hours,job\n1,,cook\n", "row 1, column 'hours': the value is missing"),
        ('age,hours,job\n"1,234",2,cook\n', "row 1, column 'age': '1,234' is not a number"),
        ("age;hours;job\n3,5;2;cook\n", "row 1, column 'age': '3,5' is not a number"),
        ("age,hours,job\n1,99999999999999999999,cook\n", "column 'hours': '99999999999999999999'"),
        ("age,hours,job\ninf,2,cook\n", "row 1, column 'age': 'inf' is not a finite"),
        (b"age,hours,job\n1,2,caf\xe9\n", "not a .csv file in UTF-8"),
        (b"\xff\xfea\x00", "not a .csv file in UTF-8"),
    ],
)
def test_ugly_files(text: str | bytes, words: str, tmp_path: Path, capsys: Any) -> None:
    onnx.save(people(), tmp_path / "m.onnx")
    file = tmp_path / "rows.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    code = main(["explain", str(tmp_path / "m.onnx"), str(file)])
    error = capsys.readouterr().err
    assert code == 2 and words in error and "rows.csv" in error, error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"age": 1, "hours": 2, "job": {"title": "cook"}}], "column 'job': holds an object"),
        ([{"age": 1, "hours": 2}], "has no column 'job'"),
        ({"age": [1, 2], "hours": [1], "job": ["a", "b"]}, "not of one length"),
        ([{"age": "x", "hours": 2, "job": "cook"}], "row 1, column 'age': 'x' is not a number"),
        ([1, {"age": 2}], "which input is it for?"),
    ],
)
def test_ugly_json(content: Any, words: str, tmp_path: Path, capsys: Any) -> None:
    onnx.save(people(), tmp_path / "m.onnx")
    (tmp_path / "rows.json").write_text(json.dumps(content))
    assert main(["explain", str(tmp_path / "m.onnx"), str(tmp_path / "rows.json")]) == 2
    error = capsys.readouterr().err
    assert words in error and "rows.json" in error, error


def test_a_key_twice_in_json_is_told(tmp_path: Path, capsys: Any) -> None:
    onnx.save(people(), tmp_path / "m.onnx")
    (tmp_path / "r.json").write_text('[{"age": 1, "age": 2, "hours": 2, "job": "cook"}]')
    assert main(["explain", str(tmp_path / "m.onnx"), str(tmp_path / "r.json")]) == 2
    assert "names 'age' twice" in capsys.readouterr().err


def test_columns_beside_an_array_that_is_given_by_name(tmp_path: Path) -> None:
    kinds = {**KINDS, "x": (FLOAT, ["N", 2])}
    base = people()
    proto = model(
        [*base.graph.node, node("Add", ["y", "x"], ["z"])],
        kinds,
        {"z": (FLOAT, ["N", 2])},
        {t.name: onnx.numpy_helper.to_array(t) for t in base.graph.initializer},
        domains={"ai.onnx.ml": 3},
    )
    onnx.save(proto, tmp_path / "m.onnx")
    (tmp_path / "rows.csv").write_text(CSV.replace("age,", "years,"))
    np.save(tmp_path / "x.npy", normal(3, 2))
    np.save(tmp_path / "age.npy", ARRAYS["age"])
    files = [f"x={tmp_path / 'x.npy'}", f"age={tmp_path / 'age.npy'}", str(tmp_path / "rows.csv")]
    arguments = ["explain", str(tmp_path / "m.onnx"), *files, "--json"]
    found = json.loads(CliRunner().invoke(commands, arguments, catch_exceptions=False).stdout)
    assert len(found["samples"]) == 3
    assert any("no input for column 'years'" in note for note in found["samples"][0]["notes"])


def test_a_header_names_the_features_of_one_input(tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")
    (tmp_path / "rows.csv").write_text("a,b,c,d\n1,2,3,4\n4,3,2,1\n")
    arguments = ["explain", str(tmp_path / "m.onnx"), str(tmp_path / "rows.csv"), "--json"]
    found = json.loads(CliRunner().invoke(commands, arguments, catch_exceptions=False).stdout)
    assert {part["name"] for part in found["samples"][0]["top"]} == {"a", "b", "c", "d"}
    assert any("in the order of" in note for note in found["samples"][0]["notes"])


def test_a_file_of_other_columns_than_the_input_has(tmp_path: Path, capsys: Any) -> None:
    """It is told like a frame: by names, not by the first text in it."""
    onnx.save(mlp(), tmp_path / "m.onnx")
    for header, row in (("a,b,c,d,e", "1,2,3,4,cook"), ("a,b,c", "1,2,3")):
        (tmp_path / "rows.csv").write_text(f"{header}\n{row}\n")
        assert main(["explain", str(tmp_path / "m.onnx"), str(tmp_path / "rows.csv")]) == 2
        names = header.split(",")
        told = f"has {len(names)} columns ({', '.join(names)}), input 'x' takes 4; leave the others"
        assert told.partition(";")[0] in capsys.readouterr().err


def test_the_report_lists_columns_once_and_draws_them_together(tmp_path: Path) -> None:
    onnx.save(people(), tmp_path / "m.onnx")
    (tmp_path / "rows.csv").write_text(CSV)
    arguments = ["explain", str(tmp_path / "m.onnx"), str(tmp_path / "rows.csv")]
    shown = CliRunner().invoke(commands, arguments, catch_exceptions=False).stdout
    assert "job = pilot" in shown and "feature" in shown
    assert not any(line.startswith("input ") for line in shown.splitlines())
    Explainer(people()).explain(RECORDS).plot(tmp_path / "p.svg")
    drawn = (tmp_path / "p.svg").read_text("utf-8")
    assert all(f"<!-- {label} -->" in drawn for label in ("age = 30", "hours = 40", "job = pilot"))


def test_vectors_of_rows_and_a_text_alone(tmp_path: Path) -> None:
    kinds = {"a": (FLOAT, ["N"]), "b": (INT64, ["N"])}
    nodes = [node("Cast", ["b"], ["c"], to=FLOAT), node("Mul", ["a", "c"], ["y"])]
    proto = model(nodes, kinds, {"y": (FLOAT, ["N"])})
    onnx.save(proto, tmp_path / "m.onnx")
    (tmp_path / "rows.csv").write_text("b,a\n2,3.5\n1,1\n")
    arguments = ["explain", str(tmp_path / "m.onnx"), str(tmp_path / "rows.csv"), "--json"]
    found = json.loads(CliRunner().invoke(commands, arguments, catch_exceptions=False).stdout)
    assert {part["name"] for part in found["samples"][0]["top"]} == {"a", "b"}
    text = node("OneHotEncoder", ["job"], ["y"], domain="ai.onnx.ml", cats_strings=["a", "b"])
    one = model(
        [text], {"job": (STRING, ["N", 1])}, {"y": (FLOAT, ["N", 1, 2])}, domains={"ai.onnx.ml": 3}
    )
    assert Explainer(one).explain([{"job": "b"}]).relevance["job"].shape == (1, 1)
    with pytest.raises(InputError, match="has no column 'job'"):
        Explainer(one).explain([{"work": "b"}])


def test_texts_are_typed_where_an_input_takes_them(tmp_path: Path) -> None:
    count = node("OneHotEncoder", ["job"], ["y"], domain="ai.onnx.ml", cats_strings=["a b", "c"])
    one = model(
        [count], {"job": (STRING, ["N", 1])}, {"y": (FLOAT, ["N", 1, 2])}, domains={"ai.onnx.ml": 3}
    )
    onnx.save(one, tmp_path / "m.onnx")
    (tmp_path / "lines.txt").write_text("a b\nc\n")

    def sources(*given: str) -> list[str]:
        arguments = ["explain", str(tmp_path / "m.onnx"), *given, "--json"]
        found = json.loads(CliRunner().invoke(commands, arguments, catch_exceptions=False).stdout)
        return [f"{s['source']}: {s['top'][0]['value']}" for s in found["samples"]]

    assert sources("a b", "job=c") == ["a b: a b", "c: c"]
    assert sources(f"@{tmp_path / 'lines.txt'}") == ["a b: a b", "c: c"]
    onnx.save(people(), tmp_path / "m.onnx")
    np.save(tmp_path / "age.npy", [[3.0]])
    np.save(tmp_path / "hours.npy", [[3]])
    files = [f"{name}={tmp_path / name}.npy" for name in ("age", "hours")]
    assert len(sources(*files, "job=cook")) == 1


def test_what_is_no_file_of_several_inputs_is_told(tmp_path: Path, capsys: Any) -> None:
    onnx.save(people(), tmp_path / "m.onnx")
    assert main(["explain", str(tmp_path / "m.onnx"), "rows.cvs"]) == 2
    assert "inputs are .npy, .npz, .json, .csv" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["gradient_x_input", "lrp", "deeplift"])
def test_a_missing_number_is_worth_nothing_in_signed_modes(mode: str, engine: Any) -> None:
    """What an Imputer puts in its place is a constant of the model."""
    inputs = {**ARRAYS, "age": ARRAYS["age"].copy()}
    inputs["age"][1] = np.nan
    made = Explainer(people(imputed=True), engine=engine).explain(inputs, mode=mode)
    whole = Explainer(people(imputed=True), engine=engine).explain(ARRAYS, mode=mode)
    assert made.relevance["age"][1] == 0
    np.testing.assert_allclose(made.relevance["age"][0], whole.relevance["age"][0], rtol=1e-6)
    assert np.isfinite(made.ledger.total().unassigned).all()
