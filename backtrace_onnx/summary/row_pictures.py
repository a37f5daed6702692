"""Pictures of single rows: a swarm for each feature, dependence on its value, and a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.picture_style import (
    DATA,
    FAINT,
    INK,
    RULE,
    colours,
    sheet,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from backtrace_onnx.summary.over_rows import OverRows

Array = npt.NDArray[Any]
_DEPENDENT, _CATEGORIES, _HEAT_ROWS = 6, 12, 400
_VALUES = "viridis"


def beeswarm(made: OverRows, most: int) -> Figure:
    """Draw the share of each feature in every drawn row, coloured by what the feature holds."""
    order = _order(made, most)
    figure = sheet(9.6, 0.46 * len(order) + 2.0)
    title = "How much, and which way, each feature speaks in single rows"
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    axis = figure.subplots()
    shares = made.drawn.shares[:, order]
    span = float(np.abs(shares).max(initial=0.0)) or 1.0
    painted = None
    for row, place in enumerate(order):
        x = shares[:, row]
        y = row + _swarm(x, span)
        value = made.drawn.values.get(_names(made)[place])
        numbers = value is not None and value.dtype.kind in "fiub"
        if numbers and value is not None and np.ptp(np.nan_to_num(value.astype(np.float64))) > 0:
            strength = _ranked(value)
            style: Any = {"c": strength, "cmap": _VALUES, "vmin": 0, "vmax": 1}
            painted = axis.scatter(x, y, s=7, linewidths=0, **style)
        else:
            axis.scatter(x, y, s=7, linewidths=0, color=FAINT)
    axis.set_yticks(range(len(order)), labels=[shortened(_names(made)[p], 30) for p in order])
    axis.set_ylim(len(order) - 0.4, -0.6)
    axis.set_xlabel("← speaks against        share of a row        speaks for →", color=FAINT)
    axis.axvline(0, color=FAINT, linewidth=0.8)
    axis.grid(axis="y", color=RULE, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.spines["left"].set_visible(False)
    if painted is not None:
        bar = figure.colorbar(painted, ax=axis, fraction=0.03, pad=0.02, ticks=[0, 1])
        bar.ax.set_yticklabels(["least", "greatest"])
        bar.set_label("the feature's value, by rank (gray: no number)", color=FAINT)
        bar.outline.set_visible(False)
    _foot(figure, made)
    return figure


def dependent(made: OverRows, most: int) -> list[int]:
    """The features whose dependence can be drawn: their values were kept, and differ."""
    found = []
    for place in _order(made, most):
        value = made.drawn.values.get(_names(made)[place])
        if value is not None and len(set(value.tolist())) > 1:
            found.append(place)
    return found[:_DEPENDENT]


def dependence(made: OverRows, most: int) -> Figure:
    """Draw shares against what the feature holds, for the largest features."""
    places = dependent(made, most)
    columns = min(len(places), 3)
    rows = -(-len(places) // columns)
    figure = sheet(3.6 * columns + 0.4, 3.0 * rows + 1.0)
    title = "How a feature's share goes with its value"
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes[len(places) :]:
        axis.set_axis_off()
    for axis, place in zip(axes, places, strict=False):
        name = _names(made)[place]
        share, value = made.drawn.shares[:, place], made.drawn.values[name]
        if value.dtype.kind in "fiub":
            axis.scatter(value.astype(np.float64), share, s=7, linewidths=0, color=DATA, alpha=0.6)
            axis.axhline(0, color=FAINT, linewidth=0.8)
            axis.set_ylabel("share", fontsize=9, color=FAINT)
        else:
            _strips(axis, value, share)
        axis.set_title(shortened(name, 30), loc="left", fontsize=11)
        axis.tick_params(length=0, labelsize=9)
        axis.grid(color=RULE, linewidth=0.5)
        axis.set_axisbelow(True)
    _foot(figure, made)
    return figure


def heat_map(made: OverRows, most: int) -> Figure:
    """Draw rows x features; rows of one class together, those alike side by side."""
    order = _order(made, most)
    at = np.arange(len(made.drawn.rows))
    at = at[np.linspace(0, len(at) - 1, min(len(at), _HEAT_ROWS)).astype(int)]
    shares = made.drawn.shares[np.ix_(at, order)]
    classes = np.array([str(c) if c is not None else "" for c in made.drawn.classes[at]])
    place = np.lexsort((_alike(shares), classes))
    shares, classes = shares[place], classes[place]
    figure = sheet(9.6, 0.34 * len(order) + 2.2)
    title = f"Shares of features in {len(at)} rows"
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    axis = figure.subplots()
    limit = float(np.percentile(np.abs(shares), 99.5)) or float(np.abs(shares).max(initial=0)) or 1
    shown: Any = {"cmap": colours(), "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
    image = axis.imshow(shares.T, aspect="auto", **shown)
    axis.set_yticks(range(len(order)), labels=[shortened(_names(made)[p], 30) for p in order])
    starts = [i for i in range(len(classes)) if not i or classes[i] != classes[i - 1]]
    few = len(starts) <= _CATEGORIES
    names = [shortened(classes[i], 18) for i in starts] if few else []
    axis.set_xticks(starts if few else [], labels=names, fontsize=9, ha="left")
    for start in starts[1:] if few else []:
        axis.axvline(start - 0.5, color=INK, linewidth=0.8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axis, fraction=0.03, pad=0.02)
    bar.set_label("share of a row", color=FAINT)
    bar.outline.set_visible(False)
    axis.set_xlabel("rows, by answer" if any(classes) else "rows", color=FAINT, loc="left")
    return figure


def _names(made: OverRows) -> list[str]:
    """Features in the order of the drawn rows' columns."""
    return list(made.drawn.features)


