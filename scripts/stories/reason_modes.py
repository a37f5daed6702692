"""How many reasons interventions confirm, by what reasons compare with: the census model.

A sentence for each column, three for each of 300 rows that are denied more than 50,000 dollars; the
numbers that docs/reasons.md tells. `python scripts/stories/reason_modes.py`
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from networks import census

from backtrace_onnx.audit.comparison import find_comparison
from backtrace_onnx.audit.reason_texts import ReasonTexts
from backtrace_onnx.audit.reasons import find_reasons
from backtrace_onnx.audit.settings import AuditSettings
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.inputs.sidecar import Sidecar

MODEL = Path(__file__).resolve().parents[2] / "models" / "adult_mlp.onnx"
ROWS, EXPLAINED = 2000, 300


def confirmed(rows: Path, mode: str, compared: str) -> tuple[str, float]:
    """What reasons compare with, and the part of them that interventions confirm."""
    settings, sidecar = AuditSettings(mode=mode), Sidecar.beside(MODEL)
    subject = AuditedModel(MODEL, (str(rows),), settings, sidecar)
    x = subject.data.feeds["features"]
    given: Mapping[str, Mapping[str, Any]] = {
        "mean": {"baseline": x[:1000].mean(0)},
        "each": {"background": x[:50]},
        "zeros": {"baseline": "zeros"},
    }
    subject.compared = given.get(compared, {})
    names = subject.features.names
    reasons = [{"code": name, "text": name, "features": [name]} for name in names]
    texts = ReasonTexts.model_validate({"outcome": ">50K", "count": 3, "reasons": reasons})
    comparison = find_comparison(subject)
    found = find_reasons(subject, texts, np.arange(EXPLAINED), comparison=comparison)
    answers = [reason.confirmed for one in found if one.denied for reason in one.reasons]
    return comparison.told, sum(answer is True for answer in answers) / len(answers)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "census.csv"
        rows = census()[:ROWS]
        with path.open("w", newline="") as file:
            out = csv.DictWriter(file, list(rows[0]))
            out.writeheader()
            out.writerows(rows)
        tried = [("lrp", ""), ("auto", "")]
        for mode, compared in (*tried, *(("auto", name) for name in ("mean", "zeros", "each"))):
            told, part = confirmed(path, mode, compared)
            print(f"{part:.1%} confirmed: {told}")


if __name__ == "__main__":
    main()
