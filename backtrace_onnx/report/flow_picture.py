"""How relevance flows through the network: a row per stage, from the answer to the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from backtrace_onnx.report.answers import percent
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.headlines import answered
from backtrace_onnx.report.picture_style import (
    AGAINST,
    CONSTANTS,
    FAINT,
    FOR,
    INK,
    RULE,
    UNASSIGNED,
    Scale,
    colours,
    sheet,
    shortened,
)
from backtrace_onnx.report.stage_flow import FlowRow, flow, idle, input_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HIGH = 0.68  # inches of a row
_INPUTS = 4  # that get a row each
FAR = 4.0  # parts of the start: longer bars are cut, with two strokes and their number
_BREAK = 0.9  # of a bar that is cut: where the strokes lie
_WIDE, _LETTER, _GAP = 4.0, 0.078, 0.1  # inches of the bars, of a letter behind one, and around it


def draw(subject: ExplainedSample) -> Figure:
    """Draw a row for each stage: how much is on its way, how much the stage took, where it lies."""
    stages, inputs = flow(subject), input_rows(subject)
    rows = [*stages, *inputs[:_INPUTS]]
    figure = sheet(9.6, _HIGH * len(rows) + 1.9)
    figure.suptitle(_title(subject, stages), x=0.01, ha="left", fontsize=14, fontweight="bold")
    axis, seats, words = figure.subplots(1, 3, width_ratios=[1, 0.26, 0.3])
    _bars(axis, rows, two_sided=is_two_sided(subject, rows))
    if without := idle(subject):
        names = shortened(", ".join(without), 70)
        axis.set_xlabel(f"nothing flows through {names}", loc="left", fontsize=9, color=FAINT)
    for side in (seats, words):
        side.set_axis_off()
        side.set_xlim(0, 1)
        side.set_ylim(len(rows) - 0.5, -0.5)
    _seats(seats, rows)
    for y, row in enumerate(rows):
        words.text(0, y, row.held, fontsize=8.5, color=FAINT, va="center")
    seats.set_title("where it sits", loc="left", fontsize=10, color=FAINT)
    words.set_title("half of it lies in", loc="left", fontsize=10, color=FAINT)
    figure.legend(
        *_legend(subject, rows), loc="outside lower left", ncols=4, frameon=False, fontsize=9.5
    )
    return figure


def is_two_sided(subject: ExplainedSample, rows: Sequence[FlowRow]) -> bool:
    """Whether rows tell what speaks for the answer apart from what speaks against it."""
    return len(subject.channels) > 1 or any(len(row.left) > 1 for row in rows)


def _title(subject: ExplainedSample, stages: Sequence[FlowRow]) -> str:
    """What is seen: how much of the answer's relevance arrives, and who takes most."""
    total = subject.explanation.ledger.total()
    start, ends = total.start[:, subject.sample], total.inputs[:, subject.sample]
    shares = [amount_text(float(e / s)) if s else "" for s, e in zip(start, ends, strict=True)]
    what = ("of what speaks for it", "against it") if len(shares) > 1 else ("of the relevance",)
    parts = [f"{share} {word}" for share, word in zip(shares, what, strict=True) if share]
    arrives = f"{' and '.join(parts) or 'nothing'} arrives at the input"
    greatest = max(stages, key=lambda row: abs(row.biases[0]) + abs(row.lost[0]))
    most = abs(greatest.biases[0]) + abs(greatest.lost[0])
    taker = f"; most is taken in {shortened(greatest.name, 28)}" if most > 0.05 else ""
    answer = shortened(answered(subject), 56)
    return "\n".join(wrap(f"From the answer {answer} back to the input: {arrives}{taker}", 80))


def _bars(axis: Axes, rows: Sequence[FlowRow], *, two_sided: bool) -> None:
    reach = _reach(rows)
    for y, row in enumerate(rows):
        sides = [(1, 0), (-1, 1)] if two_sided else [(1, 0)]
        for sign, channel in sides:
            if channel < max(len(row.left), len(row.biases)):
                _bar(axis, y, row, sign, channel, reach)
    axis.set_yticks(range(len(rows)), labels=[_label(row) for row in rows], fontsize=9.5)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    end = reach * (1 + _room(rows, 2 if two_sided else 1))
    axis.set_xlim(-end if two_sided else 0, end)
    axis.axvline(0, color=FAINT, linewidth=0.8)
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.tick_params(length=0)
    axis.set_xticks([])
    axis.set_title(
        "how much is on its way, and what each stage takes", loc="left", fontsize=10, color=FAINT
    )


