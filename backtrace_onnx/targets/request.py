"""What is asked of an engine, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.model.loading import Model
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.propagation.ledger import Ledger
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.trace import Trace
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.axis_search import SEARCH, Said
from backtrace_onnx.targets.checking import find_target
from backtrace_onnx.targets.heads import Head
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.sites import CONTRAST, Site
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Request:
    """What is asked of one explanation, checked as far as it can be without running the model.

    Attributes:
        open: whether nobody said the task, so that what the outputs tell decides.
        probability: whether a signed mode starts at the output, not at the scores it is made of.
    """

    policy: Policy
    output: str
    keep: frozenset[str]
    task: str = "classification"
    target: Any = None
    start: Any = None
    scaler: float | None = None
    threshold: float = 0.5
    axes: Said = SEARCH
    open: bool = False
    probability: bool = False

    def site(self, view: View) -> Site:
        """Where relevance starts."""
        task = self.task if self.start is None else "start"
        contrast = hasattr(self.start, "between")
        task = CONTRAST if contrast else task
        how = (self.policy, task, self.probability, self.axes.labels)
        return Site(view.head, view.plan, *how)


def one_of_two(request: Request, view: View, axes: OutputAxes, y: Array) -> Request:
    """The request; where one entry holds two classes, why one rather than the other is why it.

    Raises RequestError where a contrast sets a class against itself, or names another than these.
    """
    contrast = request.start
    two = request.site(view).two
    if not (hasattr(contrast, "between") and two and axes.alone(y.shape)):
        return request
    rows = axes.rows(y)
    good, other = (
        find_target(asked, rows, "classification", binary=two)
        for asked in (contrast.target, contrast.other)
    )
    if good is None or other is None or (good == other).any():
        raise RequestError(f"target and other are the same: {contrast.target!r}")
    return replace(request, start=None, task="classification", target=good)


@dataclass(frozen=True)
class Outcome:
    """What an engine returns.

    Attributes:
        binary: whether targets are classes 0 and 1, for which the output's one entry stands.
    """

    relevance: dict[str, Channels]
    ledger: Ledger
    outputs: dict[str, Any]
    target: Array | None
    axes: OutputAxes
    notes: tuple[Note, ...] = ()
    binary: TwoClasses = ""


@dataclass
class View:
    """The model as prepared for one explained tensor, and its head."""

    model: Model
    plan: Plan
    trace: Trace
    head: Head


def relevance_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """float64 for float64 models, float32 for all others."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
