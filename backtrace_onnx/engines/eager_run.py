"""One explanation, computed by the eager engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.eager import EagerOps
from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.engines.outcome import Outcome, Progress, bytes_of
from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.propagation.bookkeeping import Books
from backtrace_onnx.propagation.node_step import NodeStep, Steps
from backtrace_onnx.propagation.part_runs import PartRuns
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.reverse_walk import propagate
from backtrace_onnx.propagation.slope_steps import steps_of
from backtrace_onnx.propagation.trace import Trace, TracedValues
from backtrace_onnx.propagation.values import PairedValues, SpannedValues, Values
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.asked_positions import AskedPositions, find_asked
from backtrace_onnx.targets.checking import given_start
from backtrace_onnx.targets.explained_output import ExplainedOutput, read_output
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import Question
from backtrace_onnx.targets.start import StartSettings, raising, start_text
from backtrace_onnx.targets.start_site import CONTRAST
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[Any]


def run_eager(
    prepared: PreparedOutput,
    question: Question,
    feeds: Mapping[str, Array],
    sessions: Sessions,
    progress: Progress | None = None,
) -> Outcome:
    """Run the model, start at the output, walk back node by node, and close the books.

    Args:
        feeds: arrays by input name, as checked for the model.
        progress: called after every node with how many are done, and how many there are.

    Raises RequestError or InputError where the question does not fit what the model answered.
    """
    graph, name, method = prepared.plan.graph, question.output, question.method
    if method.carrier == "slope":
        prepared.plan.check_slopes(name, method)
    trace = prepared.trace_for(question, feeds)
    arrays = trace.run(feeds)
    outputs, held = {o: arrays[o] for o in prepared.trace.outputs}, bytes_of(arrays)
    explained = read_output(prepared, question, arrays, feeds)
    samples, texts = _sample_axes(prepared, name, explained), _texts(prepared, arrays)
    how = (explained.dtype, Samples(explained.count), sessions, dict(graph.opsets))
    ops = EagerOps(*how, ledger=question.booked)
    values = _values(trace, arrays, question, ops.dtype)
    start = _Starter(ops, samples, explained).start(values)
    books = Books(ops, samples, explained.site.gauges(start.plan))
    books.begin(name, explained.site.begun(ops, values, samples, start.channels, start.part))
    walked = propagate(
        start.plan,
        {name: start.channels} if question.walked else {},
        ops=ops,
        method=method,
        values=values,
        keep={graph.aliases.get(n, n) for n in question.keep} | set(feeds),
        sample_axes=samples,
        enter=_entering(books, explained.site.unbooked),
        steps=_steps(prepared, question),
        through=question.through,
        enter_cut=books.enter_cut,
        advance=None if progress is None else _counting(progress, len(graph.nodes)),
        runs=trace if isinstance(trace, PartRuns) else None,
    )
    walked.fill({n: np.zeros(x.shape, ops.dtype) for n, x in feeds.items()}, method.policy.channels)
    books.finish({n: walked.relevance[n] for n in feeds})
    ledger = books.ledger(explained.count)
    notes = explained.notes(start.target, ledger.total().start, start.binary)
    ends = (start.target, explained.axes, notes, start.binary, held, texts, walked.slopes)
    return Outcome(walked.reported(method), ledger, outputs, *ends)


def _sample_axes(prepared: PreparedOutput, name: str, explained: ExplainedOutput) -> SampleAxes:
    """Where samples lie, which is looked up once for each tensor."""
    axes, graph = explained.axes, prepared.plan.graph
    key = ("sample axes", name, axes.samples)
    return prepared.plan.remember(key, lambda: SampleAxes(graph, axes.known(name)))


def _steps(prepared: PreparedOutput, question: Question) -> Steps:
    """How the walk sees nodes."""
    contrasted, weighed = question.task == CONTRAST, prepared.weighed(question)
    return steps_of(question.method, question.output, contrasted=contrasted, weighed=weighed)


def _texts(prepared: PreparedOutput, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The tokens that the model cuts texts into, by tensor; the walk lets go of them."""
    return {name: arrays[name] for name in prepared.tokens if name in arrays}


def _values(
    trace: Trace | PartRuns, arrays: dict[str, Array], question: Question, dtype: npt.DTypeLike
) -> Values:
    """Values of the run, beside those of the reference where the method compares it to one."""
    values = TracedValues(arrays, dtype)
    if question.background is not None:
        behind: Values = PairedValues(values, TracedValues(dict(question.background.values), dtype))
        return behind
    if isinstance(trace, PartRuns):  # what is compared is not walked so
        return values
    if question.span is not None:
        ends = (question.span.after, question.span.before)
        after, before = (TracedValues(_run_reference(trace, end, arrays), dtype) for end in ends)
        spanned: Values = SpannedValues(values, after, before, question.span.changes)
        return spanned
    if question.reference is None:
        return values
    referred = _run_reference(trace, question.reference, arrays)
    made: Values = PairedValues(values, TracedValues(referred, dtype))
    return made


