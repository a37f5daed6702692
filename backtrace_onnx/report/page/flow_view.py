"""Relevance on its way through the network: a row for each module, which opens to its books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.flow_picture import FAR, amount_text, is_two_sided
from backtrace_onnx.report.page.bar_charts import Axis, Piece
from backtrace_onnx.report.page.map_images import map_image
from backtrace_onnx.report.page.writer import Safe
from backtrace_onnx.report.picture_style import Scale
from backtrace_onnx.report.stage_flow import FlowRow, flow, idle, input_rows
from backtrace_onnx.report.stages import MOST, Flow, NetworkStage

_INPUTS = 4
_NODES = 40
"""Nodes of a module that are listed."""


@dataclass(frozen=True)
class NodeRow:
    """A node's books, in percent of what is explained."""

    name: str
    operator: str
    amounts: tuple[str, ...]


@dataclass(frozen=True)
class FlowStage:
    """A module, the answer or an input.

    Attributes:
        amount: what is on its way behind it, in words. pieces: the same and what it took, as bars.
        facts: its books in words, name and amount. seat: where its relevance sits, and how wide
            and high that is; None where it was not kept.
        nodes: those that are listed. more: how many are not.
    """

    name: str
    detail: str
    amount: str
    pieces: tuple[Piece, ...]
    facts: tuple[tuple[str, str], ...]
    held: str
    seat: tuple[Safe, int, int] | None
    nodes: tuple[NodeRow, ...]
    more: int


@dataclass(frozen=True)
class FlowView:
    """All rows, from the answer to the inputs.

    Attributes:
        idle: modules that carry nothing. both: whether there are two sides.
        biases, unassigned: whether a row takes or loses any. cut: whether a bar is too long.
    """

    stages: tuple[FlowStage, ...]
    zero: float
    both: bool
    biases: bool
    unassigned: bool
    cut: bool
    idle: tuple[str, ...]


def flow_view(subject: ExplainedSample) -> FlowView | None:
    """The way of the relevance; None where nothing that is conserved flows, or nothing starts."""
    explanation = subject.explanation
    total = explanation.ledger.total()
    if explanation.conserved == "nothing" or not len(explanation.ledger):
        return None
    if not total.start[:, subject.sample % total.start.shape[1]].any():
        return None
    if not subject.flow.stages:
        subject = replace(subject, flow=Flow(_in_parts(list(explanation.ledger))))
    rows = [*flow(subject), *input_rows(subject)[:_INPUTS]]
    two = is_two_sided(subject, rows)
    ends = [min(abs(x), FAR) for row in rows for x in (*row.left, *_taken(row))]
    reach = max([1.0, *ends])
    axis = Axis.of([reach, -reach] if two else [reach])
    stages = tuple(_stage(subject, row, axis, two) for row in rows)
    shown = {piece.kind for stage in stages for piece in stage.pieces}
    books = ("biases" in shown, "unassigned" in shown, "gap" in shown)
    return FlowView(stages, axis.zero, two, *books, idle=tuple(idle(subject)))


def _taken(row: FlowRow) -> list[float]:
    """How far each side of a row reaches."""
    books = (row.left, row.biases, row.lost)
    count = max(map(len, books))
    return [sum(abs(b[i]) if i < len(b) else 0.0 for b in books) for i in range(count)]


def _in_parts(nodes: Sequence[str]) -> tuple[NetworkStage, ...]:
    """Parts of about as many nodes each, where nothing tells of modules."""
    count = -(-len(nodes) // MOST)
    parts = [nodes[i : i + count] for i in range(0, len(nodes), count)]
    return tuple(
        NetworkStage(p[0] if len(p) == 1 else f"{p[0]} … {p[-1]}", "", tuple(p), ()) for p in parts
    )


def _stage(subject: ExplainedSample, row: FlowRow, axis: Axis, two: bool) -> FlowStage:
    pieces: list[Piece] = []
    for sign, channel, kind in ((1, 0, "for"), (-1, 1, "against"))[: 1 + two]:
        own = [b[channel] if channel < len(b) else 0.0 for b in (row.left, row.biases, row.lost)]
        own[0] = abs(own[0])
        names = (kind, "biases", "unassigned")
        pieces += axis.stacked(list(zip(names, own, strict=True)), sign=sign)
        if sum(max(part, 0.0) for part in own) > FAR + 0.002:
            pieces.append(axis.piece("gap", 0.88 * sign * FAR, 0.91 * sign * FAR))
    seat = None
    if row.seat is not None and row.seat.size:
        scale = Scale.of(row.seat, 99.5 if row.seat.size > 400 else 100)
        seat = (map_image(row.seat, scale.limit), row.seat.shape[1], row.seat.shape[0])
    nodes = [_node(subject, name) for name in row.nodes[:_NODES]]
    amounts = [amount_text(left) for left in row.left if left] or ["0"]
    if two and len(row.left) > 1:
        amounts = [f"{s}{amount_text(x)}" for s, x in zip("+\u2212", row.left, strict=True) if x]
    return FlowStage(
        row.name,
        row.detail,
        " ".join(amounts) or "0",
        tuple(pieces),
        tuple(_facts(subject, row)),
        row.held.replace("\n", ", "),
        seat,
        tuple(nodes),
        max(0, len(row.nodes) - _NODES),
    )


def _facts(subject: ExplainedSample, row: FlowRow) -> list[tuple[str, str]]:
    """What is on its way after a row by sign, and what biases and nobody took."""
    names = ["speaks for the answer", "speaks against it"]
    if len(row.left) == 1:
        names = ["on its way" if len(subject.channels) == 1 else names[0]]
    found = [(n, amount_text(x)) for n, x in zip(names, row.left, strict=False)]
    for name, parts in (("absorbed by biases", row.biases), ("unassigned", row.lost)):
        if row.nodes:
            found.append((name, " / ".join(map(amount_text, parts))))
    return found


def _node(subject: ExplainedSample, name: str) -> NodeRow:
    """A node's books, summed over channels: came in, handed on, biases, nobody."""
    entry, start = subject.explanation.ledger[name], subject.explanation.ledger.total().start
    whole = abs(start[:, subject.sample % start.shape[1]]).sum() or 1.0
    books = (entry.incoming, entry.data, entry.constants, entry.unassigned)
    sums = [float(b[:, subject.sample % b.shape[1]].sum() / whole) for b in books]
    return NodeRow(name, entry.operator, tuple(f"{100 * s:.1f} %" for s in sums))


__all__ = ["FlowStage", "FlowView", "NodeRow", "flow_view"]
