"""Which sentences of people speak against an outcome, row by row, and whether they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.comparison import OTHERS, Comparison, find_comparison
from backtrace_onnx.audit.intervention import DRAWS, MOVES
from backtrace_onnx.audit.reason_texts import ReasonText, ReasonTexts
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.report.given_reasons import GivenReason, GivenReasons

Array = npt.NDArray[Any]
EQUAL = 1e-5
"""Of a row's largest relevance: reasons closer than that are equal, and stand as in the file."""
NEGLIGIBLE = 0.05
"""Of a row's |relevance|: a feature with less is not told where it has no sentence. A proposal."""
AT_ONCE = 200
"""Rows whose reasons are tried in one run."""


@dataclass(frozen=True)
class _Towards:
    """Relevance towards the outcome.

    Attributes:
        relevance: float64[asked rows, features]; what is negative speaks against the outcome.
        scores: float64[rows] of the outcome, higher is nearer to it. column: of all scores.
        sign: 1, or -1 where lower numbers are hoped for. denied: bool[rows].
    """

    relevance: Array
    scores: Array
    column: int
    sign: int
    denied: Array


def find_reasons(
    subject: AuditedModel,
    texts: ReasonTexts,
    rows: Array | None = None,
    others: int | None = None,
    comparison: Comparison | None = None,
) -> list[GivenReasons]:
    """The reasons of some rows or all, at most `texts.count` each, the strongest first.

    A feature belongs to the first sentence that fits it and its value. Raises InputError where the
    outcome is none, RequestError for a feature that is none.

    Args:
        others: from how many of the first rows values are taken; default: all, at most OTHERS.
        comparison: what they compare with; default: what `find_comparison` finds.
    """
    rows = np.arange(subject.data.count) if rows is None else rows
    others = others or min(subject.data.count, OTHERS)
    comparison = comparison or find_comparison(subject)
    subject = comparison.asked(subject)
    towards = _towards(subject, texts, rows)
    owners = _owners(subject, texts, rows, comparison.usual)
    made = []
    for at, row in enumerate(rows):
        found = GivenReasons(texts.outcome, bool(towards.denied[row]), ())
        if found.denied or texts.everyone:
            found = _of_row(subject, texts, found, towards.relevance[at], owners[at])
        made.append(found)
    return _tried(subject, towards, rows, made, others)


def _towards(subject: AuditedModel, texts: ReasonTexts, rows: Array) -> _Towards:
    whole, outcome = subject.whole, texts.outcome
    if not subject.classes:
        if outcome not in ("higher", "lower"):
            raise InputError(
                f"{texts.source}: the outcome of a regression is higher or lower, not {outcome!r}"
            )
        sign = 1 if outcome == "higher" else -1
        scores = sign * whole.scores[:, 0]
        denied = np.ones(len(scores), bool)  # nobody decides: all are given what speaks against it
        found = subject.explain(subject.data.rows(rows), entries=False)
        return _Towards(sign * found.features, scores, 0, sign, denied)
    count = whole.scores.shape[1]
    known = subject.labels if len(subject.labels) == count else tuple(map(str, range(count)))
    if outcome not in known and not (outcome.isdecimal() and int(outcome) < count):
        close = find_alike(outcome, known)
        meant = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known[:10])}"
        raise InputError(
            f"{texts.source}: outcome {outcome!r} is none of the model's classes; {meant}"
        )
    place = known.index(outcome) if outcome in known else int(outcome)
    asked = np.full(len(rows), place, np.int64)
    found = subject.explain(subject.data.rows(rows), asked, entries=False)
    denied = whole.scores.argmax(1) != place
    return _Towards(found.features, whole.scores[:, place], place, 1, denied)


def _owners(subject: AuditedModel, texts: ReasonTexts, rows: Array, usual: Array) -> Array:
    """int64[rows, features]: the sentence that a feature belongs to in a row; -1: none."""
    features = subject.features
    owners = np.full((len(rows), len(features.names)), -1, np.int64)
    for number, reason in reversed([*enumerate(texts.reasons)]):
        try:
            for feature in features.named(reason.features):
                fits = _fits(subject, feature, reason, float(usual[feature]))
                owners[fits[rows], feature] = number
        except (InputError, RequestError) as error:
            told = f"{texts.source}: reason {reason.code}: {error}"
            raise type(error)(told) from None
    return owners