def _run_reference(
    trace: Trace, feeds: Mapping[str, Array], arrays: Mapping[str, Array]
) -> dict[str, Array]:
    """What the walk reads at the baseline. Raises InputError where its tensors are of other shapes
    than those of the run, `arrays`."""
    found = trace.run_reference(feeds)
    for name, x in found.items():
        if isinstance(x, np.ndarray) and x.shape != arrays[name].shape:  # lists hold maps
            own, other = list(arrays[name].shape), list(x.shape)
            raise InputError(
                f"tensor '{name}' is {own} at the inputs and {other} at the baseline: how many "
                "numbers it has depends on the values, so that a difference to the baseline cannot "
                "be taken entry by entry; take another baseline, or a mode that compares with none"
            )
    return found


@dataclass(frozen=True)
class _Start:
    """Relevance at the output, and what the walk back from there takes.

    Attributes:
        channels: one array per channel, shaped like the output.
        plan: of the walk.
        target: the entries that are explained; None where relevance was given, or all are.
        binary: whether targets are classes 0 and 1, for which the output's one entry stands.
        asked: the positions where it is not 0; None: that is not known.
    """

    channels: Channels
    plan: Plan
    target: Array | None = None
    binary: TwoClasses = ""
    asked: AskedPositions | None = None

    def part(self, x: Array) -> Array:
        """What an array shaped like the output holds where the start is not 0."""
        return self.asked.of(x) if self.asked else x


@dataclass(frozen=True)
class _Starter:
    """What a start is made with."""

    ops: EagerOps
    samples: SampleAxes
    explained: ExplainedOutput

    def start(self, values: Values) -> _Start:
        """The start at the explained output."""
        explained, question, axes = self.explained, self.explained.question, self.explained.axes
        y = explained.y.astype(explained.dtype, copy=False)
        read = explained.site.read(self.ops, values, self.samples)
        if question.start is not None:
            given = given_start(
                question.start, y, question.policy, self.ops.dtype, explained.ends, *read
            )
            return _Start(given, self._plan(None))
        rows = self._rows(y)
        raises = explained.site.raises(self.samples, axes)
        single = axes.single(y.shape)
        how = StartSettings(
            question.threshold, question.scaler, single, axes.class_axis, axes.columns
        )
        options = explained.site.options(how, alone=rows[0].size == 1, raises=raises)
        target = explained.find_target(rows, options.binary)
        text = start_text(question.task, question.policy.channels, options)
        key = f"start/{question.task}/{question.policy.channels}/{options}"
        asked = self._asked(target, rows, options)
        given = [None if x is None else self._rows(x, asked) for x in (y, *read)]
        made = self.ops.apply(key, text, given[0], asked.target if asked else target, *given[1:])
        parts = made if isinstance(made, tuple) else (made,)
        constant = self._constant(options, rows, target, read.scores) if raises else None
        channels = [axes.back(asked.back(x) if asked else x, y.shape) for x in parts]
        return _Start(channels, self._plan(constant), target, options.binary, asked)

    def _asked(
        self, target: Array | None, rows: Array, how: StartSettings
    ) -> AskedPositions | None:
        """The positions where the start is not 0, where these are known and it is not scaled."""
        generates = self.explained.question.task == "generation" and how.scaler is None
        if not generates or target is None or self.explained.axes.samples != 0:
            return None
        return find_asked(target, rows.shape[1])

    def _rows(self, y: Array, asked: AskedPositions | None = None) -> Array:
        rows = self.explained.axes.rows(y)
        return np.ascontiguousarray(asked.of(rows) if asked else rows)

    def _plan(self, constant: Array | None) -> Plan:
        return self.explained.site.plan(self.ops, constant, self.samples, self.explained.axes)

    def _constant(
        self, options: StartSettings, rows: Array, target: Array | None, read: Array | None
    ) -> Array:
        """What is added to the scores of each sample so that none is negative: [samples]."""
        task = self.explained.question.task
        text, key = raising(task, options), f"raising/{task}/{options}"
        scores = None if read is None else self._rows(read)
        made: Array = self.ops.apply(key, text, rows, target, scores)
        return made


def _entering(books: Books, unbooked: Collection[str]) -> Callable[[NodeStep], None]:
    """What enters nodes into the books, but for those of these names."""
    if not unbooked:
        return books.enter

    def enter(step: NodeStep) -> None:
        if step.node.name not in unbooked:
            books.enter(step)

    return enter


def _counting(progress: Progress, total: int) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    return advance