def _order(made: OverRows, most: int) -> list[int]:
    """Columns of the drawn rows, the largest features first."""
    places = {name: i for i, name in enumerate(made.drawn.features)}
    return [places[mean.name] for mean in made.whole.features[:most]]


def _swarm(x: Array, span: float) -> Array:
    """Offsets from -0.4 to 0.4: points of about one place are set side by side."""
    cells = np.round(x / span * 100).astype(int)
    offsets = np.zeros(len(x))
    fullest = max((int(n) for n in np.unique(cells, return_counts=True)[1]), default=1)
    step = min(0.8 / max(fullest - 1, 1), 0.06)
    for cell in np.unique(cells):
        at = np.flatnonzero(cells == cell)
        k = np.arange(len(at))
        offsets[at] = step * ((k + 1) // 2) * np.where(k % 2, 1, -1)
    return offsets


def _ranked(value: Array) -> Array:
    """Numbers from 0 to 1 by rank; equal values have one colour."""
    _, places, counts = np.unique(value.astype(np.float64), return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - counts / 2
    span = middles[-1] - middles[0] or 1.0
    ranks: Array = (middles[places] - middles[0]) / span
    return ranks


def _strips(axis: Axes, value: Array, share: Array) -> None:
    """Shares by category, the most frequent ones."""
    texts = np.array([str(v) for v in value])
    names, counts = np.unique(texts, return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")[:_CATEGORIES]]
    for row, name in enumerate(shown):
        own = share[texts == name]
        axis.scatter(own, row + _swarm(own, float(np.abs(share).max()) or 1.0), s=6, linewidths=0)
    axis.set_yticks(range(len(shown)), labels=[shortened(str(n), 18) for n in shown])
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.axvline(0, color=FAINT, linewidth=0.8)
    axis.set_xlabel("share", fontsize=9, color=FAINT)


def _alike(shares: Array) -> Array:
    """A number for each row by which those alike lie side by side: its place on the main axis."""
    centred = shares - shares.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    main = axes[0] * (np.sign(axes[0][np.abs(axes[0]).argmax()]) or 1)
    made: Array = centred @ main
    return made


def _foot(figure: Figure, made: OverRows) -> None:
    text = f"{len(made.drawn.rows):,} rows drawn from {made.rows:,}"
    figure.supxlabel(text, x=0.01, ha="left", fontsize=9, color=FAINT)
