"""Checks against baseline models, row by row: are answers kept, and the reasons of each row?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.intervention import MOVES, replace_chosen
from backtrace_onnx.audit.subject import AuditedModel

Array = npt.NDArray[Any]
ALIKE = 0.9
"""Cosine from which on two explanations of a row say the same. A proposal."""
TOLD = 20
"""Rows that the evidence names."""


@dataclass(frozen=True)
class RowPairs:
    """The same rows as two models see them, both explained for what the first answered.

    Attributes:
        was, now: relevance float64[rows, features]. kept: bool[rows], whether answers are the same.
    """

    was: Array
    now: Array
    kept: Array

    @property
    def cosines(self) -> Array:
        """float64[rows]: of both explanations; 1 where both are empty, 0 where one is."""
        return cosines(self.was, self.now)

    def overlaps(self, count: int) -> Array:
        """float64[rows]: the part of the first's top features that are among the second's."""
        first, second = (top_features(part, count) for part in (self.was, self.now))
        size = first.sum(1)
        made: Array = np.where(
            size > 0, (first & second).sum(1) / np.maximum(size, 1), ~second.any(1)
        )
        return made


def pair_rows(old: AuditedModel, new: AuditedModel) -> RowPairs:
    """The rows of two models that are explained in the same mode and have the same features."""
    was, now = old.whole, new.whole
    if was.target is None or now.target is None:
        spread = float(was.scores.std()) or float(np.abs(was.scores).max()) or 1.0
        kept = np.abs(was.scores[:, 0] - now.scores[:, 0]) <= MOVES * spread
        return RowPairs(was.features, now.features, kept)
    if was.target.max(initial=0) >= now.scores.shape[1]:
        raise SkipCheck(f"{old.model} has other classes")
    kept = was.target == now.target
    features = now.features
    if not kept.all():
        other = np.flatnonzero(~kept)
        features = features.copy()
        features[other] = new.explain(new.data.rows(other), was.target[other]).features
    return RowPairs(was.features, features, kept)


def cosines(first: Array, second: Array) -> Array:
    """float64[rows]: of first and second [rows, entries]; 1 where both are 0, 0 where one is."""
    sizes = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    made: Array = np.zeros(len(first))
    made[~first.any(1) & ~second.any(1)] = 1.0
    products = np.einsum("ij,ij->i", first, second)
    np.divide(products, sizes, out=made, where=sizes > 0)
    return np.clip(made, -1.0, 1.0)


def top_features(relevance: Array, count: int) -> Array:
    """bool[rows, features]: those with most |relevance| of each row; none that has none."""
    sizes = np.abs(relevance)
    order = np.argsort(-sizes, 1, kind="stable")[:, :count]
    made = np.zeros(sizes.shape, bool)
    np.put_along_axis(made, order, True, 1)
    return made & (sizes > 0)


def _answers(case: Case) -> Measured:
    pairs = [pair_rows(old, case.subject) for old in case.earlier]
    value = max(float(pair.kept.mean()) for pair in pairs)
    among = _among(case.models, lambda pair: float(pair.kept.mean()))
    lost = np.flatnonzero(~max(pairs, key=lambda pair: pair.kept.mean()).kept)
    text = f"{value:.2%} of the rows are answered as they were"
    told = case.subject.data.told
    evidence = {"changed": len(lost), "rows": [told(row) for row in lost[:TOLD]]}
    return Measured(value, text, evidence, among=min(among, default=None))


def _maps(case: Case) -> Measured:
    new = case.subject
    pairs = [pair_rows(old, new) for old in case.earlier]
    nearest = int(np.argmin([_changed(pair) for pair in pairs]))
    pair, old = pairs[nearest], case.models[nearest]
    found = pair.cosines
    worst = np.argsort(found, kind="stable")[:TOLD]
    moved = np.flatnonzero(found < ALIKE)
    evidence: dict[str, Any] = {
        "cosine": {"mean": round(float(found.mean()), 6), "least": round(float(found.min()), 6)},
        "answers_kept": round(float(pair.kept.mean()), 6),
        "changed_with_answers_kept": int((found < ALIKE)[pair.kept].sum()),
        "rows": [{**new.data.told(i), "cosine": round(float(found[i]), 6)} for i in worst],
    }
    told, confirmed = _confirmed(case, old, pair, moved)
    text = f"the reasons of {len(moved)} of {len(found)} rows are others (cosine below {ALIKE:g})"
    among = max(_among(case.models, _changed), default=None)
    severity: Any = "warning" if len(case.models) > 1 else None
    changed = _changed(pair)
    return Measured(changed, text, {**evidence, **told}, confirmed, among, severity=severity)


def _confirmed(
    case: Case, old: AuditedModel, pair: RowPairs, moved: Array
) -> tuple[dict[str, Any], bool | None]:
    """Whether what only the new reasons name moves the new model more than the old one."""
    if not len(moved):
        return {}, None
    count = case.subject.settings.top_features.count
    rows = moved[np.sort(np.argsort(pair.cosines[moved], kind="stable")[: case.rows])]
    gained = top_features(pair.now[rows], count) & ~top_features(pair.was[rows], count)
    if not gained.any():
        return {}, None
    is_now, it_was = (replace_chosen(one, gained, rows) for one in (case.subject, old))
    confirmed = is_now.score - it_was.score >= MOVES if is_now.copies else None
    told = {"features_gained": {"now": is_now.record(), "before": it_was.record()}}
    return told, confirmed


def _tops(case: Case) -> Measured:
    count = case.subject.settings.top_features.count
    pairs = [pair_rows(old, case.subject) for old in case.earlier]

    def mean(pair: RowPairs) -> float:
        return float(pair.overlaps(count).mean())

    nearest = max(pairs, key=mean)
    found = nearest.overlaps(count)
    text = f"of each row's top {count} features {mean(nearest):.1%} are what they were"
    worst = np.argsort(found, kind="stable")[:TOLD]
    row = case.subject.data.told
    evidence = {"rows": [{**row(i), "overlap": round(float(found[i]), 6)} for i in worst]}
    return Measured(
        mean(nearest), text, evidence, among=min(_among(case.models, mean), default=None)
    )


def _among(models: Sequence[AuditedModel], get: Callable[[RowPairs], float]) -> list[float]:
    """What baseline models are apart, each pair both ways."""
    return [get(pair_rows(a, b)) for a, b in permutations(models, 2)]


def _changed(pair: RowPairs) -> float:
    return float((pair.cosines < ALIKE).mean())


CHECKS = (
    Check(
        "answers-kept",
        "Does each row get the answer that it got?",
        "at least",
        0.99,
        PROPOSAL,
        "warning",
        _answers,
    ),
    Check(
        "sample-drift",
        "Does each row have the reasons that it had?",
        "at most",
        0.05,
        PROPOSAL,
        "error",
        _maps,
        rows=200,
    ),
    Check(
        "sample-top-features",
        "Are each row's top features those that it had?",
        "at least",
        0.8,
        PROPOSAL,
        "warning",
        _tops,
    ),
)
