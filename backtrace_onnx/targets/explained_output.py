"""The explained output of one run: its values, and what they tell of the question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.targets.axis_search import STEPS, find_axes, may_hold_steps
from backtrace_onnx.targets.checking import explainable, find_target
from backtrace_onnx.targets.detectors import recognised
from backtrace_onnx.targets.language_models import find_tokens
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import Question, one_of_two, relevance_dtype
from backtrace_onnx.targets.start_notes import start_notes
from backtrace_onnx.targets.start_site import StartSite
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ExplainedOutput:
    """What a run tells of the question, the same for both engines.

    Attributes:
        question: with the task that the outputs tell where nobody named one.
        y: the explained output.
        axes: where its samples and classes lie.
        site: where relevance starts.
        ends: int64[samples], the place after the last token of each text; None for no texts.
        real: bool[samples, tokens], what is no padding; None for no texts.
        assumed: what was taken for granted to say so.
    """

    question: Question
    y: Array
    axes: OutputAxes
    site: StartSite
    ends: npt.NDArray[np.int64] | None
    real: npt.NDArray[np.bool_] | None
    assumed: tuple[Note, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of relevance."""
        return relevance_dtype(self.y.dtype)

    @property
    def count(self) -> int:
        """Number of samples."""
        return self.axes.count(self.y.shape)

    @property
    def rows(self) -> Array:
        """The output as [samples, ...]."""
        return self.axes.rows(self.y)

    def find_target(self, rows: Array, binary: TwoClasses) -> Array | None:
        """The entries of the output's rows that are explained (`checking.find_target`)."""
        question, told = self.question, (self.question.task, self.axes, self.ends)
        try:
            return find_target(question.target, rows, *told, binary=binary, real=self.real)
        except RequestError as error:
            graph = self.site.whole.graph
            if not may_hold_steps(graph, question.output, self.axes.samples):
                raise
            raise RequestError(f"{error}; {STEPS}") from None

    def notes(self, target: Array | None, total: Array, binary: TwoClasses) -> tuple[Note, ...]:
        """What was assumed, and what remains doubtful of a start of this `total`."""
        named = self.question.target is not None
        doubts = start_notes(
            self.site, self.rows, target, total, axes=self.axes, binary=binary, asked=named
        )
        return (*self.assumed, *self.axes.notes, *doubts)


def read_output(
    prepared: PreparedOutput,
    question: Question,
    arrays: Mapping[str, Any],
    feeds: Mapping[str, Array],
) -> ExplainedOutput:
    """What the tensors of a run tell of the question.

    Raises RequestError where it does not fit the output, InputError where that cannot be explained.
    """
    graph, name = prepared.plan.graph, question.output
    y = explainable(name, arrays[name])
    fed = {n: x.shape for n, x in feeds.items()}
    outputs = {n: arrays[n] for n in (*prepared.trace.outputs, name)}
    question, assumed = recognised(question, graph, outputs, fed)
    axes = find_axes(graph, name, question.axes, shape=y.shape, fed=fed)
    site = question.site(prepared.head, prepared.plan)
    question = one_of_two(question, site.two, axes, y)
    tokens = find_tokens(graph, name)
    ends = tokens.ends(feeds, y.shape[1]) if tokens else None
    real = tokens.real(feeds, y.shape[1]) if tokens else None
    site = question.site(prepared.head, prepared.plan)
    assumed += _held(prepared, question)
    return ExplainedOutput(question, y, axes, site, ends, real, assumed)


def _held(prepared: PreparedOutput, question: Question) -> tuple[Note, ...]:
    """What a derivative leaves out."""
    if question.method.statistics != "derivative" or question.method.carrier != "slope":
        return ()
    held = prepared.plan.held(question.output)
    text = (
        f"places and steps that the model computes are taken as constants ({', '.join(held)}): the "
        "gradient is that of the values read there"
    )
    return (Note(text),) if held else ()
