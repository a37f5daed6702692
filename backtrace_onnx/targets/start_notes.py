"""What there is to say about a start: where it lies, and what remains doubtful about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.regions import is_region
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.targets.heads import MIXED, Head
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.start_site import StartSite
from backtrace_onnx.targets.two_classes import TwoClasses, of_class

Array = npt.NDArray[Any]
FEW = 1e-3
_OF_NO_CLASS = frozenset({"regression", "bbox"})
_SINGLE, _HALF, _EXACT = 4, 1e-2, 1e-4
"""Bytes of a number in single precision; how far sums may be from 1 in half precision, and else."""
_ESTIMATORS = "ai.onnx.ml"


def start_notes(
    site: StartSite,
    y: Array,
    target: Array | None,
    start: Array,
    *,
    axes: OutputAxes = OutputAxes(),  # noqa: B008
    binary: TwoClasses = "",
    asked: bool = False,
) -> tuple[Note, ...]:
    """Notes about the start of an output y[samples, ...].

    Args:
        target: as `find_target` gives it.
        start: [channels, samples], the totals.
        axes: where the classes of one entry lie, and what lies beside them.
        binary: whether targets are classes 0 and 1 of one entry, and what that is.
        asked: whether the caller named the target.
    """
    if site.task == "start":
        return tuple(empty_notes(start))
    found = list(_where(site, binary))
    if asked and not binary and site.task == "classification" and y[0].size == 1:
        found.append(Note(_alone(site.head.output)))
    scores = _scores_alone(y, axes)
    if _is_unread(site, scores, axes.class_axis or 1):
        found.append(Note(_unread(site)))
    flat = scores.reshape(len(y), -1)  # as large as all logits: no copy of it is made
    most = np.maximum(flat.max(1), -flat.min(1)).astype(np.float64)
    return (*found, *empty_notes(start), *_doubtful(site, y, target, start, binary, most))


def _scores_alone(y: Array, axes: OutputAxes) -> Array:
    """Of y[samples, ...] the scores, without coordinates and other columns beside them."""
    if axes.columns is None or axes.class_axis is None:
        return y
    first, last = axes.columns.within(y.shape[axes.class_axis])
    return y.take(range(first, last), axes.class_axis)


def _where(site: StartSite, binary: TwoClasses) -> Iterator[Note]:
    head = site.head
    if site.at_scores:
        yield Note(f"relevance starts at {_scores(head, site.whole.graph)}")
    elif head.logarithmic:
        yield Note(
            f"{head.output!r} holds logarithms of probabilities; relevance starts at the "
            "probabilities"
        )
    if head.several and site.signed and not site.probability:
        yield Note(
            f"{head.output!r} holds values made of probabilities, which are functions of "
            "no single score: relevance starts at them as they are, and its signs are turned "
            "wherever what a probability is made of is negative"
        )
    if binary == "probability":
        yield Note(
            f"the one entry of {head.output!r} is read as the probability of class 1; class 0 has "
            "the rest"
        )
    if binary == "decision":
        yield Note(
            f"the one entry of {head.output!r} is read as the score of class 1, its negative as "
            "that of class 0"
        )


def _is_unread(site: StartSite, y: Array, classes: int) -> bool:
    """Whether an output whose head is not known holds probabilities, or their logarithms, as its
    numbers tell: they add up to 1."""
    head = site.head
    known = head.function or head.several or site.probability or site.task in _OF_NO_CLASS
    learnt = (
        head.maker is not None and head.maker.domain == _ESTIMATORS
    )  # trees vote, neighbours count
    if known or learnt or y.dtype.kind != "f" or y.shape[classes] < 2 or not y.size:
        return False
    if y.min() < 0 < y.max() or y.max() > 1 + _HALF:
        return False
    values = y.astype(np.float64)
    p = np.exp(values) if (values <= 0).all() else values
    far = _HALF if y.dtype.itemsize < _SINGLE else _EXACT
    counts = np.isin(values, (0, 1)).all()  # a choice
    return bool(not counts and (p >= 0).all() and (np.abs(p.sum(classes) - 1) <= far).all())


def _unread(site: StartSite) -> str:
    turned = ", and its signs are turned wherever a score is negative" if site.signed else ""
    return (
        f"the entries of {site.head.output!r} add up to 1 as probabilities do, but what makes them "
        f"is not known as a softmax: relevance starts at them as they are{turned}; where a tensor "
        "holds the scores, output= (--output) names it"
    )


def _alone(output: str) -> str:
    return (
        f"output {output!r} has one entry per sample, which is explained as a number: no class 0; "
        "where it is the score of the second of two classes, name both (labels)"
    )


def _scores(head: Head, graph: Graph) -> str:
    """Where the scores are, in words."""
    part = head.squashing
    assert part is not None
    node = part.node
    kind = head.function if is_region(node) else node.op_type
    if head.scores in graph.computed:  # no tensor of the model
        return f"the score of {kind} {node.name!r}, a multiple of {_real(head.scores, graph)!r}"
    if head.scores:
        return f"{head.scores!r}, the input of {kind} {node.name!r}"
    if head.function == MIXED:
        return f"the scores that {head.output!r} is made of, column by column"
    if sum(part.way == "squash" for part in head.parts) > 1:
        return f"the inputs of the {head.function}s that make {head.output!r}"
    return f"the scores of {node.op_type} {node.name!r}, before it makes probabilities of them"


def _real(tensor: str, graph: Graph) -> str:
    """The model's tensor that one is computed of."""
    while tensor in graph.computed:
        tensor = graph.computed[tensor].like
    return tensor


def empty_notes(start: Array) -> Iterator[Note]:
    """That relevance [channels, samples] is nothing from the start, for each sample of these."""
    for sample in np.flatnonzero(~np.abs(start).any(0)):
        yield Note("relevance starts at 0, so that there is nothing to show", int(sample))


def _doubtful(
    site: StartSite,
    y: Array,
    target: Array | None,
    start: Array,
    binary: TwoClasses,
    most: Array,
) -> Iterator[Note]:
    """Samples whose explained entry is negative without a sign, or next to nothing.

    Args:
        most: float64[samples], the size of the largest score.
    """
    if target is None or target.ndim > 1 or site.signed or binary == "probability":
        return
    values = y.reshape(len(y), -1).astype(np.float64)
    if site.head.logarithmic:
        values, most = np.exp(values), np.exp(values).max(1)
    asked = np.abs(start).any(0)
    if not binary:
        own = values[np.arange(len(values)), target]
        asked &= ~(own >= np.maximum(FEW * most, 0))
    for sample in map(int, np.flatnonzero(asked)):
        row, entry = values[sample], target[sample]
        value = of_class(binary, float(row[0]), int(entry)) if binary else float(row[entry])
        if value < 0:
            yield Note(_negative(site, value), sample)
        elif value < FEW * most[sample]:
            yield Note(
                f"the explained score, {value:.3g}, is less than a thousandth of the largest, "
                f"{most[sample]:.3g}",
                sample,
            )


def _negative(site: StartSite, value: float) -> str:
    if site.policy.channels > 1:
        return f"the explained score is negative, {value:.3g}: what makes it so speaks against it"
    return (
        f"the explained score is negative, {value:.3g}, and mode {site.policy.name!r} has no "
        "signs: what is shown made it negative"
    )
