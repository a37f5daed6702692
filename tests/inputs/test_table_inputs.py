"""Models with an input per column take tables, and relevance is told by the tables' columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from backtrace_onnx import Explainer, InputError, InputWarning
from backtrace_onnx.cli import commands, main
from backtrace_onnx.inputs.sidecar import Sidecar
from tests.column_models import KINDS, contributions, people
from tests.graphs import FLOAT, INT64, STRING, mlp, model, node, normal
from tests.inputs.test_frames import LIBRARIES, made

AGES, HOURS, JOBS = [30.0, 41.5, 64.0], [40, 20, 38], ["pilot", "cook", "sailor"]
ROWS = {"age": AGES, "hours": HOURS, "job": JOBS}
ARRAYS = {
    "age": np.array(AGES, np.float32)[:, None],
    "hours": np.array(HOURS)[:, None],
    "job": np.array(JOBS, object)[:, None],
}
RECORDS = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]


def same(left: Any, right: Any) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(left.relevance[name], right.relevance[name])


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("library", [*LIBRARIES, "records", "columns", "arrays by column"])
def test_a_table_is_explained_as_its_arrays(library: str, engine: Any) -> None:
    explainer = Explainer(people(), engine=engine)
    given = {
        "records": RECORDS,
        "columns": dict(reversed(ROWS.items())),
        "arrays by column": {"age": np.array(AGES), "hours": HOURS, "job": tuple(JOBS)},
    }.get(library)
    options: dict[str, Any] = {"mode": "epsilon", "target": 1}
    table = explainer.explain(made(library, ROWS) if given is None else given, **options)
    arrays = explainer.explain(ARRAYS, **options)
    same(table, arrays)
    assert table.names == {"age": ("age",), "hours": ("hours",), "job": ("job",)}
    assert table.notes == arrays.notes


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_column_gets_what_it_adds(engine: Any) -> None:
    """The model is linear: from a start of y, epsilon hands back each column's contribution."""
    explainer = Explainer(people(), engine=engine)
    y = explainer.explain(RECORDS).outputs["y"]
    start = np.where(np.arange(2) == 1, y, 0)
    got = explainer.explain(RECORDS, mode="epsilon", start=start)
    want = contributions(np.array(AGES), np.array(HOURS), JOBS, 1)
    for i, name in enumerate(ROWS):
        np.testing.assert_allclose(got.relevance[name][:, 0], want[:, i], rtol=1e-4, atol=1e-5)
    assert {row.name for row in got.top(3, sample=1)} == set(ROWS)
    assert got.ledger.total().relative_residual < 1e-5
    alone = explainer.explain(RECORDS[1:2], mode="epsilon", start=start[1:2])
    for name in ROWS:
        np.testing.assert_array_equal(alone.relevance[name], got.relevance[name][1:2])


def test_columns_that_no_input_takes_are_told() -> None:
    rows = [{**row, "income": ">50K"} for row in RECORDS]
    with pytest.warns(InputWarning, match="no input for column 'income', which is left out"):
        found = Explainer(people()).explain(rows)
    assert found.notes[0].text == (
        "the rows: the model has no input for column 'income', which is left out"
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([{"age": 3.0, "job": "cook"}], r"no column 'hours'; it has: age, job"),
        ([{"Age": 3.0, "hours": 3, "job": "cook"}], r"'age' \(did you mean: Age\?\)"),
        ([{**RECORDS[0], "hours": 2.5}], "row 1, column 'hours': 2.5 is not whole"),
        ([RECORDS[0], {**RECORDS[1], "job": 3}], "row 2, column 'job': 3 is no text"),
        ([RECORDS[0], {**RECORDS[1], "age": None}], "row 2, column 'age': the value is missing"),
        ([{**RECORDS[0], "age": float("inf")}], "row 1, column 'age': 'inf' is not a finite"),
        ([{**RECORDS[0], "age": 16777217}], "row 1, column 'age': 16777217 is not exactly"),
        ([{**RECORDS[0], "age": 10**400}], "row 1, column 'age': .* does not fit into float32"),
        ({"age": [1.0], "hours": [1, 2], "job": ["cook"]}, "not of one length"),
    ],
)
def test_what_does_not_fit_names_row_and_column(given: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Explainer(people()).explain(given)


def test_an_index_is_no_column() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS).set_index("age")
    with pytest.raises(InputError, match=r"'age' is the frame's index: give frame\.reset_index"):
        Explainer(people()).explain(frame)
    kept = pandas.DataFrame(ROWS, index=[5, 6, 7])
    same(Explainer(people()).explain(kept), Explainer(people()).explain(ARRAYS))


