"""The numbers of a global explanation, as JSON and as a table have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from backtrace_onnx.summary.means import ShareMean, Slice
from backtrace_onnx.summary.over_rows import OverRows

FORMAT = 1
KINDS = ("feature", "group", "module")
_WORDS = 50


def record(made: OverRows) -> dict[str, Any]:
    """Everything but mean maps and single rows, which pictures show; of words the largest."""
    return {
        "format": FORMAT,
        "rows": made.rows,
        "skipped": made.skipped,
        "share": made.share,
        "resamples": made.resamples,
        "confidence": made.confidence,
        "seed": made.seed,
        "slices": [_slice(one) for one in (made.whole, *made.slices)],
        "notes": list(made.notes),
    }


def flat_rows(made: OverRows) -> list[dict[str, Any]]:
    """A row for each slice and feature, group or module."""
    return [row for one in (made.whole, *made.slices) for row in _flat(one)]


def _slice(one: Slice) -> dict[str, Any]:
    about: dict[str, Any] = {"by": one.by or None, "value": one.value}
    about |= {"rows": one.rows, "idle": one.idle}
    for kind, means in _kinds(one):
        about[f"{kind}s"] = [asdict(mean) for mean in means]
    about["words"] = {
        name: [asdict(w) for w in words[:_WORDS]] for name, words in one.words.items()
    }
    return about


def _flat(one: Slice) -> Iterator[dict[str, Any]]:
    for kind, means in _kinds(one):
        for mean in means:
            yield {
                "by": one.by or None,
                "value": one.value,
                "rows": one.rows,
                "kind": kind,
                "name": mean.name,
                "mean_abs": mean.mean_abs,
                "mean_abs_low": mean.mean_abs_interval[0] if mean.mean_abs_interval else None,
                "mean_abs_high": mean.mean_abs_interval[1] if mean.mean_abs_interval else None,
                "mean": mean.mean,
                "mean_low": mean.mean_interval[0] if mean.mean_interval else None,
                "mean_high": mean.mean_interval[1] if mean.mean_interval else None,
                "rank_best": mean.rank[0],
                "rank_worst": mean.rank[1],
                "tied": list(mean.tied),
            }


def _kinds(one: Slice) -> Iterator[tuple[str, Sequence[ShareMean]]]:
    yield from zip(KINDS, (one.features, one.groups, one.modules), strict=True)
