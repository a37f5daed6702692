"""The same model with weights drawn anew, which must have other reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import BacktraceError, RequestError
from backtrace_onnx.evaluation.sample_view import SampleView
from backtrace_onnx.evaluation.settings import EvaluationSettings
from backtrace_onnx.evaluation.subject import EvaluatedModel
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.metrics.randomisation import randomised_model

Array = npt.NDArray[Any]


class RandomisedModel:
    """Opened once, where it is asked for; one draw of weights for all rows and modes."""

    def __init__(self, settings: EvaluationSettings) -> None:
        self._settings = settings
        self._opened: EvaluatedModel | BacktraceError | None = None

    def relevance(self, view: SampleView, mode: str, answer: Explanation) -> Array:
        """Relevance of a sample for what `answer` explains, shaped like the view's x.

        Raises RequestError where nothing can be drawn, and what `Explainer.explain` raises.
        """
        if self._opened is None:
            self._opened = self._open()
        if isinstance(self._opened, BacktraceError):
            raise self._opened.with_traceback(None)
        found = self._opened.relevance(view, view.x, mode, answer)
        if not np.any(found):
            raise RequestError("the model of random weights has no relevance to compare with")
        return found

    def _open(self) -> EvaluatedModel | BacktraceError:
        told = self._settings
        try:
            drawn = randomised_model(told.model, seed=told.effort.seed)
            return EvaluatedModel(drawn, asked=told.asked, **told.opening)
        except BacktraceError as error:
            return error


__all__ = ["RandomisedModel"]
