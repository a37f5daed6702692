"""Several entries of one answer: the forward run is shared, and walks are made side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome, Progress, bytes_of
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.propagation.ledger import Balance, Entry, Ledger, Sizes
from backtrace_onnx.targets.entries import TASKS as ENTRY_TASKS
from backtrace_onnx.targets.every_target import check_targets
from backtrace_onnx.targets.explained_output import ExplainedOutput, read_output
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import Question
from backtrace_onnx.targets.start import StartSettings

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Ask = Callable[[Question, Arrays, Progress | None], Outcome]
TOGETHER = 1 << 24  # bytes of the model's tensors up to which walks side by side are worth it


def explain_targets(
    ask: Ask,
    prepared: PreparedOutput,
    question: Question,
    targets: Any,
    feeds: Arrays,
    *,
    together: bool,
    progress: Progress | None = None,
) -> list[tuple[Any, Outcome]]:
    """Targets, and the outcome for each; what each alone would have, bit for bit.

    Where tensors are small the batch is repeated, so that one walk is for several targets.

    Args:
        ask: explains a question at inputs; runs of equal inputs are remembered.
        targets: each as `Question.target`, or "all".
        together: whether the engine and the method allow of that.

    Raises RequestError where there are no such targets.
    """
    trace = prepared.trace_of(question.method) if together else prepared.trace
    arrays = trace.run(feeds)
    explained = read_output(prepared, question, arrays, feeds)
    asked = [replace(question, target=target) for target in check_targets(targets, explained)]
    outputs = {name: arrays[name] for name in prepared.trace.outputs}
    walks = _Walks(ask, prepared, explained, feeds, outputs, len(asked), progress)
    times = min(len(asked), TOGETHER // max(1, bytes_of(arrays))) if together else 1
    found = walks.side_by_side(asked, times) if times > 1 else None
    if found is None:
        found = [ask(one, feeds, walks.told(i)) for i, one in enumerate(asked)]
    return [(one.target, outcome) for one, outcome in zip(asked, found, strict=True)]


@dataclass(frozen=True)
class _Walks:
    """What walks for several targets have in common.

    Attributes:
        explained: the output of the batch, as it is. outputs: all of them.
        count: how many targets there are.
    """

    ask: Ask
    prepared: PreparedOutput
    explained: ExplainedOutput
    feeds: Arrays
    outputs: dict[str, Any]
    count: int
    progress: Progress | None

    def told(self, done: int, parts: int = 0) -> Progress | None:
        """Progress of one of several walks."""
        progress, count = self.progress, parts or self.count
        if progress is None:
            return None
        return lambda node, nodes: progress(done * nodes + node, count * nodes)

    def side_by_side(self, asked: Sequence[Question], times: int) -> list[Outcome] | None:
        """The outcomes of walks for `times` targets each; None where samples are not apart."""
        axes = self._axes(asked[0])
        entries = [self._entries(question) for question in asked]
        if axes is None or len({x.shape if x is not None else None for x in entries}) != 1:
            return None
        feeds = {name: np.concatenate([x] * times, axes[name]) for name, x in self.feeds.items()}
        found: list[Outcome] = []
        parts = range(0, len(asked), times)
        for part in parts:
            some = [x for x in entries[part : part + times] if x is not None]
            if not some:
                return None
            more = [some[-1]] * (times - len(some))  # one run of one size for all
            told = self.told(part // times, len(parts))
            try:
                question = replace(asked[part], target=np.concatenate([*some, *more]))
                made = self.ask(question, feeds, told)
            except (InputError, RequestError):
                return None
            if not self._is_apart(made, times, axes):
                return None
            own = asked[part : part + times]
            found += [self._split(made, i, one, axes) for i, one in enumerate(own)]
        return found

    def _axes(self, question: Question) -> dict[str, int] | None:
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

    def _entries(self, question: Question) -> Array | None:
        """The entry of every sample that a target means, as a caller names it."""
        explained, rows = self.explained, self.explained.rows
        how = explained.site.options(StartSettings(), alone=rows[0].size == 1, raises=False)
        target = replace(explained.question, target=question.target)
        found = replace(explained, question=target).find_target(rows, how.binary)
        if found is None or explained.question.task not in ENTRY_TASKS:
            return found
        return explained.axes.pairs(found, rows.shape)

    def _is_apart(self, made: Outcome, times: int, axes: Mapping[str, int]) -> bool:
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

    def _split(self, made: Outcome, i: int, question: Question, axes: Mapping[str, int]) -> Outcome:
        """The outcome of one of the copies of the batch."""
        count = self.explained.count
        own = slice(i * count, (i + 1) * count)
        relevance, slopes = (
            {
                name: [np.ascontiguousarray(_part(r, axes[name], own)) for r in channels]
                for name, channels in group.items()
            }
            for group in (made.relevance, made.slopes)
        )
        ledger = _of_samples(made.ledger, own)
        asked = replace(self.explained.question, target=question.target)
        target = None if made.target is None else made.target[own]
        notes = replace(self.explained, question=asked).notes(
            target, ledger.total().start, made.binary
        )
        made = replace(made, relevance=relevance, ledger=ledger, outputs=self.outputs)
        return replace(made, target=target, notes=notes, slopes=slopes)


def _part(x: Any, axis: int, own: slice) -> Any:
    return x[(slice(None),) * axis + (own,)]


def _of_samples(ledger: Ledger, own: slice) -> Ledger:
    """The books of some samples."""
    entries = {
        name: Entry(
            entry.node,
            entry.operator,
            entry.incoming[:, own],
            entry.data[:, own],
            entry.constants[:, own],
            entry.unassigned[:, own],
            {tensor: totals[:, own] for tensor, totals in entry.sent.items()},
        )
        for name, entry in ledger.items()
    }
    balance = Balance(*_columns(ledger.total(), own))
    return Ledger(entries, balance, mixed=ledger.mixed, sizes=Sizes(*_columns(ledger.sizes, own)))


def _columns(books: Any, own: slice) -> Iterator[Array]:
    return (getattr(books, field.name)[:, own] for field in fields(books))
