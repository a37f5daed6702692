"""Checks against a baseline: have reasons moved, and have inputs or answers moved beside them?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from statistics import NormalDist

import numpy as np

from backtrace_onnx.audit.baseline import Baseline, accuracy, answers, answers_sha256
from backtrace_onnx.audit.calibration import ENOUGH, reach
from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.histograms import Histogram, jensen_shannon, ndcg, noise
from backtrace_onnx.errors import InputError

CLARIFY = "default of Amazon SageMaker Clarify"
EVIDENTLY = "default of evidently for this distance"
SMALLEST = 0.01
"""Mean share of a feature whose distribution is looked at. A proposal."""
_LOST = 0.01
"""Accuracy that may be lost. A proposal."""
FEWEST = 14
"""Rows of which one alone, in another of two bins, moves a distribution by half the bound."""


def comparable(case: Case) -> tuple[Baseline, ...]:
    """The baselines.

    Raises InputError where their features or their mode are others, SkipCheck where there are none
    or features are not those of all rows.
    """
    baselines, subject = case.against, case.subject
    case.compare_features()
    first = baselines[0]
    names = tuple(feature.name for feature in first.features)
    if names != subject.features.names:
        differ = sorted(set(names) ^ set(subject.features.names))
        told = f": {', '.join(differ[:5])}" if differ else ", or their order"
        raise InputError(
            f"{subject.model}: the baseline's features are others{told}; "
            "leave it out, or write a new one"
        )
    settled = subject.settled
    mode, was = (
        f"{name}, compared with {other}" if other else name
        for name, other in (
            (settled["mode"], settled.get("baseline")),
            (first.mode, first.compared),
        )
    )
    if was != mode:
        raise InputError(
            f"{subject.model}: the baseline is of mode {was}, and this is {mode}; "
            "name one mode in the settings, or write a new baseline"
        )
    return baselines


def _ranks(case: Case) -> Measured:
    baselines = comparable(case)
    was = [[feature.share for feature in one.features] for one in baselines]
    now = np.abs(case.subject.whole.shares).mean(0)
    if not all(any(shares) for shares in was):
        raise SkipCheck("a baseline has no relevance at any feature")
    found = [ndcg(shares, now.tolist()) for shares in was]
    nearest = int(np.argmax(found))
    value, names = found[nearest], case.subject.features.names
    order = np.argsort(-now, kind="stable")[:10]
    evidence = {
        names[i]: {"was": was[nearest][i], "is": round(float(now[i]), 6)}
        for i in sorted(order.tolist())
    }
    text = f"features rank as they did by an nDCG of {value:.3f}"
    among = min((ndcg(a, b) for a, b in permutations(was, 2)), default=None)
    return Measured(value, text, evidence, among=among)


def _reasons(case: Case) -> Measured:
    baselines = comparable(case)
    shares = case.subject.whole.shares
    if len(shares) < FEWEST:
        raise SkipCheck(f"{len(shares)} row(s) are too few for distributions; it takes {FEWEST}")
    sizes = np.stack([np.abs(shares).mean(0), *([f.share for f in b.features] for b in baselines)])
    looked = [int(i) for i in np.flatnonzero(sizes.max(0) >= SMALLEST)]
    now = {i: baselines[0].features[i].shares.again(shares[:, i]) for i in looked}
    found = _nearest(case, lambda one, i: one.features[i].shares, now, "relevance of")
    # several baselines say more exactly by share-drift what seeds do; of distributions less
    return replace(found, severity="warning" if len(baselines) >= ENOUGH else None)


def _inputs(case: Case) -> Measured:
    first, *_ = comparable(case)
    subject = case.subject
    now = {
        i: feature.inputs.again(subject.features.values(i, subject.data))
        for i, feature in enumerate(first.features)
    }
    return _nearest(case, lambda one, i: one.features[i].inputs, now, "values of")


def _predictions(case: Case) -> Measured:
    baselines, subject = case.against, case.subject
    now = {-1: baselines[0].answers.predictions.again(answers(subject))}
    measured = _nearest(case, lambda one, _: one.answers.predictions, now, "")
    digest = answers_sha256(subject)
    if any((b.data.sha256, b.answers.sha256) == (subject.data.sha256, digest) for b in baselines):
        return replace(measured, text="every answer is what it was")
    return measured


def _nearest(
    case: Case,
    get: Callable[[Baseline, int], Histogram],
    now: Mapping[int, Histogram],
    what: str,
) -> Measured:
    """The distribution that moved farthest, in parts of what baselines are apart in it.

    Distances are to the nearest baseline. Where baselines are as far apart as rows can be from
    them, a feature is not judged: no rows could fail.

    Args:
        get: of a baseline the histogram of a feature. now: that of these rows, by feature.

    Raises SkipCheck where other rows are too few to tell, or no feature can be judged.
    """
    if not now:
        raise SkipCheck("no feature has relevance")
    for one in case.against:
        if one.data.sha256 != case.subject.data.sha256:
            _check_rows(case, one, [(get(one, i), own) for i, own in now.items()])
    found = {
        i: min(jensen_shannon(get(one, i), own) for one in case.against) for i, own in now.items()
    }
    among = {i: _apart([get(one, i) for one in case.against], len(now)) for i in now}
    names = {**dict(enumerate(case.subject.features.names)), -1: "answers"}

    blind = _blind(case, get, among, names)

    def beyond(i: int) -> float:
        return found[i] if case.fixed else found[i] / max(CLOSE, among[i])

    order = sorted(now.keys() - blind, key=lambda i: (-beyond(i), i))
    worst = order[0]
    text = f"{what} {names[worst]} moved most, by {found[worst]:.3f}".strip()
    if not any(found[i] for i in order):
        text = "nothing that is judged moved" if blind else "nothing moved"
    if blind:
        text += f"; not judged, as the baselines are too far apart{_named(blind, names)}"
    evidence = {
        names[i]: {
            "moved": round(found[i], 6),
            "baselines_apart": round(among[i], 6),
            "judged": i not in blind,
        }
        for i in (*order[:20], *sorted(blind))
    }
    return Measured(found[worst], text, evidence, among=among[worst])


def _blind(
    case: Case,
    get: Callable[[Baseline, int], Histogram],
    among: Mapping[int, float],
    names: Mapping[int, str],
) -> set[int]:
    """The features that no rows could fail. Raises SkipCheck where that is all of them."""
    found = {i for i in among if not case.fixed and among[i] >= _farthest(case, i, get)}
    if found == set(among):
        raise SkipCheck(
            "the baselines are so far apart that no rows could be farther from them"
            f"{_named(found, names)}; take more baselines, or set the bound (threshold)"
        )
    return found


def _named(features: Iterable[int], names: Mapping[int, str]) -> str:
    told = [names[i] for i in sorted(features)]
    more = f" and {len(told) - 5} more" if len(told) > 5 else ""
    return f": {', '.join(told[:5])}{more}"


def _farthest(case: Case, feature: int, get: Callable[[Baseline, int], Histogram]) -> float:
    """How far rows can be from the nearest baseline at most.

    A distance is convex in what is compared, so that it is largest where all rows lie in one bin;
    from the nearest of several baselines nothing is farther than from any of them.
    """
    reached = []
    for one in case.against:
        was = get(one, feature)
        bins = range(len(was.counts))
        lone = (tuple(was.rows * (j == i) for j in bins) for i in bins)
        far = (jensen_shannon(was, was.model_copy(update={"counts": c})) for c in lone)
        reached.append(max(far))
    return min(reached)


def _apart(histograms: Sequence[Histogram], tests: int) -> float:
    """How far baselines are apart: the farthest two.

    Of baselines that are enough at least as far as the next one may be expected to lie from these,
    in the mean.
    """
    count = len(histograms)
    far = np.array([[jensen_shannon(a, b) for a in histograms] for b in histograms])
    if count < ENOUGH:
        return float(far.max())
    means = far.sum(1) / (count - 1)
    return max(float(far.max()), float(means.mean() + reach(means.std(ddof=1), count, tests)))


def _check_rows(case: Case, one: Baseline, pairs: Iterable[tuple[Histogram, Histogram]]) -> None:
    doubt = max(noise(was, now) for was, now in pairs)
    if doubt > CLOSE / 2:
        raise SkipCheck(
            f"too few rows ({case.subject.data.count}, and {one.data.rows} of the baseline): of "
            f"one population they would be {doubt:.2f} apart by chance"
        )


def _accuracy(case: Case) -> Measured:
    now = accuracy(case.subject)
    if now is None:
        raise SkipCheck(_no_accuracy(case))
    known = [(b.answers.accuracy, b) for b in case.against if b.answers.accuracy is not None]
    if not known:
        raise SkipCheck("the baseline was made without labels")
    was, baseline = min(known, key=lambda one: one[0])
    evidence, bound = {"was": was, "is": now}, None
    if baseline.data.sha256 != case.subject.data.sha256:
        counts = (case.subject.data.count, baseline.data.rows)
        error = math.sqrt(sum(p * (1 - p) / n for p, n in zip((now, was), counts, strict=True)))
        evidence["standard error of the difference"] = round(error, 6)
        told = "proposal, beyond a 95 % interval of samples of other rows"
        bound = (_LOST + NormalDist().inv_cdf(0.975) * error, told)
    text = f"accuracy is {now:.2%}, it was {was:.2%}"
    return Measured(was - now, text, evidence, bound=bound)


def _no_accuracy(case: Case) -> str:
    if not case.subject.classes:
        return "the model's answers are numbers, which have no accuracy"
    if case.subject.data.labels is None:
        return "no column names labels (settings: label; --label-column)"
    return "no row has a label"


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
        _LOST,
        PROPOSAL,
        "warning",
        _accuracy,
    ),
)
