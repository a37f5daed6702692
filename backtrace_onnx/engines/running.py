"""Running a question by the engine that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.engines.outcome import Outcome, Progress
from backtrace_onnx.engines.prepared_model import PreparedModel
from backtrace_onnx.engines.remembered_runs import RememberingModel
from backtrace_onnx.engines.several_walks import walk_several
from backtrace_onnx.engines.target_walks import explain_targets
from backtrace_onnx.engines.walked_model import WalkedModel
from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.baselines import NOTHING, Compared
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.propagation.plan import OnUnsupported
from backtrace_onnx.targets.question import Question

_AS_RAN = Note(
    "branches and loops that depend on the inputs are held as they ran on these, wherever else the "
    "model is asked"
)
Array = npt.NDArray[Any]
Engine = Literal["numba", "onnxruntime"]


def check_choices(engine: object, on_unsupported: object) -> None:
    """Raises RequestError for an engine or a choice of `on_unsupported` that there is not."""
    if engine not in get_args(Engine):
        raise RequestError(f"unknown engine {engine!r}; there are: {', '.join(get_args(Engine))}")
    if on_unsupported not in get_args(OnUnsupported):
        raise RequestError(f"on_unsupported is error, pass or stop, not {on_unsupported!r}")


@dataclass(frozen=True)
class Runner:
    """The engine that was chosen, and what one call of it is run with.

    Attributes:
        sessions: small models that the eager engine runs in onnxruntime.
        progress: called by the eager engine after every node; of several walks, as they go on.
        compared: what the method compares the inputs with.
    """

    engine: Engine
    sessions: Sessions
    progress: Progress | None = None
    compared: Compared = NOTHING

    def run(self, model: PreparedModel, question: Question, feeds: Mapping[str, Array]) -> Outcome:
        """The question's outcome for these inputs; both engines return the same.

        Relevance that overflows makes no NumPy warnings: one error says it and names the node.

        Args:
            model: the model as it is prepared for each tensor that is explained.
        """
        with np.errstate(all="ignore"):
            if question.method.walks is None and not question.method.compares:
                return self._one_walk(model, question, feeds, self.progress)

            def run(own: PreparedModel, asked: Question, at: Mapping[str, Array]) -> Outcome:
                return self._one_walk(own, asked, at, None)

            walked = WalkedModel(model, run)
            found = walk_several(walked, question, feeds, self.compared, self.progress)
            return replace(found, notes=(*found.notes, _AS_RAN)) if model.as_ran else found

    def run_targets(
        self, model: PreparedModel, question: Question, targets: Any, feeds: Mapping[str, Array]
    ) -> list[tuple[Any, Outcome]]:
        """Several targets of a question, and the outcome for each; the model runs once for all.

        Args:
            targets: each as `Question.target`, or "all".
        """
        remembering = RememberingModel(model)

        def ask(asked: Question, at: Mapping[str, Array], told: Progress | None) -> Outcome:
            return replace(self, progress=told).run(remembering, asked, at)

        single = question.method.walks is None and not question.method.compares
        together = single and self.engine == "numba" and not question.through
        how = (remembering.output(question.output, question.apart), question, targets, feeds)
        return explain_targets(ask, *how, together=together, progress=self.progress)

    def _one_walk(
        self,
        model: PreparedModel,
        question: Question,
        feeds: Mapping[str, Array],
        progress: Progress | None,
    ) -> Outcome:
        prepared = model.output(question.output, question.apart)
        eager = question.background is not None or question.span is not None  # of no file that runs
        if self.engine == "onnxruntime" and not eager:
            return model.compiled.run(prepared, question, feeds)
        from backtrace_onnx.engines.eager_run import run_eager  # Numba, which takes its time

        return run_eager(prepared, question, feeds, self.sessions, progress)
