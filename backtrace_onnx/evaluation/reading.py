"""One row of the data while it is measured: the row for all modes, and a mode's reading of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import BacktraceError, RequestError
from backtrace_onnx.evaluation.parts import Parts
from backtrace_onnx.evaluation.sample_view import SampleView
from backtrace_onnx.evaluation.subject import TASKS, EvaluatedModel
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.generation import entries_of
from backtrace_onnx.metrics.flipping import Flipping, Order, flip
from backtrace_onnx.metrics.removal import Removed, remove_sets, remove_units
from backtrace_onnx.propagation.ledger import Balance, Ledger

Array = npt.NDArray[Any]
_DRAWN = "relevance that is drawn has no reasons that could change"


@dataclass(frozen=True)
class Effort:
    """How often the model is asked.

    Attributes:
        sets: random sets of units that are taken away; fidelity takes a tenth of each kind.
        steps: of a perturbation curve.
        draws: noisy copies that are explained. seed: of all draws.
    """

    sets: int = 64
    steps: int = 8
    draws: int = 5
    seed: int = 0


class MeasuredRow:
    """A sample, and what the model answers where parts of it are gone: the same for every mode.

    Args:
        answer: an explanation of the sample alone, by any mode: it says what is explained.
        mask: bool shaped like x, what should matter; or why nobody knows.

    Raises RequestError for a task that no metric is made for.
    """

    def __init__(
        self,
        subject: EvaluatedModel,
        view: SampleView,
        parts: Parts,
        answer: Explanation,
        effort: Effort,
        mask: Array | BacktraceError | None = None,
    ) -> None:
        if answer.task not in TASKS:
            raise RequestError(
                f"the task is {answer.task}; what is evaluated are {', '.join(TASKS)}. One entry "
                "of the output can be: task regression and its place as the target "
                "(--task regression --target N)"
            )
        self._mask = mask
        self.subject, self.view, self.parts, self.effort = subject, view, parts, effort
        self.answer, self.x = answer, view.x
        self._own = self.outputs(self.x)
        self._weights, self._rest = _weights(answer, self._own, subject.threshold)

    def outputs(self, x: Array) -> Array:
        """The explained output for copies of the sample, its samples first."""
        return self.subject.outputs(self.view, x, self.answer.layout)

    def predict(self, x: Array) -> Array:
        """float64[copies, 1]: the explained score, for copies of the sample."""
        own = len(x) == 1 and np.array_equal(x, self.x)  # every metric asks for it
        y = (self._own if own else self.outputs(x)).astype(np.float64).reshape(len(x), -1)
        made: Array = (y @ self._weights + self._rest)[:, None]
        return made

    @property
    def mask(self) -> Array:
        """bool shaped like x: what should matter. Raises RequestError where nobody knows."""
        if isinstance(self._mask, BacktraceError):
            raise self._mask
        if self._mask is None:
            raise RequestError("there is no mask")
        return self._mask

    @property
    def how(self) -> dict[str, Any]:
        """What takes the place of what, as metrics are told."""
        parts = self.parts
        told = {"replace": parts.replace, "background": parts.background, "units": parts.units}
        return {**told, "seed": self.effort.seed}

    @cached_property
    def sets(self) -> Removed:
        """What is lost without random sets of units."""
        return remove_sets(self.predict, self.x, 0, runs=self.effort.sets, **self.how)[0]

    @cached_property
    def singles(self) -> Removed:
        """What is lost without each unit."""
        return remove_units(self.predict, self.x, 0, **self.how)[0]

    @cached_property
    def runner_up(self) -> Array:
        """The second of the classes, as a target. Raises RequestError where there is none."""
        y = self._own.reshape(-1)
        if self.answer.task != "classification" or self.answer.target is None:
            raise RequestError("a runner-up is one of several classes, and there are none")
        own = int(np.asarray(self.answer.target).reshape(-1)[0])
        if self.answer.binary:
            return np.array([1 - own])
        if len(y) < 2:
            raise RequestError("a runner-up is one of several classes, and there is only one")
        first, second = np.argsort(-y, kind="stable")[:2]
        return np.array([second if first == own else first])


class Reading:
    """How one mode explains a row: its relevance, and what follows from it.

    Args:
        relevance: shaped like the row's x.
        explain: relevance of copies x[copies, ...], and a target if it is another one.
        randomised: relevance for the model of random weights, shaped like x.
        ledger: where relevance went. None of the three where relevance was drawn.
    """

    def __init__(
        self,
        row: MeasuredRow,
        relevance: Array,
        explain: Callable[..., Array] | None = None,
        randomised: Callable[[], Array] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.row, self.relevance, self._explain = row, relevance, explain
        self._randomised, self._ledger = randomised, ledger
        self._curves: dict[tuple[Order, bool], Flipping] = {}

    def explain(self, x: Array, target: Any = None) -> Array:
        """Relevance of copies of the row. Raises RequestError where it was drawn."""
        if self._explain is None:
            raise RequestError(_DRAWN)
        return self._explain(x, target)

    @cached_property
    def randomised(self) -> Array:
        """Relevance for the model of random weights. Raises RequestError where it was drawn."""
        if self._randomised is None:
            raise RequestError(_DRAWN)
        return self._randomised()

    @property
    def balance(self) -> Balance:
        """The books of the whole model. Raises RequestError where relevance was drawn."""
        if self._ledger is None:
            raise RequestError(_DRAWN)
        return self._ledger.total()

    def curve(self, order: Order, insertion: bool = False) -> Flipping:
        """The score while units are replaced, or put back."""
        if (order, insertion) not in self._curves:
            row = self.row
            self._curves[order, insertion] = flip(
                *(row.predict, row.x, self.relevance, 0),
                order=order,
                steps=row.effort.steps,
                insertion=insertion,
                **row.how,
            )
        return self._curves[order, insertion]

    def curves(self) -> dict[str, list[float]]:
        """The curves that were needed, by name, at as many equal steps whatever there is."""
        at = np.linspace(0, 1, self.row.effort.steps + 1)
        return {
            "insertion" if insertion else order: np.interp(at, one.parts, one.scores[0]).tolist()
            for (order, insertion), one in self._curves.items()
        }


def _weights(answer: Explanation, y: Array, threshold: float) -> tuple[Array, float]:
    """Weights [entries] by which the explained score is a sum over one row y[1, ...] of the output,
    and what is added."""
    weights = np.zeros(y.size)
    if answer.target is None:
        explained = y.reshape(-1) > threshold if answer.task == "segmentation" else True
        return np.where(explained, 1.0, weights), 0.0
    target = np.asarray(answer.target)[:1]
    if answer.binary:
        own = int(target[0])
        return weights + (1 if own else -1), float(answer.binary == "probability" and not own)
    if answer.task == "generation":
        weights[entries_of(target, y)] = 1
    else:
        indices = tuple(target.reshape(1, -1)[0])
        flat = indices[0] if len(indices) == 1 else np.ravel_multi_index(indices, y.shape[1:])
        weights[flat] = 1
    return weights, 0.0


__all__ = ["Effort", "MeasuredRow", "Reading"]
