"""The report of an audit as a page of HTML, for the people who sign a model off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any

from backtrace_onnx.audit.check import Finding
from backtrace_onnx.audit.histograms import OTHER, Histogram
from backtrace_onnx.audit.outputs.evidence_view import EvidenceView, evidence_view
from backtrace_onnx.audit.outputs.tables import (
    bound_text,
    note_text,
    number_text,
    result_text,
)
from backtrace_onnx.audit.portraits import Distribution, Portrait
from backtrace_onnx.audit.running import Report
from backtrace_onnx.report.page.bar_charts import Axis, Piece
from backtrace_onnx.report.page.writer import make_page
from backtrace_onnx.report.signed_amounts import signed_percent

DRAWN = 12
"""Features whose distributions are drawn."""
_MARKS = {"stops": "✕", "failed": "!", "broken": "✕", "passed": "✓"}
_HIGH = 50.0
_TOLD = 12  # bins that are told in words


@dataclass(frozen=True)
class CheckView:
    """A check.

    Attributes:
        state: "stops" where it stops the model, else its status. result: the same in words.
        pieces, bound, zero: its number as a bar, and where the bound lies; () where it has none.
        confirmed: what an intervention says; "" where none was made.
    """

    id: str
    question: str
    state: str
    mark: str
    result: str
    value: str
    bound: str
    source: str
    finding: str
    confirmed: str
    required: bool
    pieces: tuple[Piece, ...]
    limit: float | None
    zero: float
    evidence: EvidenceView


@dataclass(frozen=True)
class ShareRow:
    """A feature's mean share as a bar, with the ends of its interval and what it was."""

    name: str
    share: str
    signed: str
    interval: str
    before: str
    pieces: tuple[Piece, ...]
    whisker: tuple[float, float] | None
    was: float | None


@dataclass(frozen=True)
class Bin:
    """A bin of a histogram: parts of all rows now, and before, and what it holds."""

    now: float
    was: float
    told: str


@dataclass(frozen=True)
class HistogramView:
    """Two histograms in the same bins.

    Attributes:
        steps: the outline of what was, as a path; "" where nothing is compared.
        first, last: names of the outer bins.
    """

    title: str
    bins: tuple[Bin, ...]
    steps: str
    first: str
    last: str
    moved: str
    told: str


def as_html(report: Report) -> str:
    """The report as a page. Raises RequestError where jinja2 is not installed."""
    checks = [check_view(report, finding) for finding in report.ran]
    shown = report.portraits
    features = shown.features if shown else ()
    apart = sorted(features, key=lambda p: -max(p.shares.moved or 0, p.inputs.moved or 0))
    compared = bool(shown and any(p.shares.was for p in features))
    axis = Axis.of(
        [0.0] + [max(p.share, p.was or 0, p.interval[1] if p.interval else 0) for p in features]
    )
    return make_page(
        "audit",
        title=report.title,
        report=report,
        facts=report.facts,
        outcome={0: "passed", 1: "stopped", 3: "incomplete"}[report.exit_code],
        words={0: "Passed", 1: "Stopped", 3: "Not completed"}[report.exit_code],
        checks=checks,
        notes=[note_text(report, note) for note in report.facts["notes"]],
        skipped=[(reason, ", ".join(ids)) for reason, ids in report.skipped.items()],
        shares=[share_row(portrait, axis) for portrait in features],
        zero=axis.zero,
        left=shown.count - len(features) if shown else 0,
        compared=compared,
        histograms=[_of_feature(p) for p in apart[:DRAWN]] if compared else [],
        answers=_answers(shown.answers) if shown and shown.answers.was else None,
        identity=_identity(report),
        settings=list(_settings(report.settings)),
        card=_card(report),
    )


def check_view(report: Report, finding: Finding) -> CheckView:
    """A check as it is shown."""
    state = "stops" if report.stops(finding) else finding.status
    pieces, limit, zero = _gauge(finding, state)
    told = {True: "confirmed by an intervention", False: "an intervention does not confirm it"}
    return CheckView(
        finding.check.id,
        finding.check.question,
        state,
        _MARKS[state],
        result_text(finding),
        number_text(finding.value),
        bound_text(finding),
        finding.source,
        finding.text,
        told.get(finding.confirmed, "") if finding.confirmed is not None else "",
        finding.required,
        pieces,
        limit,
        zero,
        evidence_view(finding.evidence),
    )


def _gauge(finding: Finding, state: str) -> tuple[tuple[Piece, ...], float | None, float]:
    """A check's number as a bar from 0, and its bound; nothing where the bound is 0."""
    value, threshold = finding.value, finding.threshold
    if value is None or not isfinite(value) or not threshold or abs(value) > 1e6 * abs(threshold):
        return (), None, 0.0
    axis = Axis.of([1.15 * threshold, 1.15 * value])
    kind = "good" if state == "passed" else "bad"
    return (axis.piece(kind, 0, value),), axis.at(threshold), axis.zero


