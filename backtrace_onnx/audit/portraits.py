"""What a report shows of features and answers: shares with intervals, and how they were before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.baseline import Baseline, answers
from backtrace_onnx.audit.histograms import Histogram, histogram, jensen_shannon
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.inputs.tables import TableInput
from backtrace_onnx.summary.resampling import BLOCK, ResampledMeans, Resamples

Array = npt.NDArray[Any]
MOST = 24
"""Features that are shown: of the largest mean |share|, now or in the baseline."""
RESAMPLES, CONFIDENCE = 1000, 0.95


@dataclass(frozen=True)
class Distribution:
    """What something was distributed like, in the same bins.

    Attributes:
        was: in the first baseline; None where there is none to compare with.
        moved: the Jensen-Shannon distance of the two.
    """

    now: Histogram
    was: Histogram | None
    moved: float | None

    @classmethod
    def of(cls, values: Array, was: Histogram | None) -> Distribution:
        """Of values by row, in the bins of what was."""
        if was is None:
            return cls(histogram(values), None, None)
        now = was.again(values)
        return cls(now, was, jensen_shannon(was, now))


@dataclass(frozen=True)
class Portrait:
    """A feature.

    Attributes:
        share: mean part of a row's |relevance|; interval: of this mean, bootstrapped, None of fewer
            than two rows. signed: the mean with sign. was: the share in the first baseline.
        shares, inputs: how its shares, with sign, and what it holds are distributed over rows.
        scale: (std, mean): a number that it holds was value = number * std + mean in the table.
    """

    name: str
    share: float
    interval: tuple[float, float] | None
    signed: float
    was: float | None
    shares: Distribution
    inputs: Distribution
    scale: tuple[float, float] = (1.0, 0.0)


@dataclass(frozen=True)
class Portraits:
    """The features that are shown, the largest first, how many there are, and the answers."""

    features: tuple[Portrait, ...]
    count: int
    answers: Distribution


def find_portraits(subject: AuditedModel, baselines: Sequence[Baseline]) -> Portraits:
    """The portraits of a model's features on its data, beside those of the first baseline."""
    names, shares = subject.features.names, subject.whole.shares
    like = baselines[0] if baselines and _alike(subject, baselines[0]) else None
    sizes = np.abs(shares).mean(0)
    before = np.array([f.share for f in like.features]) if like else sizes
    most = 0 if subject.features.in_texts else MOST
    largest = np.argsort(-np.maximum(sizes, before), kind="stable")[:most]
    places = sorted(largest.tolist(), key=lambda i: -sizes[i])
    scales = _scales(subject)
    intervals = _intervals(shares, places, subject.seed)
    features = tuple(
        Portrait(
            names[i],
            float(sizes[i]),
            None if intervals is None else (float(intervals[k, 0]), float(intervals[k, 1])),
            float(shares[:, i].mean()),
            like.features[i].share if like else None,
            Distribution.of(shares[:, i], like.features[i].shares if like else None),
            Distribution.of(
                subject.features.values(i, subject.data), like.features[i].inputs if like else None
            ),
            scales.get(names[i], (1.0, 0.0)),
        )
        for k, i in enumerate(places)
    )
    told = baselines[0].answers.predictions if baselines else None
    return Portraits(features, len(names) if most else 0, Distribution.of(answers(subject), told))


def _alike(subject: AuditedModel, baseline: Baseline) -> bool:
    """Whether features and mode of a baseline are the same."""
    names = tuple(feature.name for feature in baseline.features)
    settled = (subject.settled["mode"], subject.settled.get("baseline"))
    return names == subject.features.names and (baseline.mode, baseline.compared) == settled


def _scales(subject: AuditedModel) -> dict[str, tuple[float, float]]:
    """What numbers of columns were divided by, and what was taken off them before, by column."""
    entries = subject.sidecar.inputs.values() if subject.sidecar else ()
    tables = [entry for entry in entries if isinstance(entry, TableInput)]
    return {f.name: (f.std, f.mean) for table in tables for f in table.features}


def _intervals(shares: Array, places: Sequence[int], seed: int) -> Array | None:
    """float64[places, 2]: of the means of |shares[rows, features]|, some rows at a time."""
    resamples, means = Resamples(RESAMPLES, seed), ResampledMeans(RESAMPLES, len(places))
    for block, at in enumerate(range(0, len(shares), BLOCK)):
        rows = np.abs(shares[at : at + BLOCK, places])
        means.add(resamples.weights(block, len(rows)), rows)
    return means.intervals(CONFIDENCE)


__all__ = ["Distribution", "Portrait", "Portraits", "find_portraits"]
