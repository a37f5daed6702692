"""What is asked of an engine, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.axes import OutputAxes
from backtrace_onnx.axis_search import SEARCH, Said
from backtrace_onnx.ledger import Ledger
from backtrace_onnx.model import Model
from backtrace_onnx.notes import Note
from backtrace_onnx.plan import Plan
from backtrace_onnx.policies import Policy
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.trace import Trace

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Request:
    """What is asked of one explanation, checked as far as it can be without running the model.

    Attributes:
        open: whether nobody said the task, so that what the outputs tell decides.
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


@dataclass(frozen=True)
class Outcome:
    """What an engine returns."""

    relevance: dict[str, Channels]
    ledger: Ledger
    outputs: dict[str, Any]
    target: Array | None
    axes: OutputAxes
    notes: tuple[Note, ...] = ()


@dataclass
class View:
    """The model as prepared for one explained tensor."""

    model: Model
    plan: Plan
    trace: Trace


def relevance_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """float64 for float64 models, float32 for all others."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
