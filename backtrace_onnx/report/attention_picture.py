"""Attention as pictures: what each token that looks owes to each token it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.picture_panel import legend
from backtrace_onnx.report.picture_style import FAINT, INK, Scale, colours, save, sheet, shortened
from backtrace_onnx.report.shaded_text import visible
from backtrace_onnx.results.attention_maps import AttentionMaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
MEAN = "mean"
_MOST = 24  # panels
_NAMED = 40  # tokens along a side that still get their names
_COLUMNS = 4
Panel = tuple[str, Array]


def plot_attention(subject: ExplainedSample, which: str, path: Path) -> None:
    """Write the picture of one sample's attention.

    Args:
        which: "mean": a panel for each layer, of the mean of its heads, and one of their sum; or
            the number of a layer: a panel for each of its heads.

    Raises RequestError where there is no such layer, or the picture cannot be written.
    """
    panels = find_panels(subject.explanation.attention, which, subject.sample)
    save(path, lambda: _drawn(subject, which, panels))


def find_panels(maps: AttentionMaps, which: str, sample: int) -> list[Panel]:
    """Title and relevance [queries, keys] of every panel. Raises RequestError for no such layer."""
    if which == MEAN:
        layers = [(f"layer {i}", _own(one.mean, sample)) for i, one in enumerate(maps)]
        alike = len({panel.shape for _, panel in layers}) == 1
        whole = (
            [("all layers", _own(maps.total("mean"), sample))] if alike and len(maps) > 1 else []
        )
        return [*whole, *layers]
    numbers = {str(i): i for i in range(len(maps))}
    if which not in numbers:
        raise RequestError(
            f"--attention is {MEAN} or the number of a layer, 0 to {len(maps) - 1}; not {which!r}"
        )
    heads = _own(maps[numbers[which]].relevance, sample)
    return [(f"head {i}", panel) for i, panel in enumerate(heads)]


def _own(x: Array, sample: int) -> Array:
    made: Array = x[sample if sample < len(x) else 0]
    return made


def _drawn(subject: ExplainedSample, which: str, panels: Sequence[Panel]) -> Figure:
    shown = panels[:_MOST]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    side = 3.0 if len(shown) > 1 else 6.0
    figure = sheet(columns * side + 0.8, rows * side + 1.3)
    what = "layer by layer, mean of heads" if which == MEAN else f"layer {which}, head by head"
    title = f"Attention, {what}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    grid = figure.subplots(rows, columns, squeeze=False)
    apart = bool(which == MEAN and len(panels) > 1 and panels[0][0] == "all layers")
    scale = Scale.of(np.concatenate([np.ravel(panel) for _, panel in shown[apart:]]))
    drawn: Any = None
    for place, axis in enumerate(grid.flat):
        if place >= len(shown):
            axis.set_axis_off()
            continue
        name, panel = shown[place]
        own = Scale.of(panel) if apart and not place else scale
        inside = place // columns == 0, place % columns == 0
        image = _panel(axis, name, panel, own.limit)
        _names(axis, subject, panel.shape, inside)
        drawn = drawn if apart and not place and len(shown) > 1 else drawn or image
    bar = figure.colorbar(drawn, ax=grid, orientation="horizontal", shrink=0.4, aspect=36, pad=0.02)
    legend(bar, scale, subject)
    figure.supxlabel(_note(subject, panels, apart), x=0.01, ha="left", fontsize=9, color=FAINT)
    return figure


def _panel(axis: Axes, name: str, values: Array, limit: float) -> Any:
    shown: Any = {"cmap": colours(), "vmin": -1, "vmax": 1, "aspect": "equal"}
    axis.set_title(name, loc="left", fontsize=10, color=INK)
    axis.spines[:].set_visible(True)
    axis.tick_params(length=0, labelsize=7, labelcolor=INK)
    return axis.imshow(np.asarray(values, np.float64) / limit, interpolation="nearest", **shown)


def _names(
    axis: Axes, subject: ExplainedSample, shape: tuple[int, ...], inside: tuple[bool, bool]
) -> None:
    """Tokens beside the first panels of rows and columns."""
    for along, length, shown in zip((axis.yaxis, axis.xaxis), shape, inside[::-1], strict=True):
        every = -(-length // _NAMED)
        at = range(0, length, every)
        if not shown:
            along.set_ticks([])
            continue
        tokens = token_names(subject, length)
        along.set_ticks(list(at), labels=[shortened(tokens[i], 14) for i in at])
    axis.tick_params(axis="x", rotation=90)
    axis.xaxis.tick_bottom()


def token_names(subject: ExplainedSample, length: int) -> list[str]:
    """The tokens of the text of that many, padding as an empty name; else their numbers."""
    for name, entry in subject.texts.items():
        ids = np.ravel(subject.own(subject.explanation.inputs[name], name))
        if ids.size != length:
            continue
        mask = entry.mask(subject.explanation.inputs)
        present = np.ones(length, bool) if mask is None else np.asarray(subject.own(mask, name))
        tokens = entry.tokenizer.tokens(ids)
        return [
            visible(token.text).strip() if real else ""
            for token, real in zip(tokens, present.astype(bool), strict=True)
        ]
    return [str(i) for i in range(length)]


def _note(subject: ExplainedSample, panels: Sequence[Panel], apart: bool) -> str:
    left = len(panels) - _MOST
    more = f" · {left} more, not drawn" if left > 0 else ""
    own = " · all layers on a scale of their own" if apart else ""
    mode = subject.explanation.mode
    return f"mode {mode} · rows look, columns are looked at{own}{more}"


__all__ = ["MEAN", "find_panels", "plot_attention", "token_names"]
