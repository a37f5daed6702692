"""Checks of what people say about features: sensitive, required and forbidden ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backtrace_onnx.audit.association import association
from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.intervention import replace_features


def _sensitive(case: Case) -> Measured:
    subject = case.subject
    wanted = subject.settings.sensitive
    if not wanted:
        raise SkipCheck("the settings name no sensitive features")
    places = subject.features.named(wanted)
    shares = np.abs(subject.whole.shares).mean(0)
    told, confirmed = _tried(case, places)
    for feature in places:
        told[subject.features.names[feature]]["share"] = round(float(shares[feature]), 6)
    worst = max(places, key=lambda i: shares[i])
    value = float(shares[worst])
    text = f"most of them has {subject.features.names[worst]}: {value:.1%} of |relevance|"
    return Measured(value, text, told, confirmed.get(worst))


def _proxies(case: Case) -> Measured:
    subject = case.subject
    wanted = subject.settings.sensitive
    if not wanted:
        raise SkipCheck("the settings name no sensitive features")
    if subject.data.count < ENOUGH:
        raise SkipCheck(f"{subject.data.count} row(s) are too few to find proxies in; {ENOUGH} do")
    places, names = subject.features.named(wanted), subject.features.names
    values = [subject.features.values(i, subject.data) for i in range(len(names))]
    shares, rows = np.abs(subject.whole.shares).mean(0), subject.drawn(case.rows)
    told: dict[str, Any] = {}
    found: list[tuple[float, str, bool | None]] = []
    for feature in places:
        strengths = {
            i: association(values[feature], values[i]) for i in range(len(names)) if i not in places
        }
        group = [i for i, strength in strengths.items() if strength >= CLOSELY]
        moved = replace_features(subject, [feature, *group], rows)
        share = float(shares[group].sum())
        told[names[feature]] = {
            "proxies": {names[i]: round(strengths[i], 4) for i in group},
            "share": round(share, 6),
            **moved.record(),
        }
        found.append((share, names[feature], moved.confirms if group else None))
    value, name, confirmed = max(found, key=lambda one: one[0])
    proxies = ", ".join(told[name]["proxies"]) or "none"
    text = f"what stands for {name} ({proxies}) has {value:.1%} of |relevance|"
    return Measured(value, text, told, confirmed)


def _required(case: Case) -> Measured:
    wanted = case.subject.settings.top_features.required
    if not wanted:
        raise SkipCheck("the settings require no top features")
    places = case.subject.features.named(wanted)
    top = _top(case)
    absent = [i for i in places if i not in top]
    told, confirmed = _tried(case, absent)
    return _counted(case, absent, "of those required are not among", told, confirmed)


def _forbidden(case: Case) -> Measured:
    wanted = case.subject.settings.top_features.forbidden
    if not wanted:
        raise SkipCheck("the settings forbid no top features")
    top = _top(case)
    found = [i for i in case.subject.features.named(wanted) if i in top]
    told, confirmed = _tried(case, found)
    return _counted(case, found, "of those forbidden are among", told, confirmed)


def _top(case: Case) -> list[int]:
    shares = np.abs(case.subject.whole.shares).mean(0)
    count = case.subject.settings.top_features.count
    return [int(i) for i in np.argsort(-shares, kind="stable")[:count]]


def _tried(
    case: Case, places: Sequence[int]
) -> tuple[dict[str, dict[str, Any]], dict[int, bool | None]]:
    """What became of answers as each feature was replaced, and whether that confirms it."""
    rows = case.subject.drawn(case.rows)
    moved = {i: replace_features(case.subject, [i], rows) for i in places}
    names = case.subject.features.names
    return {names[i]: m.record() for i, m in moved.items()}, {
        i: m.confirms for i, m in moved.items()
    }


def _counted(
    case: Case,
    places: Sequence[int],
    what: str,
    told: dict[str, dict[str, Any]],
    confirmed: dict[int, bool | None],
) -> Measured:
    """How many features break a rule; confirmed where replacing one of them moves answers."""
    names, top = case.subject.features.names, _top(case)
    evidence = {"top": [names[i] for i in top], "features": told}
    listed = f" ({', '.join(names[i] for i in places)})" if places else ""
    text = f"{len(places)} {what} the top {len(top)}{listed}"
    answers = [answer for answer in confirmed.values() if answer is not None]
    return Measured(len(places), text, evidence, any(answers) if answers else None)


CLOSELY = 0.5
"""Association from which on a feature stands for another. A proposal."""
ENOUGH = 100
"""Rows in which associations are no chance."""
CHECKS = (
    Check(
        "sensitive-share",
        "Do answers rest on sensitive features?",
        "at most",
        0.05,
        PROPOSAL,
        "error",
        _sensitive,
        rows=200,
    ),
    Check(
        "sensitive-proxies",
        "Do answers rest on features that stand for sensitive ones?",
        "at most",
        0.25,
        PROPOSAL,
        "warning",
        _proxies,
        rows=200,
    ),
    Check(
        "required-top-features",
        "Are the features that must matter among those that matter most?",
        "at most",
        0,
        "the settings",
        "error",
        _required,
        rows=200,
    ),
    Check(
        "forbidden-top-features",
        "Are features that must not matter among those that matter most?",
        "at most",
        0,
        "the settings",
        "error",
        _forbidden,
        rows=200,
    ),
)
