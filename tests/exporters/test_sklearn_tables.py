"""Census rows as people have them: a ColumnTransformer, explained from frames and files."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import backtrace_onnx as bt
from backtrace_onnx.cli import commands
from backtrace_onnx.exporters import from_sklearn

pandas = pytest.importorskip("pandas")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("sklearn")
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
ADULT = Path(__file__).parents[2] / "models" / "samples" / "adult.csv"
NUMBERS = ["age", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
MODELS = {
    "logistic": LogisticRegression(max_iter=300),
    "forest": RandomForestClassifier(5, random_state=0),
    "network": MLPClassifier((4,), max_iter=30, random_state=0),
}


def census() -> Any:
    """300 people whose columns are drawn from the samples', some ages missing."""
    known = pandas.read_csv(ADULT)
    rng = np.random.default_rng(0)
    rows = pandas.DataFrame({name: rng.choice(known[name], 300) for name in known.columns})
    rows["age"] = rows["age"].astype(float) + rng.integers(0, 30, 300)
    rows.loc[::7, "age"] = np.nan
    return rows


def pipeline(last: Any, words: list[str]) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = [("n", numbers, NUMBERS), ("w", OneHotEncoder(handle_unknown="ignore"), words)]
    return make_pipeline(ColumnTransformer(columns), last)


@pytest.mark.parametrize("kind", MODELS)
def test_a_pipeline_of_columns_from_rows_to_report(kind: str, tmp_path: Path) -> None:
    rows = census()
    label = rows.pop("loan")
    words = [name for name in rows.columns if name not in NUMBERS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = pipeline(MODELS[kind], words).fit(rows, label)
    path = from_sklearn(fitted, rows[:9], tmp_path / "m.onnx").path
    explainers = {engine: bt.Explainer(path, engine=engine) for engine in ("numba", "onnxruntime")}
    assert explainers["numba"].graph.inputs == tuple(rows.columns)
    found = {e: x.explain(rows[:9], mode="epsilon(absolute=1e-6)") for e, x in explainers.items()}
    one, other = found["numba"], found["onnxruntime"]
    np.testing.assert_allclose(
        one.outputs["probabilities"], fitted.predict_proba(rows[:9]), atol=1e-4
    )
    alone = explainers["numba"].explain(rows[3:4], mode="epsilon(absolute=1e-6)")
    scale = max(float(np.abs(one.relevance[name]).max()) for name in rows.columns)
    for name in rows.columns:
        assert one.names[name] == (name,)
        np.testing.assert_allclose(one.relevance[name], other.relevance[name], atol=1e-5 * scale)
        np.testing.assert_array_equal(alone.relevance[name][0], one.relevance[name][3])
    assert one.ledger.total().relative_residual < 1e-4
    assert {row.name for row in one.top(12)} == set(rows.columns)
    assert sum("missing values of the frame: age 2 (given as NaN)" in n.text for n in one.notes)
    file = tmp_path / "rows.csv"
    rows[:9].assign(loan=label[:9]).to_csv(file, index=False)
    arguments = [
        "explain",
        str(path),
        str(file),
        "--mode",
        "epsilon(absolute=1e-6)",
        "--json",
        "--top",
        "99",
    ]
    report = json.loads(CliRunner().invoke(commands, arguments, catch_exceptions=False).stdout)
    for i, sample in enumerate(report["samples"]):
        told = {part["name"]: part["relevance"] for part in sample["top"]}
        assert told == {name: float(one.relevance[name][i, 0]) for name in rows.columns}
        assert any("no input for column 'loan'" in note for note in sample["notes"])


def test_a_file_of_plain_skl2onnx_is_filled_by_the_columns_own_names(tmp_path: Path) -> None:
    rows = census().fillna({"age": 40.0}).astype({"age": np.float32})
    label = rows.pop("loan")
    words = [name for name in rows.columns if name not in NUMBERS]
    fitted = pipeline(MODELS["logistic"], words).fit(rows, label)
    proto = skl2onnx.to_onnx(fitted, rows[:1], target_opset={"": 18, "ai.onnx.ml": 3})
    assert "hours_per_week" in [value.name for value in proto.graph.input]
    found = bt.explain(proto, rows[:4])
    assert {name for own in found.names.values() for name in own} == set(rows.columns)
    assert found.ledger.total().relative_residual < 1e-4
