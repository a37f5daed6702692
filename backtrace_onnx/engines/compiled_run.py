"""One explanation, computed by onnxruntime from the compiled model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.compiler.file_baselines import BASELINE, Baselines
from backtrace_onnx.compiler.target_input import TARGET
from backtrace_onnx.compiler.writer import Compiled, build
from backtrace_onnx.engines.outcome import Outcome, bytes_of
from backtrace_onnx.errors import CompileError, InputError
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.model.sessions import (
    CPU,
    Runtime,
    first_line,
    load_unbroken,
    make_session,
    stays_inline,
)
from backtrace_onnx.passes.pipeline import ModelGraphs
from backtrace_onnx.propagation.bookkeeping import Books
from backtrace_onnx.propagation.ledger import Ledger
from backtrace_onnx.propagation.trace import TracedValues
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.checking import given_start
from backtrace_onnx.targets.entries import TASKS as ENTRY_TASKS
from backtrace_onnx.targets.explained_output import ExplainedOutput, read_output
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import Question
from backtrace_onnx.targets.start import StartSettings
from backtrace_onnx.targets.start_site import CONTRAST, StartReadings
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Loaded:
    made: Compiled
    session: ort.InferenceSession


@dataclass(frozen=True)
class _StartFeeds:
    """What the compiled file is told beside the model's own inputs.

    Attributes:
        feeds: by the name of the input.
        target: the entries that are explained; None where relevance is given, or all are.
        binary: whether targets are classes 0 and 1, for which the output's one entry stands.
    """

    feeds: dict[str, Array]
    target: Array | None = None
    binary: TwoClasses = ""


class CompiledRuns:
    """Explanations that onnxruntime computes: one compiled file for each kind of question."""

    def __init__(self, graphs: ModelGraphs, runtime: Runtime = CPU) -> None:
        self._graphs, self._runtime = graphs, runtime
        self._texts = Sessions(runtime)
        self._sessions: dict[tuple[Any, ...], _Loaded] = {}

    def run(
        self, prepared: PreparedOutput, question: Question, feeds: Mapping[str, Array]
    ) -> Outcome:
        """Run the model for the answer, then the compiled model for its explanation."""
        arrays = prepared.trace.run(feeds)
        explained = read_output(prepared, question, arrays, feeds)
        compared = _compared(question, feeds)
        compiled = self._compiled(explained, tuple(feeds), Baselines(told=frozenset(compared)))
        start = self._start_feeds(explained, arrays)
        told = {BASELINE + name: x for name, x in compared.items()}
        names = [o.name for o in compiled.made.proto.graph.output]
        try:
            results = compiled.session.run(names, {**feeds, **start.feeds, **told})
        except Exception as error:  # onnxruntime raises many types
            raise InputError(f"the compiled explanation cannot run: {error}") from None
        found = dict(zip(names, results, strict=True))
        ledger = _ledger(found, compiled.made.books, explained.count)
        notes = explained.notes(start.target, ledger.total().start, start.binary)
        return Outcome(
            _relevance(found, question, feeds),
            ledger,
            {name: found[name] for name in prepared.plan.graph.outputs if name in found},
            start.target,
            explained.axes,
            notes,
            start.binary,
            bytes_of(arrays),
            {t: arrays[t] for t in prepared.tokens if t in arrays},
            {t: [found[f"slope/{t}"]] for t in compiled.made.sloped},
        )

    def _compiled(
        self, explained: ExplainedOutput, inputs: tuple[str, ...], baselines: Baselines
    ) -> _Loaded:
        """The compiled file for such a question, made once."""
        question, axes = explained.question.of_file(), explained.axes
        tensors = tuple(sorted(explained.question.keep | set(inputs)))
        single = axes.single(explained.y.shape)
        key = (question, axes, single, tensors, baselines.told)
        if key not in self._sessions:
            how = (self._graphs, question, tensors)
            made = build(*how, baselines=baselines, axes=axes, single=single, ledger=True)
            aside = {k: w for k, w in made.weights.items() if not stays_inline(w)}
            load = partial(
                make_session, made.proto, aside, runtime=self._runtime, folder=made.folder
            )
            try:
                session = load_unbroken(load)
            except Exception as error:  # onnxruntime raises many types
                raise CompileError(
                    f"{self._graphs.model.name}: onnxruntime does not load the compiled "
                    f"explanation of output {question.output!r} ({first_line(error)}); "
                    "engine='numba' needs none"
                ) from None
            self._sessions[key] = _Loaded(made, session)
        return self._sessions[key]

    def _start_feeds(self, explained: ExplainedOutput, arrays: dict[str, Array]) -> _StartFeeds:
        """The start that the caller gives, or the entries that are explained."""
        question, y = explained.question, explained.y
        if question.start is not None:
            read = self._read(explained, arrays) if question.task == CONTRAST else ()
            policy, dtype = question.policy, explained.dtype
            parts = given_start(question.start, y, policy, dtype, explained.ends, *read)
            return _StartFeeds(dict(zip(("start", "start_negative"), parts, strict=False)))
        rows, axes = explained.rows, explained.axes
        options = explained.site.options(StartSettings(), alone=rows[0].size == 1, raises=False)
        target = explained.find_target(rows, options.binary)
        if target is None:
            return _StartFeeds({})
        if question.task in ENTRY_TASKS:
            return _StartFeeds({TARGET: axes.pairs(target, rows.shape)}, target)
        several = question.task == "generation"
        fed = target.reshape(len(target), -1, 2) if several else target
        return _StartFeeds({TARGET: fed}, target, options.binary)

    def _read(self, explained: ExplainedOutput, arrays: dict[str, Array]) -> StartReadings:
        """What a contrast reads beside the output, computed eagerly."""
        from backtrace_onnx.backends.eager import EagerOps  # imports Numba
        from backtrace_onnx.backends.layout import Samples

        site, dtype = explained.site, explained.dtype
        graph = site.whole.graph
        ops = EagerOps(dtype, Samples(explained.count), self._texts, dict(graph.opsets))
        samples = SampleAxes(graph, explained.axes.known(site.head.output))
        return site.read(ops, TracedValues(dict(arrays), dtype), samples)


def _compared(question: Question, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What inputs are compared with, by a method that compares; the others with themselves."""
    reference = question.reference or {}
    return {
        name: x
        for name, x in reference.items()
        if x.dtype.kind == "f" or not np.array_equal(x, feeds[name])
    }


def _relevance(
    found: Mapping[str, Array], question: Question, feeds: Mapping[str, Array]
) -> dict[str, Channels]:
    tensors = sorted(question.keep | set(feeds))
    groups = ["relevance"] if question.policy.channels == 1 else ["positive", "negative"]
    return {t: [found[f"{group}/{t}"] for group in groups] for t in tensors}


def _ledger(found: Mapping[str, Array], books: Books, count: int) -> Ledger:
    def read(total: Symbol) -> Array:
        own = found[total.name]
        return (
            own if own.ndim else np.full(count, own / max(count, 1))
        )  # of no one sample: of all alike

    return books.ledger(count, read)
