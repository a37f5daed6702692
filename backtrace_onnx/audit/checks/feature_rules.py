"""Checks of what people say about features: sensitive, required and forbidden ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backtrace_onnx.audit.answer_parts import AnswerPart, answer_parts
from backtrace_onnx.audit.association import association_of_codes, codes
from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.intervention import replace_features
from backtrace_onnx.audit.subject import AuditedModel


def _sensitive(case: Case) -> Measured:
    subject = case.subject
    wanted = subject.settings.sensitive
    if not wanted:
        raise SkipCheck("the settings name no sensitive features")
    names = subject.features.names
    told: dict[str, Any] = {}
    found: list[tuple[float, str, AnswerPart, bool | None]] = []
    for feature in subject.features.named(wanted):
        share, part, by_answer = _largest(subject, [feature])
        moved = replace_features(subject, [feature], subject.drawn(case.rows, part.rows))
        told[names[feature]] = {**moved.record(), **by_answer}
        found.append((share, names[feature], part, moved.confirms))
    value, name, part, confirmed = max(found, key=lambda one: one[0])
    most = f"of {len(found)} sensitive features {name} has most" if found[1:] else f"{name} has"
    text = f"{most}{', ' if found[1:] else ' '}{value:.1%} of |relevance|{part.where}"
    of = case.some(len(part.rows), part.where)
    return Measured(value, text, told, confirmed, of=of)


def _largest(
    subject: AuditedModel, features: Sequence[int]
) -> tuple[float, AnswerPart, dict[str, Any]]:
    """The mean share of features together, of all rows or of the answer where it is largest.

    Which rows these are, and the same of all and by answer as JSON values.
    """
    sizes = np.abs(subject.whole.shares[:, list(features)]).sum(1)
    means = [(float(sizes[part.rows].mean()), part) for part in answer_parts(subject)]
    share, part = max(means, key=lambda one: one[0])
    (every, _), *others = means
    told = {str(own.answer): round(mean, 6) for mean, own in others}
    return share, part, {"share": round(every, 6), "by_answer": told}


def _proxies(case: Case) -> Measured:
    subject = case.subject
    wanted = subject.settings.sensitive
    if not wanted:
        raise SkipCheck("the settings name no sensitive features")
    if subject.data.count < ENOUGH:
        raise SkipCheck(f"{subject.data.count} row(s) are too few to find proxies in; {ENOUGH} do")
    places, names = subject.features.named(wanted), subject.features.names
    numbered = [codes(subject.features.values(i, subject.data)) for i in range(len(names))]
    told: dict[str, Any] = {}
    found: list[tuple[float, str, AnswerPart, bool | None]] = []
    for feature in places:
        strengths = {
            i: association_of_codes(numbered[feature], numbered[i])
            for i in range(len(names))
            if i not in places
        }
        group = [i for i, strength in strengths.items() if strength >= CLOSELY]
        share, part, by_answer = _largest(subject, group)
        rows = subject.drawn(case.rows, part.rows)
        moved = replace_features(subject, [feature, *group], rows)
        told[names[feature]] = {
            "proxies": {names[i]: round(strengths[i], 4) for i in group},
            **by_answer,
            **moved.record(),
        }
        found.append((share, names[feature], part, moved.confirms if group else None))
    value, name, part, confirmed = max(found, key=lambda one: one[0])
    proxies = ", ".join(told[name]["proxies"]) or "none"
    text = f"what stands for {name} ({proxies}) has {value:.1%} of |relevance|{part.where}"
    of = case.some(len(part.rows), part.where)
    return Measured(value, text, told, confirmed, of=of)


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
