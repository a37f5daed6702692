"""What an explanation itself cannot tell: whether another class, or another method, says the same.

Every check adds a note to the samples that it concerns. It costs two more explanations at most: one
of the runner-up, and one by gradient x input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import BacktraceError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.inputs.picture_shapes import picture_axes
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.metrics.randomisation import class_sensitivity, similarity
from backtrace_onnx.metrics.units import grid, relevance_of_units, units_of

Array = npt.NDArray[Any]
ALIKE = 0.05
"""1 less the cosine of two classes' maps: below it they are told to be nearly the same."""
APART = 0.1
"""Rank correlation of two methods: below it they are told to disagree."""
EQUAL = 1e-5
"""Of the largest |relevance|: what is closer than this is a tie."""
FIRST = 3
"""Ranks among which ties are told."""
OTHER, ELSE = "gradient_x_input", "lrp"
_SQUARES = 14


def check_explanation(
    explainer: Explainer, explanation: Explanation, *, mode: Any = None, **arguments: Any
) -> Explanation:
    """The explanation, with a note for each doubt: the runner-up's map is nearly the same, another
    method ranks otherwise, or the first ranks are ties.

    Args:
        explainer: which made it. mode: that it was made with; default: by its name.
        arguments: others of `explain` that it was made with, without target.

    A check that cannot be made on this model or mode is left out.
    """
    notes = [*_ties(explanation)]
    arguments["mode"] = explanation.mode if mode is None else mode
    for check in (_runner_up, _methods):
        try:
            notes += check(explainer, explanation, arguments)
        except BacktraceError:  # the question, not the explanation, has no answer here
            continue
    return replace(explanation, notes=(*explanation.notes, *notes))


def _ties(made: Explanation) -> Iterator[Note]:
    """Of samples whose first ranks are equal."""
    names = [name for name in made.inputs if made.axes.get(name) is not None]
    rows = [np.moveaxis(made.relevance[n], made.axes[n] or 0, 0) for n in names]
    if not rows:
        return
    sizes = np.concatenate([np.abs(r).reshape(len(r), -1) for r in rows], 1)
    for sample, row in enumerate(sizes):
        first = np.sort(row)[::-1]
        if not len(first) or not first[0] > 0:
            continue
        tied = int((first >= first[0] * (1 - EQUAL)).sum())
        if tied > 1:
            last = "" if tied <= FIRST else f", and {tied - FIRST} more"
            text = (
                f"ranks 1 to {min(tied, FIRST)}{last} are ties: which of them is first says nothing"
            )
            yield Note(text, sample)


def _runner_up(
    explainer: Explainer, made: Explanation, arguments: dict[str, Any]
) -> Iterator[Note]:
    """Of samples whose second class has nearly the same map."""
    y = np.asarray(made.outputs.get(made.output))
    if made.task != "classification" or made.target is None or made.binary or y.ndim != 2:
        return
    if y.shape[1] < 2 or made.layout.samples != 0:
        return
    own = np.asarray(made.target).reshape(-1)
    first, second = np.argsort(-y, axis=1, kind="stable")[:, :2].T
    rival = np.where(own == first, second, first)
    own_map = _flat(made, made)
    if own_map.shape[1] < 2:  # maps of one entry are alike, or opposite, whatever the model is
        return
    other = explainer.explain(dict(made.inputs), target=rival, **arguments)
    for sample, apart in enumerate(class_sensitivity(own_map, _flat(made, other))):
        if apart < ALIKE:
            text = (
                f"class {rival[sample]}, the runner-up, has nearly the same map (cosine "
                f"{1 - apart:.3f}): it shows what the network looks at, not why this class; ask "
                "rather than that class, or take another mode"
            )
            yield Note(text, sample)


def _methods(explainer: Explainer, made: Explanation, arguments: dict[str, Any]) -> Iterator[Note]:
    """Of samples that another method ranks otherwise."""
    names = [name for name in made.inputs if made.axes.get(name) is not None]
    if made.task not in ("classification", "regression") or len(names) != 1:
        return
    mode = ELSE if made.mode == OTHER else OTHER
    told = {name: x for name, x in arguments.items() if name not in ("baseline", "background")}
    other = explainer.explain(dict(made.inputs), **{**told, "mode": mode}, target=made.target)
    axis = made.axes[names[0]] or 0
    x = np.moveaxis(made.inputs[names[0]], axis, 0)
    flat, count = units_of(x, _squares(x))
    ranked = [
        np.abs(relevance_of_units(np.moveaxis(e.relevance[names[0]], axis, 0), x, flat, count))
        for e in (made, other)
    ]
    if count < 4:
        return
    for sample, found in enumerate(similarity(*ranked)):
        if found < APART:
            text = (
                f"mode {mode} ranks the inputs otherwise (rank correlation {found:.2f}): what is "
                "said depends on the method; `backtrace-onnx evaluate` measures which is right"
            )
            yield Note(text, sample)


def _flat(of: Explanation, made: Explanation) -> Array:
    names = [name for name in of.inputs if of.axes.get(name) is not None]
    rows = [np.moveaxis(made.relevance[n], of.axes[n] or 0, 0) for n in names]
    return np.concatenate([r.reshape(len(r), -1) for r in rows], 1)


def _squares(x: Array) -> Array | None:
    """Of pictures: squares, in which single pixels' noise is gone."""
    axes = picture_axes(x[0]) if x.ndim == 4 else None
    if axes is None:
        return None
    shape = [1] * (x.ndim - 1)
    rows, columns = (x.shape[1:][axis] for axis in axes)
    shape[axes[0]], shape[axes[1]] = rows, columns
    side = max(1, round(min(rows, columns) / _SQUARES))
    flat = grid((rows, columns), side, channel_axis=None).reshape(shape)
    return np.broadcast_to(flat, x.shape[1:])


__all__ = ["check_explanation"]
