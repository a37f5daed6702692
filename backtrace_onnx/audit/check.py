"""A check: a question, how it is answered with a number, and the bound of that number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.settings import Severity
from backtrace_onnx.audit.subject import AuditedModel

Status = Literal["passed", "failed", "skipped", "broken"]
PROPOSAL = "proposal"
"""The source of a threshold that no publication or product sets: ours, to be argued about."""


class SkipCheck(Exception):  # noqa: N818
    """A check cannot run here; the text says why."""


@dataclass(frozen=True)
class Case:
    """What a check is about.

    Attributes:
        rows: at most how many rows costly checks draw.
        fixed: whether settings give the bound, whatever baselines say of it.
        models: earlier models on the same rows, explained in the same mode.
    """

    subject: AuditedModel
    baselines: tuple[Baseline, ...]
    rows: int
    fixed: bool = False
    models: tuple[AuditedModel, ...] = ()

    @property
    def against(self) -> tuple[Baseline, ...]:
        """The baselines. Raises SkipCheck where there is none."""
        if not self.baselines:
            raise SkipCheck("no --baseline is given")
        return self.baselines

    def some(self, rows: int, where: str = "") -> str:
        """What a number is of that was made of so many rows; "": all."""
        count = self.subject.data.count
        return "" if rows == count else f"{rows} of {count} rows{where}"

    def compare_features(self) -> None:
        """Raise SkipCheck where no feature is the same in all rows."""
        if self.subject.features.in_texts:
            raise SkipCheck("features are places in texts, which hold other words in each row")

    @property
    def earlier(self) -> tuple[AuditedModel, ...]:
        """The baseline models. Raises SkipCheck where there is none, or only one classifies."""
        if not self.models:
            raise SkipCheck("no --baseline-model is given")
        for one in self.models:
            if one.classes != self.subject.classes:
                raise SkipCheck(f"of {one.model} and this model only one classifies")
        return self.models


@dataclass(frozen=True)
class Measured:
    """What a check found.

    Attributes:
        value: the number that is held to the bound.
        text: the finding, in a sentence.
        evidence: what it was made of, as JSON values.
        confirmed: whether an intervention says the same: inputs were replaced, and answers moved,
            or not; None: nothing was replaced.
        among: the same number of baselines among each other, the farthest two of several: a bound
            that is stricter is loosened to it.
        bound: in place of the check's own where settings give none, and who says so.
        severity: in place of the check's own where settings give none.
        of: what the number is of, where that is not all rows.
    """

    value: float
    text: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    confirmed: bool | None = None
    among: float | None = None
    bound: tuple[float, str] | None = None
    severity: Severity | None = None
    of: str = ""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        id: its name in settings and reports.
        question: what it answers.
        better: whether its number must be "at most" or "at least" the threshold, or "above" it.
        threshold: the bound unless settings say another one. source: who says so.
        severity: what it means that it fails unless settings say otherwise.
        run: measures. Raises SkipCheck.
        rows: how many rows are drawn where it is costly; None: all count.
    """

    id: str
    question: str
    better: Literal["at most", "at least", "above"]
    threshold: float
    source: str
    severity: Severity
    run: Callable[[Case], Measured]
    rows: int | None = None

    def holds(self, value: float, threshold: float) -> bool:
        """Whether a number is within the bound; NaN is not."""
        if self.better == "at most":
            return value <= threshold
        return value >= threshold if self.better == "at least" else value > threshold


@dataclass(frozen=True)
class Finding:
    """What became of a check.

    Attributes:
        status: "skipped" checks could not run, "broken" ones raised an error.
        required: whether the settings name it as one that must run.
        value: None where it did not run. of: of what it is; "": of all rows.
    """

    check: Check
    status: Status
    threshold: float
    source: str
    severity: Severity
    text: str
    value: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    confirmed: bool | None = None
    required: bool = False
    of: str = ""


__all__ = ["PROPOSAL", "Case", "Check", "Finding", "Measured", "SkipCheck", "Status"]
