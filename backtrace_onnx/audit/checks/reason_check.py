"""The check whether people who are denied an outcome can be told why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.comparison import find_comparison
from backtrace_onnx.audit.reason_texts import read_reasons
from backtrace_onnx.audit.reasons import find_reasons

TOLD = 20


def _reasons(case: Case) -> Measured:
    subject = case.subject
    if subject.settings.reasons is None:
        raise SkipCheck("no --reasons are given")
    texts = read_reasons(Path(subject.settings.reasons))
    rows = subject.drawn(case.rows)
    comparison = find_comparison(subject)
    found = find_reasons(subject, texts, rows, comparison=comparison)
    given = [(int(row), one) for row, one in zip(rows, found, strict=True) if one.denied]
    if not given:
        raise SkipCheck(f"of {len(rows)} rows none is denied {texts.outcome!r}")
    lacking = [
        (row, one)
        for row, one in given
        if one.untold or not any(reason.confirmed for reason in one.reasons)
    ]
    codes = Counter(reason.code for _, one in given for reason in one.reasons)
    answers = [r.confirmed for _, one in given for r in one.reasons if r.confirmed is not None]
    evidence = {
        "rows": len(given),
        "compared": comparison.told,
        "codes": {reason.code: codes[reason.code] for reason in texts.reasons},
        "untold": dict(Counter(name for _, one in given for name in one.untold)),
        "confirmed": sum(answers),
        "not_confirmed": len(answers) - sum(answers),
        "lacking": [{**subject.data.told(row), **one.record()} for row, one in lacking[:TOLD]],
    }
    text = f"{len(lacking)} of {len(given)} rows without {texts.outcome} cannot be told why"
    text += f"; {comparison.told}" if comparison.warning else ""
    confirmed = sum(answers) > len(answers) / 2 if answers else None
    of = case.some(len(given), f" without {texts.outcome}")
    return Measured(len(lacking) / len(given), text, evidence, confirmed, of=of)


CHECKS = (
    Check(
        "reason-codes",
        "Can those who are denied the outcome be told why?",
        "at most",
        0.05,
        PROPOSAL,
        "error",
        _reasons,
        rows=200,
    ),
)
