"""Checks against a baseline: have reasons moved, and have inputs or answers moved beside them?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backtrace_onnx.audit.baseline import Baseline, accuracy, answers, answers_sha256
from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.histograms import Histogram, jensen_shannon, ndcg, noise

CLARIFY = "default of Amazon SageMaker Clarify"
EVIDENTLY = "default of evidently for this distance"
SMALLEST = 0.01
"""Mean share of a feature whose distribution is looked at. A proposal."""


def _comparable(case: Case) -> Baseline:
    """The baseline. Raises SkipCheck where its features or its mode are others."""
    baseline, subject = case.against, case.subject
    names = tuple(feature.name for feature in baseline.features)
    if names != subject.features.names:
        differ = sorted(set(names) ^ set(subject.features.names))
        told = f": {', '.join(differ[:5])}" if differ else ", or their order"
        raise SkipCheck(f"the baseline's features are others{told}")
    if baseline.mode != subject.whole.first.mode:
        raise SkipCheck(
            f"the baseline is of mode {baseline.mode}, this of {subject.whole.first.mode}"
        )
    return baseline


def _ranks(case: Case) -> Measured:
    baseline = _comparable(case)
    was = [feature.share for feature in baseline.features]
    now = np.abs(case.subject.whole.shares).mean(0)
    value = ndcg(was, now.tolist())
    if np.isnan(value):
        raise SkipCheck("the baseline has no relevance at any feature")
    order = np.argsort(-now, kind="stable")[:10]
    names = case.subject.features.names
    evidence = {
        names[i]: {"was": was[i], "is": round(float(now[i]), 6)} for i in sorted(order.tolist())
    }
    return Measured(value, f"features rank as they did by an nDCG of {value:.3f}", evidence)


def _reasons(case: Case) -> Measured:
    baseline = _comparable(case)
    shares = case.subject.whole.shares
    sizes = np.abs(shares).mean(0)
    pairs = {
        feature.name: (feature.shares, feature.shares.again(shares[:, i]))
        for i, feature in enumerate(baseline.features)
        if max(feature.share, sizes[i]) >= SMALLEST
    }
    return _farthest(case, pairs, "relevance of")


def _inputs(case: Case) -> Measured:
    baseline, subject = _comparable(case), case.subject
    pairs = {
        feature.name: (
            feature.inputs,
            feature.inputs.again(subject.features.values(i, subject.data)),
        )
        for i, feature in enumerate(baseline.features)
    }
    return _farthest(case, pairs, "values of")


def _predictions(case: Case) -> Measured:
    baseline, subject = case.against, case.subject
    was = baseline.answers.predictions
    measured = _farthest(case, {"answers": (was, was.again(answers(subject)))}, "")
    same = baseline.data.sha256 == subject.data.sha256
    if same and baseline.answers.sha256 == answers_sha256(subject):
        return Measured(measured.value, "every answer is what it was", measured.evidence)
    return measured


def _farthest(case: Case, pairs: Mapping[str, tuple[Histogram, Histogram]], what: str) -> Measured:
    """The largest distance of two distributions each; other rows must be enough to tell."""
    if not pairs:
        raise SkipCheck("no feature has relevance")
    if case.against.data.sha256 != case.subject.data.sha256:
        doubt = max(noise(was, now) for was, now in pairs.values())
        if doubt > CLOSE / 2:
            raise SkipCheck(
                f"too few rows ({case.subject.data.count}, and {case.against.data.rows} of the "
                f"baseline): of one population they would be {doubt:.2f} apart by chance"
            )
    found = {name: jensen_shannon(was, now) for name, (was, now) in pairs.items()}
    worst = max(found, key=lambda name: found[name])
    text = f"{what} {worst} moved most, by {found[worst]:.3f}".strip()
    evidence = {name: round(found[name], 6) for name in sorted(found, key=lambda n: -found[n])[:20]}
    return Measured(found[worst], text, evidence)


def _accuracy(case: Case) -> Measured:
    now = accuracy(case.subject)
    if now is None:
        raise SkipCheck("the data have no labels (settings: label), or the model no classes")
    was = case.against.answers.accuracy
    if was is None:
        raise SkipCheck("the baseline was made without labels")
    return Measured(was - now, f"accuracy is {now:.2%}, it was {was:.2%}", {"was": was, "is": now})


CLOSE = 0.1
CHECKS = (
    Check(
        "rank-drift",
        "Do features rank as they did?",
        "at least",
        0.9,
        CLARIFY,
        "error",
        _ranks,
    ),
    Check(
        "reason-drift",
        "Is each feature's relevance distributed as it was?",
        "at most",
        CLOSE,
        EVIDENTLY,
        "error",
        _reasons,
    ),
    Check(
        "input-drift",
        "Are the inputs distributed as they were?",
        "at most",
        CLOSE,
        EVIDENTLY,
        "warning",
        _inputs,
    ),
    Check(
        "prediction-drift",
        "Are the answers distributed as they were?",
        "at most",
        CLOSE,
        EVIDENTLY,
        "warning",
        _predictions,
    ),
    Check(
        "accuracy",
        "Is the model as accurate as it was?",
        "at most",
        0.01,
        PROPOSAL,
        "warning",
        _accuracy,
    ),
)
