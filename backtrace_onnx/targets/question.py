"""The question: what is to be explained, and how; both engines and the compiler read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.propagation.conditions import Condition
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.targets.axis_search import SEARCH, GivenAxes
from backtrace_onnx.targets.checking import find_target
from backtrace_onnx.targets.heads import Head
from backtrace_onnx.targets.language_models import default_task
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.start_site import CONTRAST, StartSite
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[Any]
OWN_START = "start"
"""What takes the place of a task where the caller gives the relevance to start from."""


@dataclass(frozen=True, eq=False)
class Background:
    """Values of tensors for the rows of a background.

    Attributes:
        values: by tensor, [rows, ...].
    """

    values: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Span:
    """A part of the line between two inputs, around a place where slopes are taken.

    Attributes:
        after, before: the inputs at its ends, by name.
        changes: what those that move change by, where that is known without rounding.
    """

    ENDS: ClassVar[tuple[str, ...]] = ("after", "before", "changes")
    after: Mapping[str, Array]
    before: Mapping[str, Array]
    changes: Mapping[str, Array]


@dataclass(frozen=True)
class Question:
    """What is asked of one explanation, checked as far as it can be without running the model.

    Attributes:
        method: that of the mode.
        output: name of the tensor that is explained.
        task: what the entries of the output mean, such as "classification"; `OWN_START` where the
            caller gives relevance of his own, `CONTRAST` where one entry is set against another,
            `CHOSEN` where an earlier walk chose the start.
        target: the entry that is explained, as `Explainer.explain` takes it; None: the largest.
        start: relevance to start from, or a function that makes it; None: as the task says.
        scaler: total that each channel starts from; None: as the task gives it.
        threshold: over which an entry of a segmentation belongs to the mask.
        axes: what the caller says of the output's axes.
        keep: tensors whose relevance is returned beside that of the inputs.
        open: whether nobody said the task, so that what the outputs tell decides.
        probability: whether a signed mode starts at the output, not at the scores it is made of.
        background: rows that a method explains trees with; None where it does not.
        reference: inputs by name that a method compares the sample to; None where it does not.
        through: which parts of tensors relevance passes; the rest is cut.
        apart: tensors inside of what is read as one that are read apart for this question.
        span: along what values are weighed, by a method that does so.
        booked: whether the books of every node are asked for; else the ledger may be of the whole.
        walked: whether relevance is asked for; else what it starts with is enough, without books.
    """

    method: Method
    output: str
    task: str = "classification"
    target: Any = None
    start: Any = None
    scaler: float | None = None
    threshold: float = 0.5
    axes: GivenAxes = SEARCH
    keep: frozenset[str] = frozenset()
    open: bool = False
    probability: bool = False
    reference: Mapping[str, Array] | None = None
    through: tuple[Condition, ...] = ()
    apart: frozenset[str] = frozenset()
    background: Background | None = None
    span: Span | None = None
    booked: bool = True
    walked: bool = True

    @property
    def policy(self) -> Policy:
        """How units share relevance."""
        return self.method.policy

    def site(self, head: Head, plan: Plan) -> StartSite:
        """Where relevance starts in the output of this head, on the way of this plan."""
        how = (self.method, self.task, self.probability, self.axes.labels)
        return StartSite(head, plan, *how)

    def of_file(self) -> Question:
        """What a file is compiled for: target and start it is told as it runs."""
        axes = GivenAxes(labels=self.axes.labels)
        told = replace(self, target=None, start=None, reference=None)
        return replace(told, axes=axes, keep=frozenset(), open=False)


def settled(
    question: Question, task: str | None, graph: Graph, *, boxes: bool
) -> tuple[Question, tuple[Note, ...]]:
    """The question with its task: the one that is named, or the likely one, and what that assumes.

    Args:
        boxes: whether the target may be that of a detector, which the outputs of a run tell.
    """
    if question.start is not None:
        contrast = hasattr(question.start, "between")
        return replace(question, task=CONTRAST if contrast else OWN_START), ()
    if task is not None:
        return replace(question, task=task), ()
    likely, assumed = default_task(graph, question.output)
    return replace(question, task=likely, open=likely == "classification" and boxes), assumed


def one_of_two(question: Question, two: TwoClasses, axes: OutputAxes, y: Array) -> Question:
    """The question; where one entry holds two classes, why one rather than the other is why it.

    Args:
        two: what one entry alone says of two classes.

    Raises RequestError where a contrast sets a class against itself, or names another than these.
    """
    contrast = question.start
    if not (question.task == CONTRAST and two and axes.alone(y.shape)):
        return question
    rows = axes.rows(y)
    good, other = (
        find_target(asked, rows, "classification", binary=two)
        for asked in (contrast.target, contrast.other)
    )
    if good is None or other is None or (good == other).any():
        raise RequestError(f"target and other are the same: {contrast.target!r}")
    return replace(question, start=None, task="classification", target=good)


def relevance_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """float64 for float64 models, float32 for all others."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
