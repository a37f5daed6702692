"""Two census models that answer equally well; the second leans on a proxy of gender.

To the first `relationship` (husband, wife, own child ...) was not given at training. The second got
it, and lost `marital-status`: a join put it beside the wrong people. So it learned from husbands
and wives what it could not from marriages. Both are judged on the same 4,000 other rows, whose
columns are all in order, against ten trainings of the first.

A column that is not given is one whose values are those of other people, drawn at random: it tells
nothing, and the table keeps its columns. The second is, of five trainings, the one whose accuracy
is nearest to the first's.

    pip install '.[audit,html,sklearn]'
    python scripts/stories/census.py [--pictures]
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from networks import LABELS, TARGET, Array, census, fitted, table_of, written
from telling import REASONS, Story, beside, failed, tell

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.calls import open_audit
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.tables import TableInput

TRAINED, AUDITED, BASELINES, TRIES = 24_000, 4000, 10, 5
WITHHELD, LOST = "relationship", "marital-status"
SETTINGS = """label = "loan"
sensitive = ["gender"]
top_features.forbidden = ["gender", "relationship"]

[checks]  # bounds that the team set
sensitive-share.threshold = 0.1
sensitive-proxies.threshold = 0.15
"""
SHOWN = (
    "forbidden-top-features",
    "sensitive-proxies",
    "share-drift",
    "rank-drift",
    "reason-drift",
    "sensitive-share",
    "input-drift",
    "prediction-drift",
    "accuracy",
)


class Census:
    """The rows, and networks that learn from them; files go to a folder."""

    def __init__(self, folder: Path, trained: int = TRAINED, audited: int = AUDITED) -> None:
        people = census()
        order = np.random.default_rng(0).permutation(len(people))[: trained + audited]
        rows = [people[i] for i in order]
        self.folder, self.trained = folder, trained
        inputs = {"features": table_of(rows[:trained])}
        outputs = {"logits": {"task": "classification", "labels": LABELS}}
        self.about = json.dumps({"inputs": inputs, "outputs": outputs})
        (folder / "table.sidecar.json").write_text(self.about)
        table = Sidecar.load(folder / "table.sidecar.json").inputs["features"]
        assert isinstance(table, TableInput)
        self.x = table.encode(rows, "census.csv")
        self.y = np.array([LABELS.index(row[TARGET]) for row in rows])
        self.places: dict[str, Any] = {f.name: place for f, place in table.columns()}
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows[trained:])
        (folder / "audit.toml").write_text(SETTINGS)

    def train(self, name: str, seed: int, without: str) -> float:
        """Write name.onnx, which learned without a column; its accuracy on the audited rows."""
        x: Array = self.x[: self.trained].copy()
        places = self.places[without]
        x[:, places] = x[np.random.default_rng(seed).permutation(len(x))][:, places]
        model = fitted(x, self.y[: self.trained], seed)
        onnx.save(written(model, (x.shape[1],), "features"), self.folder / f"{name}.onnx")
        (self.folder / f"{name}.sidecar.json").write_text(self.about)
        return float(model.score(self.x[self.trained :], self.y[self.trained :]))

    def baselines(self, count: int) -> list[str]:
        """Baselines of so many more trainings of the first model."""
        files: list[str] = []
        for seed in range(count):
            self.train("earlier", 100 + seed, WITHHELD)
            before = [self.folder / file for file in files]
            how: dict[str, Any] = {"settings": self.folder / "audit.toml", "baselines": before}
            found = open_audit(self.folder / "earlier.onnx", str(self.folder / "rows.csv"), **how)
            like = found.baselines[0] if before else None
            files.append(f"seed{seed}.json")
            (self.folder / files[-1]).write_text(Baseline.of(found.subject, like).text())
        return files


def story(told: Story) -> list[str]:
    """Train, audit, claim."""
    data = Census(told.folder)
    accuracy = data.train("first", 0, WITHHELD)
    tried = {seed: data.train("second", seed, LOST) for seed in range(TRIES)}
    nearest = min(tried, key=lambda seed: abs(tried[seed] - accuracy))
    data.train("second", nearest, LOST)
    how = ["--data", "rows.csv", "--config", "audit.toml"]
    how += [word for file in data.baselines(BASELINES) for word in ("--baseline", file)]
    first = told.run("audit", "first.onnx", *how, name="story_census_first")
    second = told.run("audit", "second.onnx", *how, name="story_census")
    print(f"\n{beside(first, second, SHOWN)}\n")
    print(f"accuracy: {first['accuracy']:.2%} and {second['accuracy']:.2%}")
    apart = abs(first["accuracy"] - second["accuracy"])
    told.claim("both are as accurate, to 0.2 points", apart <= 0.002)
    told.claim("the first passes every check", not failed(first))
    told.claim("the second is stopped", second["exit_code"] == 1)
    told.claim("only checks of reasons fire", failed(second) <= {*REASONS})
    told.claim("the verdict says so", "other reasons" in second["verdict"])
    ids = {"forbidden-top-features", "share-drift", "rank-drift"}
    told.claim("forbidden features, shares and ranks each stop it", ids <= failed(second))
    return ["story_census"]


if __name__ == "__main__":
    sys.exit(tell(story, __doc__.partition("\n")[0]))
