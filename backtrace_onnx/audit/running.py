"""Runs the checks of an audit, and says what became of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.check import Case, Check, Finding, SkipCheck
from backtrace_onnx.audit.checks.catalogue import CHECKS
from backtrace_onnx.audit.facts import find_facts
from backtrace_onnx.audit.portraits import Portraits, find_portraits
from backtrace_onnx.audit.settings import ModelCard
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import BacktraceError, InputError, RequestError

FailOn = Literal["warning", "error", "never"]
DRIFT = ("rank-drift", "share-drift", "reason-drift", "sample-drift")
BESIDE = ("input-drift", "prediction-drift")


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        model, data: as they were named. facts: what the report is about, as JSON values.
        fail_on: failed checks of which severity stop a model.
        config: the file of the settings, where there is one.
        card: what people say of the model. settings: what of them is not the default.
        portraits: how features and answers are distributed, where they were looked at.
    """

    model: str
    data: tuple[str, ...]
    facts: dict[str, Any]
    findings: tuple[Finding, ...]
    fail_on: FailOn = "error"
    config: str | None = None
    card: ModelCard = field(default_factory=ModelCard)
    settings: Mapping[str, Any] = field(default_factory=dict)
    portraits: Portraits | None = None

    def stops(self, finding: Finding) -> bool:
        """Whether a finding stops the model."""
        return finding.status == "failed" and (
            self.fail_on == "warning" or (self.fail_on == "error" and finding.severity == "error")
        )

    @property
    def earlier(self) -> tuple[str, ...]:
        """The models and baselines that it is compared with, as they were named."""
        known = [*self.facts["baseline_models"], *self.facts["baselines"]]
        return tuple(one["name"] for one in known if one["name"])

    @property
    def title(self) -> str:
        """What it is: an audit of a model, or the comparison of one with another."""
        if self.facts["comparing"]:
            return f"Comparison of {self.model} with {' and '.join(self.earlier)}"
        return f"Audit of {self.model}"

    @property
    def ran(self) -> tuple[Finding, ...]:
        """What could be checked."""
        return tuple(f for f in self.findings if f.status != "skipped")

    @property
    def skipped(self) -> dict[str, list[str]]:
        """What could not: a reason, and the checks that it keeps from running."""
        found: dict[str, list[str]] = {}
        for f in self.findings:
            if f.status == "skipped":
                found.setdefault(f.text, []).append(f.check.id)
        return found

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Checks that raised an error."""
        return tuple(f for f in self.findings if f.status == "broken")

    @property
    def exit_code(self) -> int:
        """0: passed; 1: a check stops the model; 3: a check is broken."""
        if self.broken:
            return 3
        return int(any(self.stops(f) for f in self.findings))

    @property
    def counts(self) -> dict[str, int]:
        """Findings by status."""
        found = [finding.status for finding in self.findings]
        return {s: found.count(s) for s in ("passed", "failed", "skipped", "broken")}

    @property
    def verdict(self) -> str:
        """The report in a sentence."""
        codes = {0: "passed", 1: "stopped", 3: "not completed"}
        told = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n)
        only = self._only_reasons()
        return f"{codes[self.exit_code]}: {told}" + (f". {only}" if only else "")

    def _only_reasons(self) -> str:
        status = {finding.check.id: finding.status for finding in self.findings}
        moved = any(status.get(name) == "failed" for name in DRIFT)
        if status.get("answers-kept") == "failed":
            return ""
        if moved and all(status.get(name) == "passed" for name in BESIDE):
            return "Same inputs, same answers, other reasons"
        return ""


def run_audit(
    subject: AuditedModel,
    baselines: Sequence[Baseline] = (),
    models: Sequence[AuditedModel] = (),
    *,
    checks: Sequence[Check] = CHECKS,
    fail_on: FailOn = "error",
    names: tuple[str, tuple[str, ...]] = ("", ()),
    config: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run every check that the settings leave on.

    Args:
        baselines: as `load_baselines` returns them.
        models: earlier models on the same data, in the same mode; they are baselines, too.
        names: of the model and the data, as the report shows them.
        config: the file of the settings. say: told what is going on.

    Raises BacktraceError where the rows cannot be explained, and where settings name features that
    are none: no check could say anything then.
    """
    say("Explaining the data")
    _ = subject.whole
    before = list(baselines)
    for model in models:
        say(f"Explaining the data with {model.model}")
        before.append(Baseline.of(model, before[0] if before else None))
    findings = []
    for check in checks:
        if subject.settings.of(check.id).enabled:
            say(f"Checking: {check.id}")
            findings.append(_found(check, subject, tuple(before), tuple(models)))
    facts = find_facts(subject, baselines, models)
    return Report(
        *names,
        facts,
        tuple(findings),
        fail_on,
        config,
        subject.settings.model_card,
        subject.settings.model_dump(exclude_defaults=True, exclude={"model_card"}),
        find_portraits(subject, before),
    )


def _found(
    check: Check,
    subject: AuditedModel,
    baselines: tuple[Baseline, ...],
    models: tuple[AuditedModel, ...],
) -> Finding:
    own = subject.settings.of(check.id)
    threshold = check.threshold if own.threshold is None else own.threshold
    source = check.source if own.threshold is None else "the settings"
    severity = own.severity or check.severity
    required = check.id in subject.settings.required

    def finding(status: Any, text: str, **more: Any) -> Finding:
        bound = (threshold, source)
        return Finding(check, status, *bound, severity, text, required=required, **more)

    try:
        rows = own.rows or check.rows or subject.data.count
        fixed = own.threshold is not None
        found = check.run(Case(subject, baselines, rows, fixed, models))
    except SkipCheck as reason:
        if required:
            severity = "error"  # whatever it means where it runs: nobody knows what it would say
            return finding("failed", f"required, and cannot run: {reason}")
        return finding("skipped", str(reason))
    except (InputError, RequestError):
        raise  # wrong use: a feature or label that is none
    except BacktraceError as error:
        return finding("broken", str(error))
    except Exception as error:
        return finding("broken", f"unexpected {type(error).__name__}: {error}")
    value = float(found.value)
    if np.isnan(value):
        return finding("broken", f"{check.id} measured NaN: {found.text}")
    among = found.among
    severity = own.severity or found.severity or check.severity
    if own.threshold is None and found.bound is not None:
        threshold, source = found.bound
    if own.threshold is None and among is not None and not check.holds(among, threshold):
        threshold, source = among, "as far as the baselines are apart"
    status = "passed" if check.holds(value, threshold) else "failed"
    more = {"value": value, "evidence": found.evidence, "confirmed": found.confirmed}
    more["of"] = found.of
    return finding(status, found.text, **more)


__all__ = ["FailOn", "Report", "run_audit"]
