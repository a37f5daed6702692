"""A batch repeated: one walk for several targets, or for several references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome, bytes_of
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.targets.entries import TASKS as ENTRY_TASKS
from backtrace_onnx.targets.explained_output import ExplainedOutput, read_output
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import Question
from backtrace_onnx.targets.start import StartSettings

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
TOGETHER = 1 << 24  # bytes of the model's tensors up to which walks side by side are worth it


@dataclass(frozen=True)
class Copies:
    """A batch, and what must hold where it is repeated along the axis of samples.

    Attributes:
        prepared: the model, as it is prepared for the explained output.
        explained: the output of the batch, as it is. outputs: all of them.
        feeds: the batch, by input. held: bytes of the model's tensors.
    """

    prepared: PreparedOutput
    explained: ExplainedOutput
    outputs: dict[str, Any]
    feeds: Arrays
    held: int

    @classmethod
    def of(cls, prepared: PreparedOutput, question: Question, feeds: Arrays, trace: Any) -> Copies:
        """What a run of the batch tells. Raises RequestError where the question does not fit."""
        arrays = trace.run(feeds)
        explained = read_output(prepared, question, arrays, feeds)
        outputs = {name: arrays[name] for name in prepared.trace.outputs}
        return cls(prepared, explained, outputs, feeds, bytes_of(arrays))

    @property
    def most(self) -> int:
        """How many copies are worth walking at once."""
        return TOGETHER // max(1, self.held)

    def axes(self, question: Question) -> dict[str, int] | None:
        """The sample axis of every tensor whose relevance is returned; None where one has none
        that is known to hold samples and nothing else, as many as one likes."""
        graph, explained = self.prepared.plan.graph, self.explained
        axes = SampleAxes(graph, explained.axes.known(question.output))
        found: dict[str, int] = {}
        for name in (*self.feeds, *question.keep):
            axis = axes(graph.aliases.get(name, name))
            if axis is None or not axis.alone:
                return None
            found[name] = found[graph.aliases.get(name, name)] = int(axis)
        for name, x in self.feeds.items():
            shape = graph.type(name).shape
            declared = None if shape is None else shape[found[name]]
            if isinstance(declared, int) or x.shape[found[name]] != explained.count:
                return None
        return None if explained.axes.samples is None else found

    def entries(self, question: Question) -> Array | None:
        """The entry of every sample that a target means, as a caller names it."""
        explained, rows = self.explained, self.explained.rows
        how = explained.site.options(StartSettings(), alone=rows[0].size == 1, raises=False)
        target = replace(explained.question, target=question.target)
        found = replace(explained, question=target).find_target(rows, how.binary)
        if found is None or explained.question.task not in ENTRY_TASKS:
            return found
        return explained.axes.pairs(found, rows.shape)

    def repeated(self, times: int, axes: Mapping[str, int]) -> dict[str, Array]:
        """The batch so many times."""
        return joined([self.feeds] * times, axes)

    def are_apart(self, made: Outcome, times: int, axes: Mapping[str, int]) -> bool:
        """Whether every copy of the batch got the answer that the batch has, for itself."""
        name, samples = self.explained.question.output, self.explained.axes.samples
        start = made.ledger.total().start
        if made.ledger.mixed or start.shape[1] != times * self.explained.count:
            return False
        if any(channels[0].ndim <= axes.get(n, 0) for n, channels in made.relevance.items()):
            return False
        y = made.outputs.get(name)
        if y is None or samples is None:
            return y is None
        return all(np.array_equal(own, self.explained.y) for own in np.split(y, times, samples))


def joined(batches: Sequence[Arrays], axes: Mapping[str, int]) -> dict[str, Array]:
    """Batches beside each other, by input."""
    return {n: np.concatenate([one[n] for one in batches], axes[n]) for n in batches[0]}
