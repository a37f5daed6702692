"""A report as JSON values, whose schema is written from these classes."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from backtrace_onnx.audit.running import Report

SCHEMA = 3


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorRecord(_Part):
    """An input or output, and its type, such as float32[batch, 65]."""

    name: str
    type: str


class ModelRecord(_Part):
    """The model: the hash of its file, opset version by domain, what wrote it."""

    sha256: str
    opset: dict[str, int]
    producer: str
    inputs: list[TensorRecord]
    outputs: list[TensorRecord]


class DataRecord(_Part):
    """The data: the hash of all files' content."""

    sha256: str
    rows: int


class ComparedRecord(_Part):
    """A baseline, or a baseline model with its name."""

    sha256: str
    name: str | None = None


class FeatureRecord(_Part):
    """A feature: its mean |share| of a row's relevance, and the same with sign."""

    name: str
    share: float
    signed: float


class NoteRecord(_Part):
    """What explanations tell beside, or what was assumed, and how many rows it is about.

    Where rows have other numbers in the sentence, … is in their place.
    """

    text: str
    rows: int


class Counts(_Part):
    """Checks by what became of them."""

    passed: int
    failed: int
    skipped: int
    broken: int


class CheckRecord(_Part):
    """What became of a check.

    Attributes:
        value: None where it did not run. better: how it must be to the threshold.
        source: who says so. confirmed: by an intervention; None: none was made.
        stops: whether it stops the model. evidence: what the value was made of, by check.
    """

    id: str
    question: str
    status: Literal["passed", "failed", "skipped", "broken"]
    severity: Literal["warning", "error"]
    required: bool
    stops: bool
    value: float | Literal["Infinity", "-Infinity"] | None
    better: Literal["at most", "at least", "above"]
    threshold: float
    source: str
    finding: str
    confirmed: bool | None
    evidence: dict[str, Any]


class ReportRecord(_Part):
    """The report of an audit or a comparison.

    Attributes:
        name, files: the model and the data as they were named; config: the settings, if any.
        settings: all of them, as they were. sidecar: the one that was named; None: that beside each
            model. comparing: whether only checks of a comparison ran.
        seed: of every draw. accuracy: where there are labels; labelled: of how many rows.
        features: those with most |relevance| first.
    """

    kind: Literal["backtrace-onnx audit report"] = "backtrace-onnx audit report"
    schema_version: Literal[3] = 3
    name: str
    files: list[str]
    config: str | None
    model: ModelRecord
    data: DataRecord
    mode: str
    task: str
    output: str
    seed: int
    settings: dict[str, Any]
    sidecar: str | None
    comparing: bool
    versions: dict[str, str]
    baselines: list[ComparedRecord]
    baseline_models: list[ComparedRecord]
    accuracy: float | None
    labelled: int | None
    notes: list[NoteRecord]
    features: list[FeatureRecord]
    fail_on: Literal["warning", "error", "never"]
    exit_code: Literal[0, 1, 3]
    verdict: str
    counts: Counts
    checks: list[CheckRecord]


def record(report: Report) -> dict[str, Any]:
    """The report as JSON values; `schema_version` changes where keys do."""
    checks = [
        {
            "id": f.check.id,
            "question": f.check.question,
            "status": f.status,
            "severity": f.severity,
            "required": f.required,
            "stops": report.stops(f),
            "value": _finite(f.value),
            "better": f.check.better,
            "threshold": f.threshold,
            "source": f.source,
            "finding": f.text,
            "confirmed": f.confirmed,
            "evidence": _finite(f.evidence),
        }
        for f in report.findings
    ]
    made = {
        "name": report.model,
        "files": list(report.data),
        "config": report.config,
        **report.facts,
        "fail_on": report.fail_on,
        "exit_code": report.exit_code,
        "verdict": report.verdict,
        "counts": report.counts,
        "checks": checks,
    }
    return ReportRecord.model_validate(made).model_dump()


def _finite(value: Any) -> Any:
    """JSON values, in which numbers that JSON has no word for are texts."""
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not isfinite(value):
        return {inf: "Infinity", -inf: "-Infinity"}.get(value, "NaN")
    return value


__all__ = ["SCHEMA", "ReportRecord", "record"]
