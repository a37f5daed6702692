"""Running a question by the engine that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy.typing as npt

from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.engines.outcome import Outcome, Progress
from backtrace_onnx.engines.prepared_model import PreparedModel
from backtrace_onnx.targets.question import Question

Array = npt.NDArray[Any]
Engine = Literal["numba", "onnxruntime"]


def run(
    engine: Engine,
    model: PreparedModel,
    question: Question,
    feeds: Mapping[str, Array],
    sessions: Sessions,
    progress: Progress | None,
) -> Outcome:
    """The question's outcome for these inputs; both engines return the same.

    Args:
        model: the model as it is prepared for each tensor that is explained.
        sessions: small models that the eager engine runs in onnxruntime.
        progress: called by the eager engine after every node.
    """
    prepared = model.output(question.output)
    if engine == "onnxruntime":
        return model.compiled.run(prepared, question, feeds)
    from backtrace_onnx.engines.eager import run_eager  # imports Numba, which takes its time

    return run_eager(prepared, question, feeds, sessions, progress)
