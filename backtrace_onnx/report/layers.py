"""Where relevance went on its way: what biases and constants took, and what got lost, by node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.style import CONSTANTS, DATA, FAINT, INK, UNASSIGNED, sheet, shortened
from backtrace_onnx.report.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]
_FEW = 32  # nodes that get a bar and a name each
_KINDS = (
    ("still on its way", DATA, ""),
    ("went to biases and constants", CONSTANTS, ""),
    ("unassigned", UNASSIGNED, "////"),
)


def draw(subject: Subject) -> Figure:
    """Node by node from the output to the inputs: on its way, to constants, unassigned so far."""
    nodes = list(subject.explanation.ledger)
    few, count = len(nodes) <= _FEW, len(subject.channels)
    size = (9.6, (0.3 * len(nodes) + 1.3) * count) if few else (11.0, 4.4 * count)
    figure = sheet(max(size[0], 6.0), max(size[1], 3.0))
    figure.suptitle(
        "Where relevance goes, from the output back to the inputs",
        x=0.01,
        ha="left",
        fontsize=14,
        fontweight="bold",
    )
    axes = figure.subplots(count, 1, squeeze=False)[:, 0]
    for channel, axis in enumerate(axes):
        shares = course(subject, channel)
        _bars(axis, shares, nodes) if few else _areas(axis, shares, subject, channel)
        if count > 1:
            word = ("for", "against")[channel]
            axis.set_title(word, loc="left", color=FAINT, fontsize=11)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    return figure


def course(subject: Subject, channel: int) -> Array:
    """float64[3, nodes]: what is on its way, with constants and unassigned after each node.

    In parts of the start, and they add up to 1.
    """
    ledger, s = subject.explanation.ledger, subject.sample
    start = float(ledger.total().start[channel, s])
    taken = np.zeros((2, len(ledger)))
    for i, entry in enumerate(ledger.values()):
        taken[:, i] = entry.constants[channel, s], entry.unassigned[channel, s]
    gone = np.cumsum(taken, axis=1) / (start if start else 1.0)
    left = (1.0 if start else 0.0) - gone.sum(axis=0)
    return np.concatenate([left[None], gone])


def _bars(axis: Axes, shares: Array, nodes: list[str]) -> None:
    rows = np.arange(len(nodes))
    up, down = np.zeros(len(nodes)), np.zeros(len(nodes))
    for row, (label, color, hatch) in zip(shares, _KINDS, strict=True):
        base = np.where(row >= 0, up, down)
        axis.barh(rows, row, left=base, color=color, hatch=hatch, edgecolor="white", label=label)
        up, down = up + np.maximum(row, 0), down + np.minimum(row, 0)
    for i, step in enumerate(_steps(shares)):
        if step:
            axis.annotate(
                step,
                (up[i], i),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=INK,
            )
    axis.set_yticks(rows, labels=[shortened(n, 32) for n in nodes], fontsize=10)
    axis.invert_yaxis()
    axis.spines["left"].set_visible(False)
    _percent(axis.xaxis)
    axis.margins(x=0.0 if (shares >= 0).all() else 0.05, y=0.02)
    axis.tick_params(length=0)
    axis.set_xlim(right=max(1.12, float(up.max()) * 1.12))


def _steps(shares: Array) -> list[str]:
    """What each node itself took, in words, where it is a percent or more."""
    taken = np.diff(shares[1:], axis=1, prepend=0.0).sum(axis=0)
    return [f"-{t:.0%}" if t >= 0.01 else f"+{-t:.0%}" if t <= -0.01 else "" for t in taken]


def _areas(axis: Axes, shares: Array, subject: Subject, channel: int) -> None:
    steps = np.arange(shares.shape[1])
    base = np.zeros(shares.shape[1])
    for row, (label, color, hatch) in zip(shares, _KINDS, strict=True):
        axis.fill_between(
            steps,
            base,
            base + row,
            step="mid",
            color=color,
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
            label=label,
        )
        base = base + row
    nodes = list(subject.explanation.ledger)
    every = max(1, len(nodes) // 16)
    axis.set_xticks(
        steps[::every],
        labels=[shortened(n, 26) for n in nodes[::every]],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
        fontsize=8,
    )
    axis.margins(0)
    axis.tick_params(length=0)
    _percent(axis.yaxis)


def _percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
