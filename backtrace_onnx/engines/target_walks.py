"""Several entries of one answer: the forward run is shared, and walks are made side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.copies import Copies
from backtrace_onnx.engines.outcome import Outcome, Progress
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.propagation.ledger import of_samples
from backtrace_onnx.propagation.trace import Trace
from backtrace_onnx.targets.every_target import check_targets
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import Question

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Ask = Callable[[Question, Arrays, Progress | None], Outcome]


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
    trace = prepared.trace_for(question, feeds) if together else prepared.trace
    together = together and isinstance(trace, Trace)  # what is walked in parts is large
    copies = Copies.of(prepared, question, feeds, trace)
    asked = [replace(question, target=t) for t in check_targets(targets, copies.explained)]
    walks = _Walks(ask, copies, len(asked), progress)
    times = min(len(asked), copies.most) if together else 1
    found = walks.side_by_side(asked, times) if times > 1 else None
    if found is None:
        found = [ask(one, feeds, walks.told(i)) for i, one in enumerate(asked)]
    return [(one.target, outcome) for one, outcome in zip(asked, found, strict=True)]


@dataclass(frozen=True)
class _Walks:
    """What walks for several targets have in common.

    Attributes:
        copies: the batch. count: how many targets there are.
    """

    ask: Ask
    copies: Copies
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
        axes = self.copies.axes(asked[0])
        entries = [self.copies.entries(question) for question in asked]
        if axes is None or len({x.shape if x is not None else None for x in entries}) != 1:
            return None
        feeds = self.copies.repeated(times, axes)
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
            if not self.copies.are_apart(made, times, axes):
                return None
            own = asked[part : part + times]
            found += [self._split(made, i, one, axes) for i, one in enumerate(own)]
        return found

    def _split(self, made: Outcome, i: int, question: Question, axes: Mapping[str, int]) -> Outcome:
        """The outcome of one of the copies of the batch."""
        explained, count = self.copies.explained, self.copies.explained.count
        own = slice(i * count, (i + 1) * count)
        relevance, slopes = (
            {
                name: [np.ascontiguousarray(_part(r, axes[name], own)) for r in channels]
                for name, channels in group.items()
            }
            for group in (made.relevance, made.slopes)
        )
        ledger = of_samples(made.ledger, own)
        asked = replace(explained.question, target=question.target)
        target = None if made.target is None else made.target[own]
        notes = replace(explained, question=asked).notes(target, ledger.total().start, made.binary)
        made = replace(made, relevance=relevance, ledger=ledger, outputs=self.copies.outputs)
        return replace(made, target=target, notes=notes, slopes=slopes)


def _part(x: Any, axis: int, own: slice) -> Any:
    return x[(slice(None),) * axis + (own,)]