def test_missing_numbers_reach_a_model_that_has_an_answer() -> None:
    rows = [RECORDS[0], {**RECORDS[1], "age": None, "job": None}]
    found = Explainer(people(imputed=True)).explain(rows)
    assert np.isnan(found.inputs["age"][1, 0]) and found.inputs["job"][1, 0] == ""
    assert found.notes[0].text == (
        "missing values of the rows: age 1 (given as NaN), job 1 (given as the empty text)"
    )
    filled = Explainer(people()).explain([RECORDS[0], {**RECORDS[1], "age": 40, "job": ""}])
    same(found, filled)


def test_a_model_that_replaces_numbers_has_no_answer_for_nan() -> None:
    proto = people(imputed=True)
    del proto.graph.node[0].attribute[1]  # replaced_value_float; it replaces 0 then
    with pytest.raises(InputError, match="row 1, column 'age': the value is missing"):
        Explainer(proto).explain([{**RECORDS[0], "age": None}])


def with_sidecar(folder: Path, inputs: Any, proto: onnx.ModelProto | None = None) -> Path:
    onnx.save(proto or people(), folder / "m.onnx")
    (folder / "m.sidecar.json").write_text(json.dumps({"inputs": inputs}))
    return folder / "m.onnx"


def test_the_sidecar_names_columns_and_what_stands_for_missing_ones(tmp_path: Path) -> None:
    path = with_sidecar(
        tmp_path,
        {
            "age": {"kind": "column", "column": "Age in years", "missing": 40},
            "hours": {"kind": "column", "missing": 38},
            "job": {"kind": "column", "missing": "cook"},
        },
    )
    rows = [{"Age in years": None, "hours": None, "job": None}]
    found = Explainer(path).explain(rows, sidecar=tmp_path / "m.sidecar.json")
    same(found, Explainer(path).explain([{"age": 40, "hours": 38, "job": "cook"}]))
    assert found.names["age"] == ("Age in years",)
    with pytest.raises(InputError, match="has no column 'Age in years'"):
        Explainer(path).explain(RECORDS, sidecar=Sidecar.load(tmp_path / "m.sidecar.json"))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"missing": None}, "missing: must be a text or a number, not null"),
        ({"missing": [1]}, "missing: must be a finite number"),
        ({"mising": 1}, "mising: unknown key"),
    ],
)
def test_a_wrong_column_in_the_sidecar(entry: Any, words: str, tmp_path: Path) -> None:
    path = with_sidecar(tmp_path, {"age": {"kind": "column", **entry}})
    with pytest.raises(InputError, match=words):
        Sidecar.beside(path)


def test_names_that_skl2onnx_has_changed_are_found() -> None:
    kinds = {"hours_per_week": (FLOAT, ["N", 1]), "_2nd": (FLOAT, ["N", 1])}
    proto = model([node("Add", list(kinds), ["y"])], kinds, {"y": (FLOAT, ["N", 1])})
    found = Explainer(proto).explain([{"hours-per-week": 40.0, "2nd": 1.0}])
    assert found.names == {"hours_per_week": ("hours-per-week",), "_2nd": ("2nd",)}
    with pytest.raises(InputError, match="no column 'hours_per_week'"):
        Explainer(proto).explain([{"hours-per-week": 1.0, "hours per week": 2.0, "_2nd": 1.0}])


@pytest.mark.parametrize("library", LIBRARIES)
def test_one_input_of_features_takes_columns_in_their_order(library: str) -> None:
    x = normal(2, 4, seed=5)
    columns = {f"c{i}": x[:, i].tolist() for i in range(4)}
    found = Explainer(mlp()).explain(made(library, columns))
    np.testing.assert_array_equal(found.relevance["x"], Explainer(mlp()).explain(x).relevance["x"])
    assert found.names == {"x": ("c0", "c1", "c2", "c3")}
    assert "in the order of the frame: c0, c1, c2, c3" in found.notes[0].text
    with pytest.raises(InputError, match=r"has 5 columns .*, input 'x' takes 4"):
        Explainer(mlp()).explain(made(library, {**columns, "label": [0, 1]}))


def test_one_input_of_features_by_the_sidecar(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    features = [
        {"name": "age", "mean": 40, "std": 10, "missing": 30},
        {"name": "job", "categories": ["cook", "clerk", "pilot"], "missing": "pilot"},
    ]
    path = with_sidecar(tmp_path, {"x": {"kind": "table", "features": features}}, mlp())
    frame = pandas.DataFrame({"job": ["clerk", None], "age": [50.0, np.nan]})
    found = Explainer(path).explain(frame, sidecar=tmp_path / "m.sidecar.json")
    np.testing.assert_array_equal(found.inputs["x"], [[1, 0, 1, 0], [-1, 0, 0, 1]])
    assert found.names == {"x": ("age", "job=cook", "job=clerk", "job=pilot")}
    np.testing.assert_array_equal(
        Sidecar.load(tmp_path / "m.sidecar.json").encode("x", frame), found.inputs["x"]
    )


# Files ------------------------------------------------------------------------------------------

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
        assert not any("column" in note or "missing" in note for note in sample["notes"])
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
