"""How relevance flows, stage by stage: what is on its way, what is taken, and where it sits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.stages import NetworkStage
from backtrace_onnx.targets.entries import CALLED

Array = npt.NDArray[Any]
BINS, SIDE = 120, 48  # cells of a strip at most, and along a side of a map
_SIGNED = 1e-3  # parts of the start: what has less of the other sign has one sign


@dataclass(frozen=True)
class FlowRow:
    """One line of the picture: a stage, the answer, or an input.

    Attributes:
        left: parts of the start that are on their way after it, by channel; in modes with signs
            what is positive and what is negative (as a size) where that is known.
        biases, lost: what it took, by channel, in parts of the start.
        seat: relevance over its places, [rows, columns]; None where it was not kept.
        held: in words how many places hold half of it.
        nodes: of a stage, in the order of the walk.
    """

    name: str
    detail: str
    left: tuple[float, ...]
    biases: tuple[float, ...]
    lost: tuple[float, ...]
    seat: Array | None = None
    held: str = ""
    nodes: tuple[str, ...] = ()


def flow(subject: ExplainedSample) -> list[FlowRow]:
    """The rows from the answer to the last stage before the inputs; idle stages are left out."""
    channels = len(subject.channels)
    none = (0.0,) * channels
    whole = np.array([1.0 if start else 0.0 for start in _start(subject)])
    rows = [FlowRow("the answer", "", tuple(whole.tolist()), none, none)]
    taken = np.zeros(channels)
    for stage, nodes in _assigned(subject):
        if is_idle(subject, stage):
            continue
        biases, lost = (_sums(subject, nodes, kind) for kind in ("constants", "unassigned"))
        taken = taken + biases + lost
        seat, held, signed, detail = _seat(subject, stage)
        left = signed or tuple((whole - taken).tolist())
        taken_here = (tuple(biases), tuple(lost))
        rows.append(FlowRow(stage.name, detail, left, *taken_here, seat, held, tuple(nodes)))
    return rows


def idle(subject: ExplainedSample) -> list[str]:
    """The stages on a branch that carries nothing of what is explained."""
    return [stage.name for stage, _ in _assigned(subject) if is_idle(subject, stage)]


def is_idle(subject: ExplainedSample, stage: NetworkStage) -> bool:
    """Whether all that a stage makes is known to carry no relevance."""
    kept = subject.flow.relevance
    known = bool(stage.made) and all(name in kept for name in stage.made)
    return known and not any(np.any(subject.own(kept[name], name)) for name in stage.made)


def input_rows(subject: ExplainedSample) -> list[FlowRow]:
    """A row for each input that relevance reached, the largest ones."""
    channels = len(subject.channels)
    none, start = (0.0,) * channels, _start(subject)
    rows, boxes = [], entries_of(subject)
    for name in subject.explanation.inputs:
        whole, left = subject.relevance(name), _signs(subject.relevance(name), start[0])
        if channels > 1:
            own = [subject.own(values[name], name) for _, values in subject.channels]
            left = tuple(_share(r, s) for r, s in zip(own, start, strict=True))
        elif left[1] < _SIGNED:
            left = left[:1]
        rows.append(
            FlowRow(name, "input", left, none, none, seat_of(whole, boxes), half(whole, boxes))
        )
    return sorted((r for r in rows if any(r.left)), key=lambda r: -sum(map(abs, r.left)))


def _share(r: Array, start: float) -> float:
    return float(r.sum(dtype=np.float64)) / start if start else 0.0


def _assigned(subject: ExplainedSample) -> list[tuple[NetworkStage, list[str]]]:
    """The stages with the ledger's nodes; what no stage knows goes with the node before it."""
    stages = subject.flow.stages or tuple(
        NetworkStage(name, "", (name,), ()) for name in subject.explanation.ledger
    )
    at = {node: i for i, stage in enumerate(stages) for node in stage.nodes}
    nodes: list[list[str]] = [[] for _ in stages]
    here = 0
    for name in subject.explanation.ledger:
        here = at.get(name, here)
        nodes[here].append(name)
    return [(stage, own) for stage, own in zip(stages, nodes, strict=True) if own]


def _start(subject: ExplainedSample) -> list[float]:
    return [float(s) for s in subject.explanation.ledger.total().start[:, subject.sample]]


def _sums(subject: ExplainedSample, nodes: Sequence[str], kind: str) -> npt.NDArray[np.float64]:
    """What some nodes booked, by channel, in parts of the start."""
    ledger, start = subject.explanation.ledger, np.array(_start(subject))
    rows = [getattr(ledger[name], kind)[:, subject.sample] for name in nodes]
    shares: npt.NDArray[np.float64] = np.sum(rows, axis=0) / np.where(start == 0, 1.0, start)
    return shares


