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
_FEW = 12  # nodes that are all shown
_MOST = 24  # nodes that get a bar and a name each
_LITTLE = 0.001  # part of the start that is worth a bar
_KINDS = (
    ("still on its way", DATA, ""),
    ("went to biases and constants", CONSTANTS, ""),
    ("unassigned", UNASSIGNED, "////"),
)


def draw(subject: Subject) -> Figure:
    """Node by node from the output to the inputs: on its way, to constants, unassigned so far."""
    channels = range(len(subject.channels))
    shares = np.stack([course(subject, channel) for channel in channels])
    shown = _shown(shares)
    few = len(shown) <= _MOST
    figure = sheet(9.6 if len(channels) == 1 else 13.0, 0.34 * len(shown) + 1.8 if few else 4.6)
    title = "Where relevance goes, from the output back to the inputs"
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    axes = figure.subplots(1, len(channels), squeeze=False, sharey=True)[0]
    names = list(subject.explanation.ledger)
    for channel, axis in enumerate(axes):
        if few:
            _bars(axis, shares[channel], shown, names)
        else:
            _areas(axis, shares[channel], names)
        if len(channels) > 1:
            word = ("for: what the target brings", "against: what all else brings")[channel]
            axis.set_title(word, loc="left", color=FAINT, fontsize=11)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    if few and len(shown) < len(names):
        rest = f"{len(names) - len(shown)} nodes that take less than 0.1% are left out"
        axes[0].set_xlabel(rest, loc="left", fontsize=9, color=FAINT)
    return figure


def _shown(shares: Array) -> list[int]:
    """Nodes that get a bar: all of a few, else the first, the last and those that take any."""
    count = shares.shape[2]
    taken = np.abs(np.diff(shares[:, 1:], axis=2, prepend=0.0)).max(axis=(0, 1))
    return [i for i in range(count) if count <= _FEW or i in (0, count - 1) or taken[i] > _LITTLE]


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


def _bars(axis: Axes, shares: Array, shown: list[int], names: list[str]) -> None:
    rows = np.arange(len(shown))
    up, down = np.zeros(len(shown)), np.zeros(len(shown))
    for row, (label, color, hatch) in zip(shares[:, shown], _KINDS, strict=True):
        base = np.where(row >= 0, up, down)
        axis.barh(rows, row, left=base, color=color, hatch=hatch, edgecolor="white", label=label)
        up, down = up + np.maximum(row, 0), down + np.minimum(row, 0)
    steps = _steps(shares)
    for row, i in enumerate(shown):
        place: Any = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
        axis.annotate(steps[i], (up[row], row), fontsize=9, color=INK, **place)
    axis.set_yticks(rows, labels=[shortened(names[i], 32) for i in shown], fontsize=10)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.spines["left"].set_visible(False)
    _percent(axis.xaxis)
    axis.tick_params(length=0)
    top, low = max(1.0, float(up.max())), float(down.min())
    axis.set_xlim(1.05 * low, top + 0.14 * (top - low))
    axis.set_xticks([tick for tick in axis.get_xticks() if 1.05 * low <= tick <= top])


def _steps(shares: Array) -> list[str]:
    """What each node itself took, in words, where it is a percent or more."""
    taken = np.diff(shares[1:], axis=1, prepend=0.0).sum(axis=0)
    return [f"-{t:.0%}" if t >= 0.01 else f"+{-t:.0%}" if t <= -0.01 else "" for t in taken]


def _areas(axis: Axes, shares: Array, names: list[str]) -> None:
    steps = np.arange(shares.shape[1])
    base = np.zeros(shares.shape[1])
    style: Any = {"step": "mid", "edgecolor": "white", "linewidth": 0}
    for row, (label, color, hatch) in zip(shares, _KINDS, strict=True):
        axis.fill_between(steps, base, base + row, color=color, hatch=hatch, label=label, **style)
        base = base + row
    every = max(1, len(names) // 12)
    labels = [shortened(name, 26) for name in names[::every]]
    axis.set_xticks(
        steps[::every], labels=labels, rotation=40, ha="right", rotation_mode="anchor", fontsize=8
    )
    axis.margins(0)
    axis.tick_params(length=0)
    _percent(axis.yaxis)


def _percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
