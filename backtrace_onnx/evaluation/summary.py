"""What was found of every mode: an estimate by metric, ranks, curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from backtrace_onnx.evaluation.catalogue import Metric
from backtrace_onnx.evaluation.intervals import Estimate, MetricRank, rank
from backtrace_onnx.evaluation.journal import JournalEntry

RANDOM = "random"
"""No mode: relevance that is drawn, which every mode should beat. It has no rank."""


@dataclass(frozen=True)
class ModeSummary:
    """What was found of one mode.

    Attributes:
        used: the modes that were used, where "auto" was asked for.
        estimates, ranks: by metric; None where there is no number.
        beats_random: by metric, whether it is better than relevance that is drawn, row by row
            (the difference's 95 % interval); None where that is no question, or was not asked.
        errors: by metric, or by "" for the mode itself: what was wrong, and in how many rows, the
            most frequent first.
        seconds: median of one explanation.
        curves: by name, the mean over rows: [steps + 1].
        behind: the place behind all modes, that of relevance that is drawn.
    """

    mode: str
    used: tuple[str, ...]
    estimates: dict[str, Estimate | None]
    ranks: dict[str, MetricRank | None]
    beats_random: dict[str, bool | None]
    errors: dict[str, dict[str, int]]
    seconds: float | None
    curves: dict[str, list[float]]
    behind: int = 2

    @property
    def median_rank(self) -> float | None:
        """Over the metrics; None where the mode has no rank.

        By a metric by which it is no better than what is drawn, its place is behind all modes.
        """
        places = [
            self.behind if self.beats_random.get(name) is False else found.place
            for name, found in self.ranks.items()
            if found is not None
        ]
        return float(median(places)) if places else None


def summarise(
    entries: Iterable[JournalEntry], modes: Sequence[str], metrics: Sequence[Metric], seed: int = 0
) -> tuple[ModeSummary, ...]:
    """The summary of every mode, in their order. Raises RequestError without scipy."""
    by_mode: dict[str, list[JournalEntry]] = {mode: [] for mode in modes}
    for entry in sorted(entries, key=lambda entry: entry.row):
        by_mode[entry.mode].append(entry)
    estimates = {mode: _estimates(found, metrics, seed) for mode, found in by_mode.items()}
    ranked = [mode for mode in modes if mode != RANDOM]
    ranks: dict[str, dict[str, MetricRank | None]] = {mode: {} for mode in modes}
    for metric in metrics:
        places = rank([estimates[mode][metric.name] for mode in ranked], metric.better)
        for mode, place in zip(ranked, places, strict=True):
            ranks[mode][metric.name] = place
    return tuple(
        ModeSummary(
            mode,
            tuple(dict.fromkeys(e.used for e in found if e.used)),
            estimates[mode],
            ranks[mode],
            _beats(found, by_mode.get(RANDOM, ()), metrics, seed) if mode != RANDOM else {},
            _errors(found),
            _seconds(found),
            _curves(found),
            len(ranked) + 1,
        )
        for mode, found in by_mode.items()
    )


def _estimates(
    entries: Sequence[JournalEntry], metrics: Sequence[Metric], seed: int
) -> dict[str, Estimate | None]:
    made: dict[str, Estimate | None] = {}
    for metric in metrics:
        found = Estimate.of([entry.values.get(metric.name) for entry in entries], seed)
        made[metric.name] = found if found.count else None
    return made


def _beats(
    entries: Sequence[JournalEntry],
    drawn: Sequence[JournalEntry],
    metrics: Sequence[Metric],
    seed: int,
) -> dict[str, bool | None]:
    """By metric, whether numbers are better than those of drawn relevance of the same rows."""
    floors = {entry.row: entry.values for entry in drawn}
    made: dict[str, bool | None] = {}
    for metric in metrics:
        pairs = [
            (entry.values.get(metric.name), floors.get(entry.row, {}).get(metric.name))
            for entry in entries
            if metric.has_floor
        ]
        ahead = [own - floor for own, floor in pairs if own is not None and floor is not None]
        found = Estimate.of(ahead if metric.better == "larger" else [-a for a in ahead], seed)
        made[metric.name] = found.low > 0 if found.count > 1 else None
    return made


def _errors(entries: Sequence[JournalEntry]) -> dict[str, dict[str, int]]:
    made: dict[str, Counter[str]] = {}
    for entry in entries:
        for name, text in entry.errors.items():
            made.setdefault(name, Counter())[" ".join(text.split())] += 1
    return {name: dict(reasons.most_common()) for name, reasons in made.items()}


def _seconds(entries: Sequence[JournalEntry]) -> float | None:
    times = [entry.seconds for entry in entries if "" not in entry.errors]
    return median(times) if times else None


def _curves(entries: Sequence[JournalEntry]) -> dict[str, list[float]]:
    names = dict.fromkeys(name for entry in entries for name in entry.curves)
    rows = {name: [e.curves[name] for e in entries if name in e.curves] for name in names}
    return {name: np.mean(found, axis=0).tolist() for name, found in rows.items()}


__all__ = ["RANDOM", "ModeSummary", "summarise"]
