"""The check whether answers rest on the same features for all groups of people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.baseline import accuracy_of, answers
from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.intervention import MOVES, replace_features, score_spread
from backtrace_onnx.audit.subject import AuditedModel

Array = npt.NDArray[Any]
FEWEST = 30
"""Rows of a group of which a mean has a normal interval. A proposal."""
CONFIDENCE = 0.95
TOLD = 10


@dataclass(frozen=True)
class Gap:
    """How a feature's mean |share| differs between a group and all others.

    Attributes:
        low, high: the interval of the difference, of all gaps together.
    """

    column: str
    group: str
    feature: int
    difference: float
    low: float
    high: float

    @property
    def least(self) -> float:
        """What is beyond doubt of its size: 0 where the interval holds 0."""
        return max(0.0, self.low, -self.high)


def gaps(shares: Array, groups: Array, column: str) -> Iterator[tuple[str, int, float, float]]:
    """(group, feature, difference of the means, its standard error), of groups that are enough.

    Rows of which no group is told, "", are neither in a group nor among the others.
    """
    for group in sorted(set(groups) - {""}):
        inside, others = groups == group, (groups != group) & (groups != "")
        parts = [shares[inside], shares[others]]
        if min(map(len, parts)) < FEWEST:
            continue
        means = [part.mean(0) for part in parts]
        errors = np.sqrt(sum(part.var(0, ddof=1) / len(part) for part in parts))
        for feature, (a, b, error) in enumerate(zip(*means, errors, strict=True)):
            yield group, feature, float(a - b), float(error)


def find_gaps(subject: AuditedModel) -> list[Gap]:
    """All gaps, the largest that is beyond doubt first; intervals hold together (Bonferroni)."""
    shares, data = np.abs(subject.whole.shares), subject.data
    found = [
        (column, *gap) for column, own in data.groups.items() for gap in gaps(shares, own, column)
    ]
    if not found:
        return []
    wide = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / len(found))
    made = [
        Gap(column, group, feature, by, by - wide * error, by + wide * error)
        for column, group, feature, by, error in found
    ]
    return sorted(made, key=lambda gap: (-gap.least, -abs(gap.difference)))


def _groups(case: Case) -> Measured:
    subject = case.subject
    if not subject.data.groups:
        raise SkipCheck("no column names groups (settings: groups; --group-column)")
    case.compare_features()
    found = find_gaps(subject)
    if not found:
        raise SkipCheck(f"there are no two groups of {FEWEST} rows or more")
    worst, names = found[0], subject.features.names
    told, confirmed = _moved(case, worst)
    evidence = {
        "groups": _about(subject),
        "gaps": [
            {
                "column": gap.column,
                "group": gap.group,
                "feature": names[gap.feature],
                "difference": round(gap.difference, 6),
                "interval": [round(gap.low, 6), round(gap.high, 6)],
            }
            for gap in found[:TOLD]
        ],
        "intervention": told,
    }
    text = (
        f"the mean share of {names[worst.feature]} is {worst.difference:+.3f} among those whose "
        f"{worst.column} is {worst.group} ({worst.low:.3f} to {worst.high:.3f})"
    )
    return Measured(worst.least, text, evidence, confirmed)


def _moved(case: Case, gap: Gap) -> tuple[dict[str, Any], bool | None]:
    """Whether the feature, replaced, moves answers more in the group that it has more share in.

    As a share is, moves are relative: to what answers differ by within each group.
    """
    subject = case.subject
    column = subject.data.groups[gap.column]
    inside = column == gap.group
    others = ~inside & (column != "")
    rng = np.random.default_rng(subject.seed)
    told, sizes = {}, []
    for name, rows in (("group", np.flatnonzero(inside)), ("others", np.flatnonzero(others))):
        drawn = rows if len(rows) <= case.rows else np.sort(rng.choice(rows, case.rows, False))
        made = replace_features(subject, [gap.feature], drawn)
        told[name] = made.record()
        if not made.copies:
            return told, None
        sizes.append(made.score * score_spread(subject) / score_spread(subject, rows))
    return told, bool((sizes[0] - sizes[1]) * np.sign(gap.difference) >= MOVES)


def _about(subject: AuditedModel) -> dict[str, Any]:
    """By column and group: rows, answers, accuracy where there are labels."""
    found, right = answers(subject), accuracy_of(subject)
    told: dict[str, Any] = {}
    for column, groups in subject.data.groups.items():
        told[column] = {}
        for group in sorted(set(groups) - {""}):
            inside = groups == group
            about: dict[str, Any] = {"rows": int(inside.sum())}
            if subject.classes:
                names, counts = np.unique(found[inside].astype(str), return_counts=True)
                rates = zip(names.tolist(), (counts / inside.sum()).tolist(), strict=True)
                about["answers"] = {name: round(rate, 6) for name, rate in rates}
            else:
                about["mean_answer"] = round(float(found[inside].mean()), 6)
            if right is not None and not np.isnan(right[inside]).all():
                about["accuracy"] = round(float(np.nanmean(right[inside])), 6)
            told[column][group] = about
    return told


CHECKS = (
    Check(
        "group-gap",
        "Do answers rest on the same features for all groups of people?",
        "at most",
        0.05,
        f"{PROPOSAL}; the end nearer to 0 of a 95 % interval",
        "warning",
        _groups,
        rows=200,
    ),
)