def share_row(portrait: Portrait, axis: Axis) -> ShareRow:
    """A feature's row in the table of shares."""
    interval = portrait.interval
    return ShareRow(
        portrait.name,
        f"{portrait.share:.1%}",
        signed_percent(portrait.signed),
        f"{interval[0]:.1%} to {interval[1]:.1%}" if interval else "",
        "" if portrait.was is None else f"{portrait.was:.1%}",
        (axis.piece("data", 0, portrait.share),),
        (axis.at(interval[0]), axis.at(interval[1])) if interval else None,
        None if portrait.was is None else axis.at(portrait.was),
    )


def _of_feature(portrait: Portrait) -> tuple[str, HistogramView, HistogramView]:
    return (
        portrait.name,
        histogram_view("its relevance", portrait.shares),
        histogram_view("what it holds", portrait.inputs, portrait.scale),
    )


def _answers(found: Distribution) -> HistogramView:
    return histogram_view("what the model answers", found)


def histogram_view(
    title: str, found: Distribution, scale: tuple[float, float] = (1.0, 0.0)
) -> HistogramView:
    """Histograms as they are drawn: heights in parts of the highest bin.

    Args:
        scale: what edges are multiplied with, and what is added to them.
    """
    now = _parts(found.now)
    was = _parts(found.was) if found.was else [0.0] * len(now)
    names = _bin_names(found.now, scale)
    if names[-1] == OTHER and not now[-1] and not was[-1]:
        names, now, was = names[:-1], now[:-1], was[:-1]
    top = max([*now, *was]) or 1.0
    bins = tuple(
        Bin(
            round(_HIGH * a / top, 2),
            round(_HIGH * b / top, 2),
            f"{name}: {a:.1%}" + (f", was {b:.1%}" if found.was else ""),
        )
        for name, a, b in zip(names, now, was, strict=True)
    )
    steps = "".join(f"V{round(_HIGH - b.was, 2)}H{10 * (i + 1)}" for i, b in enumerate(bins))
    moved = "" if found.moved is None else f"{found.moved:.3f}"
    told = "; ".join(one.told for one in bins[:_TOLD])
    path = f"M0 {_HIGH}{steps}V{_HIGH}" if found.was else ""
    return HistogramView(title, bins, path, names[0], names[-1], moved, told)


def _parts(one: Histogram) -> list[float]:
    return [count / max(1, one.rows) for count in one.counts]


def _bin_names(one: Histogram, scale: tuple[float, float]) -> list[str]:
    """What each bin holds, in words."""
    if one.values is not None:
        return list(one.values)
    edges = [f"{edge * scale[0] + scale[1]:.3g}" for edge in one.edges or ()]
    if not edges:
        return ["all"]
    between = [f"{a} to {b}" for a, b in pairwise(edges)]
    return [f"under {edges[0]}", *between, f"{edges[-1]} or more"]


def _identity(report: Report) -> list[tuple[str, str]]:
    """Which model, data and software it was."""
    facts: dict[str, Any] = report.facts
    model, data = facts["model"], facts["data"]
    rows = [
        ("model", report.model),
        ("model, SHA-256", model["sha256"]),
        ("operator sets", ", ".join(f"{k} {v}" for k, v in model["opset"].items())),
        ("written by", model["producer"] or "not told"),
        ("inputs", _typed(model["inputs"])),
        ("outputs", _typed(model["outputs"])),
        ("data", ", ".join(report.data)),
        ("data, SHA-256", data["sha256"]),
        ("rows", str(data["rows"])),
        ("explained", f"{facts['output']}, {facts['task']}, mode {facts['mode']}"),
        ("seed", str(facts["seed"])),
    ]
    if facts["accuracy"] is not None:
        rows.append(("accuracy", f"{facts['accuracy']:.2%}"))
    rows += [("baseline, SHA-256 of its model", one["sha256"]) for one in facts["baselines"]]
    rows += [
        ("baseline model", f"{one['name']}, SHA-256 {one['sha256']}")
        for one in facts["baseline_models"]
    ]
    return [*rows, *facts["versions"].items()]


def _settings(section: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    """Keys as they are written in one line, `checks.deletion.rows`, and their values."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{within}{key}.")
        else:
            listed = isinstance(value, tuple | list)
            yield within + key, ", ".join(map(str, value)) if listed else str(value)


def _typed(tensors: Sequence[dict[str, str]]) -> str:
    listed = [f"{one['name']} {one['type']}" for one in tensors[:20]]
    more = f"; and {len(tensors) - 20} more" if len(tensors) > 20 else ""
    return "; ".join(listed) + more


def _card(report: Report) -> list[tuple[str, str]]:
    """What people say of the model, as far as they do."""
    card = report.card.model_dump(exclude_defaults=True)
    return [
        (name.replace("_", " "), "; ".join(text) if isinstance(text, tuple | list) else str(text))
        for name, text in card.items()
    ]


__all__ = ["as_html", "check_view", "histogram_view", "share_row"]
