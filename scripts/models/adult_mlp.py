"""Train a small MLP on the Adult census and export it as `models/adult_mlp.onnx`.

The table is the raw `census.csv` of the Python package `xai`: the Adult training data without
`fnlwgt`, its income label called `loan`. Numbers are standardised and categories one-hot encoded
before the graph, as the sidecar tells; `?` (unknown) is a category of its own. A fifth of the
rows is held out, gives the reported accuracy (measured on the exported file) and provides the
sample table.
"""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import torch
from common import (
    MODELS,
    SAMPLES,
    THREADS,
    export,
    fit,
    package,
    predict,
    save_license,
    table_input,
    write_sidecar,
)
from sklearn.metrics import roc_auc_score
from torch import nn

NUMERIC = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CATEGORICAL = (
    "workclass",
    "education",
    "marital-status",
    "occupation",
    "relationship",
    "ethnicity",
    "gender",
)
TARGET = "loan"
LABELS = ["<=50K", ">50K"]
EPOCHS = 12
Row = dict[str, str]


class IncomeMLP(nn.Module):
    """Two hidden layers."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(slots, 64)
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Linear(64, 32)
        self.relu2 = nn.ReLU()
        self.fc3 = nn.Linear(32, len(LABELS))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits of the two income classes."""
        hidden = self.relu2(self.fc2(self.relu1(self.fc1(features))))
        logits: torch.Tensor = self.fc3(hidden)
        return logits


def load_rows() -> list[Row]:
    """Return the rows in a fixed shuffle, without the index column and surrounding blanks."""
    with package("xai==0.3.0") as root:
        save_license(next(root.glob("*.dist-info/licenses/LICENSE")), "xai")
        with (root / "xai" / "data" / "census.csv").open(newline="", encoding="utf-8") as stream:
            rows = [{k: v.strip() for k, v in row.items() if k} for row in csv.DictReader(stream)]
    return [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]


def describe(rows: list[Row]) -> dict[str, Any]:
    """Return the sidecar entry of the table, its statistics taken from the training rows."""
    features: list[dict[str, Any]] = []
    for name in rows[0]:
        column = [row[name] for row in rows]
        if name in NUMERIC:
            values = np.array(column, float)
            mean, std = round(float(values.mean()), 6), round(float(values.std()), 6)
            features.append({"name": name, "mean": mean, "std": std})
        elif name in CATEGORICAL:
            features.append({"name": name, "categories": sorted(set(column))})
    return {"kind": "table", "features": features}


def train(values: torch.Tensor, labels: torch.Tensor) -> IncomeMLP:
    """Fit the network with AdamW and a one-cycle learning rate."""
    model = IncomeMLP(values.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    fit(model, optimizer, values, labels, rate=3e-3, size=128, epochs=EPOCHS)
    return model


def main() -> None:
    """Train, export, measure and write the sample rows."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    rows = load_rows()
    count = len(rows) * 4 // 5
    table = describe(rows[:count])
    values = table_input(rows, table)
    labels = np.array([LABELS.index(row[TARGET]) for row in rows])
    model = train(torch.from_numpy(values[:count]), torch.from_numpy(labels[:count]))

    path = MODELS / "adult_mlp.onnx"
    export(model, torch.from_numpy(values[:2]), path, "features", "logits")
    outputs = {"logits": {"task": "classification", "labels": LABELS}}
    write_sidecar(path, {"features": table}, outputs)

    logits, truth = predict(path, values[count:]), labels[count:]
    accuracy = float(np.mean(logits.argmax(1) == truth))
    auc = roc_auc_score(truth, logits[:, 1] - logits[:, 0])
    print(f"held-out accuracy of the exported model: {accuracy:.4f} on {len(truth)} rows")
    print(f"majority class alone: {np.mean(truth == 0):.4f}; area under the ROC curve: {auc:.4f}")
    SAMPLES.mkdir(parents=True, exist_ok=True)
    with (SAMPLES / "adult.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[count : count + 5])


if __name__ == "__main__":
    main()
