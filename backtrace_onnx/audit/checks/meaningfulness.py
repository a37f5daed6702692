"""Checks whether explanations say something of the model: of classes, of what it learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import RequestError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.metrics import (
    abpc,
    class_sensitivity,
    model_randomisation,
    randomised_model,
    sensitivity,
    similarity,
)

Array = npt.NDArray[Any]
RESAMPLES, CONFIDENCE = 2000, 0.95
FEWEST = 5
"""Rows of which a bootstrap interval says something."""
RADIUS, DRAWS = 0.02, 5


def _classes(case: Case) -> Measured:
    subject = case.subject
    if not subject.classes or subject.whole.scores.shape[1] < 2:
        raise SkipCheck("there are no two classes to compare")
    rows = subject.drawn(case.rows)
    scores = subject.whole.scores[rows]
    first, second = np.argsort(-scores, 1, kind="stable")[:, :2].T
    feeds = subject.data.rows(rows)
    own, other = (subject.explain(feeds, target) for target in (first, second))
    found = class_sensitivity(own.features, other.features)
    told = found[np.isfinite(found)]
    if not len(told):
        raise SkipCheck("the maps of all rows are empty")
    value = float(np.median(told))
    text = f"maps of the two likeliest classes differ by {value:.3g} (1 - cosine, the median)"
    evidence = {"rows": len(told), "least": float(told.min())}
    return Measured(value, text, evidence, of=case.some(len(told)))


def _deletion(case: Case) -> Measured:
    subject = case.subject
    rows = subject.drawn(case.rows)
    if len(rows) < FEWEST:
        raise SkipCheck(f"{len(rows)} row(s) are too few; it takes {FEWEST}")
    if len(subject.features.names) < 2:
        raise SkipCheck("one feature has no order")
    found = subject.whole.features[rows]
    noise = np.random.default_rng(subject.seed).random(found.shape)
    origin = np.tile(rows[:, None], (1, found.shape[1]))
    others = np.tile(np.arange(subject.data.count)[:, None], (1, found.shape[1]))

    def predict(copies: Array) -> Array:
        return subject.scores(subject.mixed(copies))

    how = {"replace": "background", "background": others, "seed": subject.seed}
    target = None if subject.whole.target is None else subject.whole.target[rows]
    own = abpc(predict, origin, found, target, **how)
    chance = abpc(predict, origin, noise, target, **how)
    gain = own - chance
    low, high = bootstrap(gain, subject.seed)
    text = (
        f"the area between curves is {own.mean():.3g}, that of random orders {chance.mean():.3g}; "
        f"the difference is {low:.3g} to {high:.3g} (95 %)"
    )
    evidence = {
        "rows": len(rows),
        "abpc": float(own.mean()),
        "abpc_random": float(chance.mean()),
        "interval": [low, high],
    }
    return Measured(low, text, evidence, confirmed=low > 0, of=case.some(len(rows)))


def bootstrap(values: Array, seed: int) -> tuple[float, float]:
    """The 95 % interval of a mean, by the percentiles of resampled means (Efron 1979)."""
    rng = np.random.default_rng(seed)
    means = np.array(
        [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _randomisation(case: Case) -> Measured:
    subject = case.subject
    rows = subject.drawn(case.rows)
    target = None if subject.whole.target is None else subject.whole.target[rows]
    feeds = subject.data.rows(rows)

    def explain(model: Any, _: Array) -> Array:
        own = None if model is subject.model else Explainer(model, on_unsupported="stop")
        return subject.explain(feeds, target, own).features

    places = np.zeros((len(rows), len(subject.features.names)))
    if places.shape[1] < 2:
        raise SkipCheck("one feature has no ranks")
    try:
        found = model_randomisation(explain, subject.model, places, seed=subject.seed)
    except RequestError as error:
        raise SkipCheck(str(error)) from None
    by_node = found.similarity.mean(1)
    draws, own = [float(by_node[-1])], explain(subject.model, places)
    for more in range(1, DRAWS):  # of few features, one draw of weights may rank them alike
        last = randomised_model(subject.model, seed=subject.seed + more)
        draws.append(float(similarity(own, explain(last, places)).mean()))
    value = abs(float(np.mean(draws)))
    text = f"rank correlation with the maps of models of random weights is {value:.2f}"
    steps = {name: round(float(s), 4) for name, s in zip(found.nodes, by_node, strict=True)}
    evidence = {"rows": len(rows), "by_draw": [round(d, 4) for d in draws], "by_node": steps}
    return Measured(value, text, evidence, of=case.some(len(rows)))


def _sensitivity(case: Case) -> Measured:
    subject = case.subject
    rows = subject.drawn(case.rows)
    feeds = subject.data.rows(rows)
    places = _numbers(subject)
    spread = {n: _spread(subject.data.feeds[n]) for n in places}
    if not any((places[n] & (spread[n] > 0)).any() for n in places):
        raise SkipCheck("no input holds numbers that vary")
    places = {n: mask & (spread[n] > 0) for n, mask in places.items()}
    target = None if subject.whole.target is None else subject.whole.target[rows]
    scales = np.concatenate([spread[n][places[n]] for n in places])
    start = np.concatenate([feeds[n][:, places[n]] for n in places], 1) / scales

    def explain(x: Array) -> Array:
        made, at = dict(feeds), 0
        for name, mask in places.items():
            width = int(mask.sum())
            changed = feeds[name].copy()
            changed[:, mask] = (x * scales)[:, at : at + width]
            made[name], at = changed, at + width
        return subject.explain(made, target).features

    found = sensitivity(explain, start, radius=RADIUS, samples=DRAWS, seed=subject.seed).most
    told = found[np.isfinite(found)]
    if not len(told):
        raise SkipCheck("the maps of all rows are empty")
    value = float(told.mean())
    text = (
        f"noise of up to {RADIUS:g} standard deviations moves relevance by {value:.3g} of its norm"
    )
    evidence = {"rows": len(told), "most": float(told.max())}
    return Measured(value, text, evidence, of=case.some(len(told)))


def _numbers(subject: AuditedModel) -> dict[str, Array]:
    """By input bool[entries]: which are numbers, not categories."""
    made = {}
    for name, owner in subject.features.owner.items():
        x = subject.data.feeds[name]
        if x.dtype.kind == "f":
            free = ~np.isin(owner, list(subject.features.categories))
            made[name] = free.reshape(x.shape[1:])
    return made


def _spread(x: Array) -> Array:
    """float64[...]: standard deviations over the rows of x[rows, ...], few entries at a time."""
    flat = x.reshape(len(x), -1)
    step = max(2, (1 << 22) // max(len(x), 1))
    parts = [flat[:, i : i + step].astype(np.float64).std(0) for i in range(0, flat.shape[1], step)]
    made: Array = np.concatenate(parts).reshape(x.shape[1:])
    return made


CHECKS = (
    Check(
        "class-sensitivity",
        "Do explanations of the likeliest class and the next differ?",
        "at least",
        0.001,
        PROPOSAL,
        "warning",
        _classes,
        rows=64,
    ),
    Check(
        "deletion",
        "Does the answer go faster where the most relevant features are replaced first, compared "
        "with any order?",
        "above",
        0.0,
        "chance; the lower end of a 95 % interval of ABPC (Samek et al. 2017)",
        "error",
        _deletion,
        rows=100,
    ),
    Check(
        "parameter-randomisation",
        "Do explanations depend on what the model learned?",
        "at most",
        0.5,
        f"{PROPOSAL}; the test is of Adebayo et al. 2018",
        "warning",
        _randomisation,
        rows=32,
    ),
    Check(
        "max-sensitivity",
        "Do explanations stay where inputs hardly move?",
        "at most",
        0.5,
        f"{PROPOSAL}; the measure is of Yeh et al. 2019",
        "warning",
        _sensitivity,
        rows=32,
    ),
)
