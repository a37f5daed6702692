"""Models with an input per column take tables, and relevance is told by the tables' columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, InputError, InputWarning
from backtrace_onnx.inputs.sidecar import Sidecar
from tests.column_models import contributions, people
from tests.graphs import FLOAT, mlp, model, node, normal
from tests.inputs.table_rows import AGES, ARRAYS, HOURS, JOBS, RECORDS, ROWS
from tests.inputs.test_frames import LIBRARIES, made


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
    options: dict[str, Any] = {"mode": "epsilon(absolute=1e-6)", "target": 1}
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
    got = explainer.explain(RECORDS, mode="epsilon(absolute=1e-6)", start=start)
    want = contributions(np.array(AGES), np.array(HOURS), JOBS, 1)
    for i, name in enumerate(ROWS):
        np.testing.assert_allclose(got.relevance[name][:, 0], want[:, i], rtol=1e-4, atol=1e-5)
    assert {row.name for row in got.top(3, sample=1)} == set(ROWS)
    assert got.ledger.total().relative_residual < 1e-5
    alone = explainer.explain(RECORDS[1:2], mode="epsilon(absolute=1e-6)", start=start[1:2])
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
