"""An evaluation, whole: modes against metrics on rows of data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.catalogue import Metric, number
from backtrace_onnx.evaluation.intervals import Estimate, MetricRank
from backtrace_onnx.evaluation.summary import ModeSummary


@dataclass(frozen=True)
class Evaluation:
    """Modes against metrics, on rows of data.

    Attributes:
        rows: how many were measured. there: how many the data have.
        notes: what one must know to read it, a sentence each.
        folder: where it is kept, if anywhere. kept: entries that were there before.
    """

    model: str
    metrics: tuple[Metric, ...]
    modes: tuple[ModeSummary, ...]
    rows: int
    there: int
    notes: tuple[str, ...] = ()
    folder: Path | None = None
    kept: int = 0

    def __getitem__(self, mode: str) -> ModeSummary:
        """What was found of a mode. Raises RequestError for one that was not measured."""
        for found in self.modes:
            if found.mode == mode:
                return found
        there = ", ".join(found.mode for found in self.modes)
        raise RequestError(f"mode {mode!r} was not measured; those that were: {there}")

    def record(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        return {
            "model": self.model,
            "rows": self.rows,
            "there": self.there,
            "metrics": [
                {"name": m.name, "better": m.better, "question": m.question} for m in self.metrics
            ],
            "modes": [_mode(mode) for mode in self.modes],
            "notes": list(self.notes),
            "folder": None if self.folder is None else str(self.folder),
            "resumed": self.kept,
        }

    def plot(self, path: str | Path) -> None:
        """Draw the perturbation curves. Raises RequestError where none were measured."""
        from backtrace_onnx.evaluation.curves import plot

        plot(self.modes, Path(path))


def _mode(mode: ModeSummary) -> dict[str, Any]:
    return {
        "mode": mode.mode,
        "used": list(mode.used),
        "metrics": {
            name: None
            if found is None
            else _estimate(found, mode.ranks.get(name), mode.beats_random.get(name))
            for name, found in mode.estimates.items()
        },
        "median_rank": mode.median_rank,
        "seconds": mode.seconds,
        "errors": [
            {"metric": name or None, "error": text, "rows": count}
            for name, reasons in mode.errors.items()
            for text, count in reasons.items()
        ],
        "curves": mode.curves,
    }


def _estimate(found: Estimate, place: MetricRank | None, beats: bool | None) -> dict[str, Any]:
    return {
        "mean": number(found.mean),
        "low": number(found.low),
        "high": number(found.high),
        "rows": found.count,
        "rank": None if place is None else place.place,
        "tied": None if place is None else place.tied,
        "beats_random": beats,
    }


__all__ = ["Evaluation"]