def _fits(subject: AuditedModel, feature: int, reason: ReasonText, usual: float) -> Array:
    """bool[rows]: whether the feature's value is one that the sentence is about.

    Raises InputError for categories that are none, and a direction of what has none.
    """
    values = subject.features.values(feature, subject.data)
    name = subject.features.names[feature]
    if reason.values:
        known = subject.features.categories.get(feature)
        strange = [v for v in reason.values if known is None or v not in known]
        if strange:
            there = ", ".join(known) if known else "no categories"
            raise InputError(f"{name} has no {strange[0]!r}; it has: {there}")
        return np.isin(values.astype(str), list(reason.values))
    if reason.direction == "any":
        return np.ones(len(values), bool)
    if values.dtype.kind not in "fiub":
        raise InputError(f"{name} holds no numbers; name its values")
    made: Array = values < usual if reason.direction == "low" else values > usual
    return made


def _of_row(
    subject: AuditedModel, texts: ReasonTexts, one: GivenReasons, relevance: Array, owners: Array
) -> GivenReasons:
    """The strongest sentences; of equal ones the first in the file."""
    size = float(np.abs(relevance).sum()) or 1.0
    step = EQUAL * float(np.abs(relevance).max(initial=0)) or 1.0
    against, names = relevance < 0, subject.features.names
    found = []
    for number, reason in enumerate(texts.reasons):
        own = np.flatnonzero(against & (owners == number))
        total = float(relevance[own].sum())
        if len(own):
            order = sorted(own.tolist(), key=lambda i: (int(np.rint(relevance[i] / step)), i))
            told = tuple(names[i] for i in order)
            made = GivenReason(reason.code, reason.text, told, total, -total / size, None)
            found.append((int(np.rint(total / step)), number, made))
    ranked = sorted(found, key=lambda one: one[:2])
    chosen = [made for *_, made in ranked[: texts.count]]
    left = np.flatnonzero(against & (owners < 0) & (-relevance >= NEGLIGIBLE * size))
    alone = sorted((int(np.rint(relevance[i] / step)), i) for i in left.tolist())
    # a feature that is as strong as a sentence stands behind it
    stronger = [sum(one[0] <= place for one in ranked) for place, _ in alone]
    untold = [names[i] for at, (_, i) in enumerate(alone) if at + stronger[at] < texts.count]
    return replace(one, reasons=tuple(chosen), untold=tuple(untold))


def _tried(
    subject: AuditedModel, towards: _Towards, rows: Array, given: list[GivenReasons], others: int
) -> list[GivenReasons]:
    """The same, with what became of the outcome's score as features took other rows' values.

    These are the same few rows for every one, so that a row's answer depends on no other's.
    """
    places = {name: i for i, name in enumerate(subject.features.names)}
    usual = towards.scores[:others]
    spread = float(usual.std()) or float(np.abs(usual).max()) or 1.0
    values = [subject.features.values(i, subject.data) for i in range(len(places))]
    tried: list[list[bool | None]] = [[] for _ in given]
    drawn = np.random.default_rng(subject.seed).permutation(others)[:DRAWS]
    tasks = [
        (at, [places[name] for name in reason.features])
        for at, one in enumerate(given)
        for reason in one.reasons
    ]
    for first in range(0, len(tasks), AT_ONCE):
        part = tasks[first : first + AT_ONCE]
        own = np.repeat([rows[at] for at, _ in part], len(drawn))
        donors = np.tile(drawn, len(part))
        origin, other = np.tile(own[:, None], (1, len(places))), np.zeros(len(own), bool)
        spans = [slice(i * len(drawn), (i + 1) * len(drawn)) for i in range(len(part))]
        for span, (at, features) in zip(spans, part, strict=True):
            origin[span, features] = donors[span, None]
            for i in features:
                other[span] |= values[i][donors[span]] != values[i][rows[at]]
        scores = towards.sign * subject.scores(subject.mixed(origin))[:, towards.column]
        rises = (scores - towards.scores[own]) / spread
        for span, (at, _) in zip(spans, part, strict=True):
            moved = rises[span][other[span]]
            tried[at].append(bool(moved.mean() >= MOVES) if len(moved) else None)
    return [_with_answers(*pair) for pair in zip(given, tried, strict=True)]


def _with_answers(given: GivenReasons, answers: Sequence[bool | None]) -> GivenReasons:
    pairs = zip(given.reasons, answers, strict=True)
    return replace(given, reasons=tuple(replace(r, confirmed=answer) for r, answer in pairs))


__all__ = ["find_reasons"]
