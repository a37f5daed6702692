"""Small models, rows and settings that audits are run on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import parser

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.check import Finding
from backtrace_onnx.audit.checks.catalogue import IDS
from backtrace_onnx.audit.running import Report, run_audit
from backtrace_onnx.audit.settings import settings_of
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.inputs.sidecar import Sidecar

COLUMNS = ("a", "b", "c", "leak")
SOUND = ((2.0, -2.0), (1.0, -1.0), (0.5, -0.5), (0.0, 0.0))
"""Weights of a classifier that the leaked column does not move."""


def linear(weights: Any = SOUND) -> str:
    """A linear classifier of four columns."""
    return f"y = MatMul(x, w)|float[{len(weights)}, 2] w = {{{_listed(weights)}}}"


def write_model(folder: Path, text: str, name: str = "net") -> Path:
    """A model x[n, 4] -> y[n, 2]: its nodes, and after a bar what it keeps."""
    nodes, _, kept = text.partition("|")
    model = parser.parse_model(
        f"""<ir_version: 10, opset_import: ["": 18]>
        g (float[n, 4] x) => (float[n, 2] y) <{kept}> {{ {nodes} }}"""
    )
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    table = {"kind": "table", "features": [{"name": column} for column in COLUMNS]}
    about = {"inputs": {"x": table}, "outputs": {"y": {"labels": ["no", "yes"]}}}
    (folder / f"{name}.sidecar.json").write_text(json.dumps(about))
    return path


def write_rows(folder: Path, count: int = 200, seed: int = 0, name: str = "rows.csv") -> Path:
    """Random columns, of which b is near a; and the answers of the sound model."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4))
    x[:, 1] = x[:, 0]
    x = x.round(4)
    answers = np.where((x @ np.array(SOUND)).argmax(1) == 1, "yes", "no")
    lines = [f"{','.join(map(str, row))},{y}" for row, y in zip(x.tolist(), answers, strict=True)]
    path = folder / name
    path.write_text("\n".join([f"{','.join(COLUMNS)},answer", *lines, ""]))
    return path


def subject(model: Path, rows: Path, seed: int = 0, **settings: Any) -> AuditedModel:
    """A model with its rows; `mode` is lrp if no other."""
    settings = {"mode": "lrp", **settings}
    made = settings_of(settings, "settings", IDS)
    return AuditedModel(model, (str(rows),), made, Sidecar.beside(model), seed)


def audit(
    model: Path,
    rows: Path,
    before: Baseline | Sequence[Baseline] = (),
    models: Sequence[AuditedModel] = (),
    **settings: Any,
) -> Report:
    """The report of a model on its rows."""
    baselines = (before,) if isinstance(before, Baseline) else before
    return run_audit(subject(model, rows, **settings), baselines, models, names=("net", ("rows",)))


def one(check: str, model: Path, rows: Path, before: Any = (), **settings: Any) -> Finding:
    """What became of one check; the others do not run."""
    own = settings.pop("checks", {})
    off = {name: {"enabled": False} for name in IDS if name != check}
    (found,) = audit(model, rows, before, **settings, checks={**off, **own}).findings
    return found


def _listed(weights: Any) -> str:
    return ", ".join(str(float(w)) for row in weights for w in row)
