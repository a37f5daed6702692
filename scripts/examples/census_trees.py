"""Why do 200 boosted trees take a person for a high earner? LightGBM on the Adult census.

The table is `census.csv` of the package `xai` (MIT): the Adult training data without `fnlwgt`, its
income label called `loan`. Numbers go into the trees as they are, categories one-hot, as the
sidecar tells. A fifth of the rows is held out. Writes `models/fetched/census_trees.onnx` with
sidecar, prints its accuracy and how its explanations compare with LightGBM's own SHAP values, and
draws one person to `models/pictures/census_trees.png`.

    pip install . lightgbm onnxmltools skl2onnx scikit-learn
    python scripts/examples/census_trees.py
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import onnx
import onnxmltools
from fetching import FETCHED, ROOT, draw, unpacked, write_sidecar
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import roc_auc_score

from backtrace_onnx import Explainer, count_visits
from backtrace_onnx.exporters import from_sklearn
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.tables import TableInput

MODEL = FETCHED / "census_trees.onnx"
SAMPLES = ROOT / "models" / "samples" / "adult.csv"
NUMERIC = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
TARGET, LABELS = "loan", ["<=50K", ">50K"]
COMPARED = 1000
Array = npt.NDArray[Any]
Row = dict[str, str]


def load_rows() -> list[Row]:
    """The rows in a fixed shuffle, without the index column and surrounding blanks."""
    with unpacked("xai==0.3.0") as root:
        text = (root / "xai" / "data" / "census.csv").read_text("utf-8")
    rows = [{k: v.strip() for k, v in r.items() if k} for r in csv.DictReader(text.splitlines())]
    return [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]


def describe(rows: list[Row]) -> dict[str, Any]:
    """The sidecar's entry of the table."""
    features: list[dict[str, Any]] = []
    for name in (name for name in rows[0] if name != TARGET):
        if name in NUMERIC:
            features.append({"name": name, "mean": 0, "std": 1})
        else:
            features.append({"name": name, "categories": sorted({row[name] for row in rows})})
    return {"kind": "table", "features": features}


def spearman(a: Array, b: Array) -> float:
    """Mean rank correlation of the rows of two tables."""
    ranks = [x.argsort(1).argsort(1).astype(float) for x in (a, b)]
    centred = [r - r.mean(1, keepdims=True) for r in ranks]
    over = np.sqrt(np.square(centred[0]).sum(1) * np.square(centred[1]).sum(1))
    return float(((centred[0] * centred[1]).sum(1) / over).mean())


def compare(title: str, proto: onnx.ModelProto, x: Array, shap: Array, slots: list[slice]) -> None:
    """Print how the changes along the paths agree with SHAP values, column by column."""
    relevance = Explainer(proto).explain(x, mode="paths", target=1).relevance["features"]
    ours, theirs = (np.stack([v[:, s].sum(1) for s in slots], 1) for v in (relevance, shap))
    same = (np.abs(ours).argmax(1) == np.abs(theirs).argmax(1)).mean()
    sizes, signed = spearman(abs(ours), abs(theirs)), spearman(ours, theirs)
    print(f"{title}: rank correlation with SHAP values {signed:.2f}, of sizes alone {sizes:.2f};")
    print(f"    the first column is the same for {same:.0%} of the people")


def main() -> None:
    """Train, export, count, compare, draw."""
    rows = load_rows()
    count = len(rows) * 4 // 5
    FETCHED.mkdir(parents=True, exist_ok=True)
    outputs = {"probabilities": {"task": "classification", "labels": LABELS}}
    write_sidecar(MODEL, {"features": describe(rows[:count])}, outputs)
    table = Sidecar.load(MODEL.with_name("census_trees.sidecar.json")).inputs["features"]
    assert isinstance(table, TableInput)
    x = table.encode(rows, "census.csv")
    y = np.array([LABELS.index(row[TARGET]) for row in rows])
    fitted = lightgbm.LGBMClassifier(n_estimators=200, verbose=-1, random_state=0)
    fitted.fit(x[:count], y[:count])
    from_sklearn(fitted, x[:100], MODEL)
    types = [("features", FloatTensorType([None, x.shape[1]]))]
    plain = onnxmltools.convert_lightgbm(fitted, initial_types=types, target_opset=15, zipmap=False)

    chances = fitted.predict_proba(x[count:])[:, 1]
    accuracy, auc = np.mean((chances > 0.5) == y[count:]), roc_auc_score(y[count:], chances)
    print(f"held-out accuracy {accuracy:.4f}, area under the ROC curve {auc:.4f}")
    some = x[count : count + COMPARED]
    shap = fitted.predict(some, pred_contrib=True)[:, :-1]
    slots = [slots for _, slots in table.columns()]
    compare("as onnxmltools exports them", plain, some, shap, slots)
    for rows_counted in (300, 3000):
        counted = count_visits(plain, {"features": x[:rows_counted]})
        compare(f"visits counted with {rows_counted} rows", counted, some, shap, slots)
    compare("as from_sklearn exports them", onnx.load(MODEL), some, shap, slots)

    header, *people = SAMPLES.read_text("utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        person = Path(folder, "person.csv")
        person.write_text(f"{header}\n{people[4]}\n", "utf-8")
        draw("census_trees", str(MODEL.relative_to(ROOT)), str(person), "--mode", "paths")


if __name__ == "__main__":
    main()