def _seat(
    subject: ExplainedSample, stage: NetworkStage
) -> tuple[Array | None, str, tuple[float, ...] | None, str]:
    """Where the relevance that a stage hands on sits, in a map and in words; its signs where all
    of it is known; and what tensor that is, of several the one made last.
    """
    kept = {**subject.flow.relevance, **subject.explanation.relevance}
    own = {n: subject.own(kept[n], n) for n in stage.handed if n in kept}
    found = {n: r for n, r in own.items() if np.any(r)}
    if not found:
        return None, "", None, stage.detail
    nearest, boxes = next(iter(found.values())), entries_of(subject)
    signed = None
    if len(subject.channels) == 1:
        start = _start(subject)[0]
        pairs = [_signs(r, start) for r in found.values()]
        signed = (sum(p[0] for p in pairs), sum(p[1] for p in pairs))
        signed = signed if signed[1] >= _SIGNED else None
    words = half(nearest, boxes)
    if len(found) > 1:
        whole = sum(float(np.abs(r).sum(dtype=np.float64)) for r in found.values())
        share = float(np.abs(nearest).sum(dtype=np.float64)) / whole
        words += f"\n(this has {share:.0%} of it)"
    return seat_of(nearest, boxes), words, signed, _handing(nearest)


def _handing(sample: Array) -> str:
    return f"hands it to {' x '.join(map(str, sample.shape))}" if sample.ndim else ""


def entries_of(subject: ExplainedSample) -> int:
    """How many boxes or steps the explained output has; 0 where it has none."""
    axis, y = subject.explanation.layout.class_axis, subject.output
    if subject.task not in CALLED or axis is None or y is None or y.ndim < 2:
        return 0
    return int(y.size // y.shape[axis - 1])


def _signs(r: Array, start: float) -> tuple[float, ...]:
    """What speaks for the answer and what against it, in parts of the start."""
    scale = start or 1.0
    parts = r.astype(np.float64) / scale
    return float(parts[parts > 0].sum()), float(-parts[parts < 0].sum())


def seat_of(sample: Array, entries: int = 0) -> Array:
    """Relevance over the places of a sample, channels and features summed: [rows, columns].

    Args:
        entries: how many boxes or steps there are, which are places; 0: that is not known.
    """
    values = np.asarray(sample, np.float64)
    axes = _places(values, entries)
    other = tuple(i for i in range(values.ndim) if i not in axes)
    seat: Array = values.sum(axis=other)
    seat = seat if seat.ndim == 2 else seat.reshape(1, -1)
    most = (SIDE, SIDE) if seat.shape[0] > 1 else (1, BINS)
    for axis, limit in enumerate(most):
        if seat.shape[axis] > limit:
            edges = np.linspace(0, seat.shape[axis], limit + 1).astype(int)[:-1]
            seat = np.add.reduceat(seat, edges, axis=axis)
    return seat


def half(sample: Array, entries: int = 0) -> str:
    """In words, over how many places and channels half of the relevance is spread.

    Of two axes nobody knows which one holds channels, unless there are as many `entries` along one.
    """
    values = np.abs(np.asarray(sample, np.float64))
    axes = _places(values, entries)
    rest = tuple(i for i in range(values.ndim) if i not in axes)
    place = values.sum(axis=rest).ravel()
    one, other = ("places", "channels") if rest else ("entries", "")
    if values.ndim == 2:
        known = bool(entries) and values.shape[axes[0]] == entries
        names = ("rows", "columns")
        one, other = ("entries", "channels") if known else (names[axes[0]], names[rest[0]])
    words = [f"{_few(place)} of {place.size} {one}"]
    if rest:
        channel = values.sum(axis=axes).ravel()
        words += [f"{_few(channel)} of {channel.size} {other}"] if channel.size > 1 else []
    return "\n".join(words)


def _few(parts: Array) -> int:
    """How many of the largest parts make up half of the whole."""
    total = parts.sum()
    return int(np.searchsorted(np.cumsum(-np.sort(-parts)), total / 2) + 1) if total > 0 else 0


def _places(values: Array, entries: int = 0) -> tuple[int, ...]:
    """Axes of a sample that are places; the others are channels or features."""
    if values.ndim < 2:
        return tuple(range(values.ndim))
    if values.ndim == 2:  # tokens or steps by features; boxes, where these come last
        return (1,) if entries and values.shape[1] == entries != values.shape[0] else (0,)
    if values.ndim == 3 and values.shape[0] == values.shape[1] != values.shape[2]:
        return (0, 1)
    return (values.ndim - 2, values.ndim - 1)
