"""What a model's answers rest on over a whole data set: means, intervals, ranks, ties."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backtrace_onnx.data.arrow import need_arrow
from backtrace_onnx.data.explain_dataset import Progress
from backtrace_onnx.data.reading import Data
from backtrace_onnx.errors import RequestError
from backtrace_onnx.summary.collecting import Collector, GlobalSettings, Share
from backtrace_onnx.summary.feature_groups import membership
from backtrace_onnx.summary.means import ShareMean, Slice
from backtrace_onnx.summary.over_rows import OverRows
from backtrace_onnx.summary.resampling import BLOCK
from backtrace_onnx.summary.result_rows import in_blocks
from backtrace_onnx.summary.sources import Results, Source

_MOST = 20_000  # resamples, or rows of pictures: in memory for every block of rows
_FEW = 30  # rows under which percentiles of resamples are rough


@dataclass(frozen=True)
class GlobalExplanation(OverRows):
    """What answers rest on, over all rows of a data set; attributes are those of `OverRows`."""

    @property
    def features(self) -> tuple[ShareMean, ...]:
        """The features over all rows, the largest mean |share| first."""
        return self.whole.features

    def slice(self, by: str, value: str | None) -> Slice:
        """The rows of one class or group. Raises RequestError where there is none."""
        for one in self.slices:
            if (one.by, one.value) == (by, value):
                return one
        there = ", ".join(one.title for one in self.slices) or "none; give by="
        raise RequestError(f"there is no slice {by} = {value}; there are: {there}")

    def record(self) -> dict[str, Any]:
        """All numbers, as JSON has them."""
        from backtrace_onnx.summary.records import record

        return record(self)

    def table(self) -> Any:
        """All means as one Arrow table: a row for each slice and feature, group or module."""
        from backtrace_onnx.summary.records import flat_rows

        return need_arrow().Table.from_pylist(flat_rows(self))

    def plot(self, folder: str | os.PathLike[str], *, features: int = 12) -> list[Path]:
        """Write all pictures that fit the data into a folder, and return their paths.

        Args:
            features: the most that a picture shows.

        Raises RequestError where the folder cannot be written.
        """
        from backtrace_onnx.summary.pictures import write_pictures

        return write_pictures(self, Path(folder), features)


def global_explanation(
    source: Source,
    data: Data | None = None,
    *,
    by: str | Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    group_columns: str | Sequence[str] = (),
    share: Share = "inputs",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    drawn: int = 1000,
    skip_bad: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> GlobalExplanation:
    """Means of the shares of every feature over a data set, with intervals, ranks and ties.

    Args:
        source: a model whose `data` are explained; or results that are there: the folder of
            `explain_dataset`, what it returned, or Arrow tables of `ExplainBatches`.
        data: as `explain_dataset` takes them.
        by: tell rows apart by "class" (what they were answered), or by columns that are kept as
            labels, ids or groups; those that are named only here are kept as groups.
        groups: lists of features (names, or patterns with * and ?) by name, told of as one;
            default: those of the model's sidecar that are lists of features.
        group_columns: columns of the data that say who a row is about; what elsewhere is `groups`.
        share: "inputs" or "start": what a row's relevance is divided by.
        resamples: of the bootstrap. confidence: of the intervals. seed: of all draws.
        drawn: rows that are kept for pictures of rows; 0: none.
        skip_bad, workers, progress: as in `explain_dataset`.
        options: of `ExplainBatches`: mode, target, labels, modules=True, ...

    Raises InputError for data or results that cannot be read, RequestError for options.
    """
    _check(share, resamples, confidence, drawn)
    named = (by,) if isinstance(by, str) else tuple(by)
    asked = GlobalSettings(named, groups or {}, share, resamples, confidence, seed, drawn)
    if data is None:
        results = Results.there(source, options)
    else:
        options = {"values": drawn > 0, **options, "skip_bad": skip_bad, "workers": workers}
        options["groups"] = group_columns
        results = Results.explained(source, data, named, progress, options)  # type: ignore[arg-type]
    collector = _collected(results, asked, results.groups if groups is None else {})
    whole, *slices = collector.slices()
    notes = (*results.notes, *_doubts([whole, *slices]))
    about = (share, resamples, confidence, seed, collector.draw.drawn(), notes)
    return GlobalExplanation(whole, tuple(slices), whole.rows, results.skipped, *about)


def _collected(results: Results, asked: GlobalSettings, wanted: Mapping[str, Any]) -> Collector:
    """All results, added up; the groups that are wanted are those that the first rows know."""
    collector: Collector | None = None
    for rows in in_blocks(results.tables, BLOCK):
        if collector is None:
            collector = Collector(_with_groups(asked, wanted, rows.features, results))
        collector.add(rows)
    return collector or Collector(asked)


def _check(share: Share, resamples: int, confidence: float, drawn: int) -> None:
    if share not in ("inputs", "start"):
        raise RequestError(f"share is inputs or start, not {share!r}")
    for name, value, least, most in (
        ("resamples", resamples, 100, _MOST),
        ("drawn", drawn, 0, _MOST),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise RequestError(f"{name} is a number from {least} to {most}, not {value!r}")
    if not 0 < confidence < 1:
        raise RequestError(f"confidence lies between 0 and 1, as 0.95 does, not {confidence!r}")


def _with_groups(
    asked: GlobalSettings,
    groups: Mapping[str, Sequence[str]],
    features: Sequence[str],
    results: Results,
) -> GlobalSettings:
    """With a sidecar's groups, where these are lists of features."""
    if not groups:
        return asked
    try:
        membership(groups, features)
    except RequestError as error:
        results.notes[f"groups of the sidecar are not told of: {error}"] = None
        return asked
    return replace(asked, groups=groups)


def _doubts(slices: Sequence[Slice]) -> list[str]:
    found = []
    few = [one for one in slices if 0 < one.rows < _FEW]
    for one in few[:3]:
        found.append(
            f"{one.title}: intervals of {one.rows} row(s) are rough; {_FEW} are few already"
        )
    if len(few) > 3:
        found.append(f"so are those of {len(few) - 3} more")
    if slices[0].idle:
        found.append(f"{slices[0].idle} row(s) have no relevance at all; their shares are 0")
    return found


__all__ = ["GlobalExplanation", "global_explanation"]