def _reach(rows: Sequence[FlowRow]) -> float:
    """Where the longest bar ends."""
    ends = [abs(left) for row in rows for left in row.left]
    return min(max([1.0, *ends]), FAR)


def _room(rows: Sequence[FlowRow], sides: int) -> float:
    """How much longer than the longest bar each side is, so that the longest number fits."""
    letters = max((len(amount_text(left)) for row in rows for left in row.left), default=0)
    part = sides * (letters * _LETTER + _GAP) / _WIDE
    return max(part / (1 - part), 0.28) if part < 0.8 else 4.0


def _bar(axis: Axes, y: int, row: FlowRow, sign: int, channel: int, reach: float) -> None:
    """What is left, then what biases took, then what was lost, outwards from the middle."""
    left = row.left[channel] if channel < len(row.left) else 0.0
    taken = [part[channel] if channel < len(part) else 0.0 for part in (row.biases, row.lost)]
    shown = min(abs(left), reach)
    axis.barh(y, sign * shown, height=0.6, color=FOR if sign > 0 else AGAINST)
    base = shown
    for part, color, hatch in zip(taken, (CONSTANTS, UNASSIGNED), ("", "////"), strict=True):
        width = min(max(part, 0.0), max(reach - base, 0.0))
        if width > 0.002:
            style: Any = {"color": color, "hatch": hatch, "edgecolor": "white", "height": 0.6}
            axis.barh(y, sign * width, left=sign * base, **style)
            base += width
    if abs(left) + sum(max(part, 0.0) for part in taken) > reach + 0.002:
        _break(axis, y, sign * base * _BREAK)
    if left or any(taken):
        text = amount_text(left)
        place: Any = {"xytext": (4 * sign, 0), "textcoords": "offset points", "va": "center"}
        place["ha"] = "left" if sign > 0 else "right"
        axis.annotate(text, (sign * base, y), fontsize=9, color=INK, **place)


def _break(axis: Axes, y: int, x: float) -> None:
    """Two strokes through a bar that is cut."""
    for at in (x * 0.985, x * 1.015):
        axis.plot([at - 0.02, at + 0.02], [y + 0.38, y - 0.38], color="white", linewidth=2)


def amount_text(left: float) -> str:
    """A part of the start in words."""
    if abs(left) >= 10:
        return f"{left:.2g} times"
    return f"{left:.0%}" if abs(left) >= 0.1 else percent(left)


def _label(row: FlowRow) -> str:
    name = shortened(row.name, 30)
    return f"{name}\n{row.detail}" if row.detail else name


def _seats(axis: Axes, rows: Sequence[FlowRow]) -> None:
    """A small map of each row: a picture for places side by side, a strip for those in a row."""
    for y, row in enumerate(rows):
        if row.seat is None or not row.seat.size:
            continue
        flat = row.seat.shape[0] == 1
        high = 0.34 if flat else 0.92
        inner = axis.inset_axes((0, y - high / 2, 1, high), transform=axis.transData)
        scale = Scale.of(row.seat, 99.5 if row.seat.size > 400 else 100)
        shown: Any = {"cmap": colours(), "vmin": -1, "vmax": 1, "interpolation": "nearest"}
        inner.imshow(row.seat / scale.limit, aspect="auto" if flat else "equal", **shown)
        inner.set_anchor("W")
        inner.set_xticks([])
        inner.set_yticks([])
        inner.spines[:].set(visible=True, color=RULE, linewidth=0.6)


def _legend(subject: ExplainedSample, rows: Sequence[FlowRow]) -> tuple[list[Any], list[str]]:
    from matplotlib.patches import Patch

    two = is_two_sided(subject, rows)
    found = [(Patch(color=FOR), "speaks for the answer" if two else "on its way")]
    if two:
        found.append((Patch(color=AGAINST), "speaks against it"))
    if any(np.any(np.array(row.biases) > 0.002) for row in rows):
        found.append((Patch(color=CONSTANTS), "absorbed by biases and constants"))
    if any(np.any(np.array(row.lost) > 0.002) for row in rows):
        gray: Any = {"facecolor": UNASSIGNED, "hatch": "////", "edgecolor": "white"}
        found.append((Patch(**gray), "given to nobody"))
    return [handle for handle, _ in found], [word for _, word in found]
