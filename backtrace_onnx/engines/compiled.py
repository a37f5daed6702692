"""One explanation, computed by onnxruntime from the compiled model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.compiler.target_input import TARGET
from backtrace_onnx.compiler.writer import Compiled, Options, build
from backtrace_onnx.errors import CompileError, InputError
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.model.sessions import CPU, Runtime, first_line, make_session, stays_inline
from backtrace_onnx.passes.pipeline import Prepared
from backtrace_onnx.propagation.bookkeeping import Books
from backtrace_onnx.propagation.ledger import Ledger
from backtrace_onnx.propagation.trace import TracedValues
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.axis_search import find_axes
from backtrace_onnx.targets.checking import explainable, find_target, given_start
from backtrace_onnx.targets.detectors import recognised
from backtrace_onnx.targets.entries import TASKS as ENTRY_TASKS
from backtrace_onnx.targets.language_models import find_tokens
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.remarks import remarks
from backtrace_onnx.targets.request import Outcome, Request, View, one_of_two, relevance_dtype
from backtrace_onnx.targets.sites import CONTRAST, Readings, Site
from backtrace_onnx.targets.start import Options as StartOptions
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Loaded:
    made: Compiled
    session: ort.InferenceSession


@dataclass(frozen=True)
class _Asked:
    """Feeds of the start, the target, and whether it is a class of one entry."""

    feeds: dict[str, Array]
    target: Array | None = None
    binary: TwoClasses = ""


class CompiledRuns:
    """Compiles once per kind of request, and runs what it compiled."""

    def __init__(self, prepared: Prepared, runtime: Runtime = CPU) -> None:
        self._prepared, self._runtime = prepared, runtime
        self._texts = Sessions(runtime)
        self._sessions: dict[tuple[Any, ...], _Loaded] = {}

    def run(self, view: View, request: Request, feeds: Mapping[str, Array]) -> Outcome:
        """Run the model for the answer, then the compiled model for its explanation."""
        arrays = view.trace.run(feeds)
        y = explainable(request.output, arrays[request.output])
        shapes = {n: x.shape for n, x in feeds.items()}
        graph = view.plan.graph
        outputs = {o: arrays[o] for o in view.trace.outputs}
        request, assumed = recognised(request, graph, {**outputs, request.output: y}, shapes)
        axes = find_axes(graph, request.output, request.axes, shape=y.shape, fed=shapes)
        request = one_of_two(request, view, axes, y)
        single = axes.single(y.shape)
        site = request.site(view)
        compiled = self._compiled(request, tuple(feeds), axes, site.task, single)
        tokens = find_tokens(graph, request.output)
        ends = tokens.ends(feeds, y.shape[1]) if tokens else None
        real = tokens.real(feeds, y.shape[1]) if tokens else None
        asked = self._asked(site, request, y, axes, arrays, ends, real)
        names = [o.name for o in compiled.made.proto.graph.output]
        try:
            results = compiled.session.run(names, {**feeds, **asked.feeds})
        except Exception as error:  # onnxruntime raises many types
            raise InputError(f"the compiled explanation cannot run: {error}") from None
        found = dict(zip(names, results, strict=True))
        ledger = _ledger(found, compiled.made.books, axes.count(y.shape))
        total, binary = ledger.total().start, asked.binary
        named = request.target is not None
        notes = remarks(site, axes.rows(y), asked.target, total, binary=binary, asked=named)
        return Outcome(
            _relevance(found, request, feeds),
            ledger,
            {name: found[name] for name in graph.outputs if name in found},
            asked.target,
            axes,
            (*assumed, *axes.notes, *notes),
            binary,
        )

    def _compiled(
        self, request: Request, inputs: tuple[str, ...], axes: OutputAxes, task: str, single: bool
    ) -> _Loaded:
        tensors = tuple(sorted(request.keep | set(inputs)))
        how = (request.policy, request.output, task, request.scaler, request.threshold)
        labels = request.axes.labels
        key = (*how, axes, single, request.probability, labels, tensors)
        if key not in self._sessions:
            options = Options(
                *how, axes=axes, single=single, probability=request.probability, labels=labels
            )
            made = build(self._prepared, options, tensors, ledger=True)
            aside = {k: w for k, w in made.weights.items() if not stays_inline(w)}
            try:
                session = make_session(made.proto, aside, runtime=self._runtime, folder=made.folder)
            except Exception as error:  # onnxruntime raises many types
                raise CompileError(
                    f"{self._prepared.model.name}: onnxruntime does not load the compiled "
                    f"explanation of output {request.output!r} ({first_line(error)}); "
                    "engine='numba' needs none"
                ) from None
            self._sessions[key] = _Loaded(made, session)
        return self._sessions[key]

    def _asked(
        self,
        site: Site,
        request: Request,
        y: Array,
        axes: OutputAxes,
        arrays: dict[str, Array],
        ends: Array | None,
        real: Array | None,
    ) -> _Asked:
        """What the compiled file is told beside the model's own inputs."""
        dtype = relevance_dtype(y.dtype)
        if request.start is not None:
            read = self._read(site, axes, arrays, y) if site.task == CONTRAST else ()
            parts = given_start(request.start, y, request.policy, dtype, ends, *read)
            return _Asked(dict(zip(("start", "start_negative"), parts, strict=False)))
        rows = axes.rows(y)
        options = site.options(StartOptions(), alone=rows[0].size == 1, raises=False)
        binary = options.binary
        told = (rows, request.task, axes, ends)
        target = find_target(request.target, *told, binary=binary, real=real)
        if target is None:
            return _Asked({})
        if request.task in ENTRY_TASKS:
            return _Asked({TARGET: axes.pairs(target, rows.shape)}, target)
        several = request.task == "generation"
        fed = target.reshape(len(target), -1, 2) if several else target
        return _Asked({TARGET: fed}, target, binary)

    def _read(self, site: Site, axes: OutputAxes, arrays: dict[str, Array], y: Array) -> Readings:
        """What a contrast reads beside the output, computed eagerly."""
        from backtrace_onnx.backends.eager import EagerOps  # imports Numba
        from backtrace_onnx.backends.layout import Samples

        dtype, graph = relevance_dtype(y.dtype), site.whole.graph
        ops = EagerOps(dtype, Samples(axes.count(y.shape)), self._texts, dict(graph.opsets))
        samples = SampleAxes(graph, axes.known(site.head.output))
        return site.read(ops, TracedValues(dict(arrays), dtype), samples)


def _relevance(
    found: Mapping[str, Array], request: Request, feeds: Mapping[str, Array]
) -> dict[str, Channels]:
    groups = ["relevance"] if request.policy.channels == 1 else ["positive", "negative"]
    return {t: [found[f"{group}/{t}"] for group in groups] for t in request.keep | set(feeds)}


def _ledger(found: Mapping[str, Array], books: Books, count: int) -> Ledger:
    def read(total: Symbol) -> Array:
        own = found[total.name]
        return (
            own if own.ndim else np.full(count, own / max(count, 1))
        )  # of no one sample: of all alike

    return books.ledger(count, read)
