"""One explanation, computed by onnxruntime from the compiled model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from backtrace_onnx.axes import OutputAxes
from backtrace_onnx.axis_search import find_axes
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.books import Books
from backtrace_onnx.compiler import Compiled, Options, build
from backtrace_onnx.detectors import recognised
from backtrace_onnx.entries import TASKS as ENTRY_TASKS
from backtrace_onnx.errors import InputError
from backtrace_onnx.language import find_tokens
from backtrace_onnx.ledger import Ledger
from backtrace_onnx.model import Model
from backtrace_onnx.request import Outcome, Request, View, relevance_dtype
from backtrace_onnx.sessions import CPU, Runtime, make_session, stays_inline
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets import explainable, find_target, given_start

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Loaded:
    made: Compiled
    session: ort.InferenceSession


class CompiledRuns:
    """Compiles once per kind of request, and runs what it compiled."""

    def __init__(self, loaded: Model, runtime: Runtime = CPU) -> None:
        self._loaded, self._runtime = loaded, runtime
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
        single = axes.single(y.shape)
        compiled = self._compiled(request, tuple(feeds), axes, single)
        tokens = find_tokens(graph, request.output)
        ends = tokens.ends(feeds, y.shape[1]) if tokens else None
        extra, target = _extra(request, y, axes, ends)
        names = [o.name for o in compiled.made.proto.graph.output]
        try:
            results = compiled.session.run(names, {**feeds, **extra})
        except Exception as error:  # onnxruntime raises many types
            raise InputError(f"the compiled explanation cannot run: {error}") from None
        found = dict(zip(names, results, strict=True))
        return Outcome(
            _relevance(found, request, feeds),
            _ledger(found, compiled.made.books, axes.count(y.shape)),
            {name: found[name] for name in graph.outputs if name in found},
            target,
            axes,
            (*assumed, *axes.notes),
        )

    def _compiled(
        self, request: Request, inputs: tuple[str, ...], axes: OutputAxes, single: bool
    ) -> _Loaded:
        tensors = tuple(sorted(request.keep | set(inputs)))
        task = "start" if request.start is not None else request.task
        how = (request.policy, request.output, task, request.scaler, request.threshold)
        key = (*how, axes, single, tensors)
        if key not in self._sessions:
            options = Options(*how, axes=axes, single=single)
            made = build(self._loaded, options, tensors, ledger=True)
            aside = {k: w for k, w in made.weights.items() if not stays_inline(w)}
            session = make_session(made.proto, aside, runtime=self._runtime, folder=made.folder)
            self._sessions[key] = _Loaded(made, session)
        return self._sessions[key]


def _extra(
    request: Request, y: Array, axes: OutputAxes, ends: Array | None
) -> tuple[dict[str, Array], Array | None]:
    """Feeds of the start, and the target."""
    if request.start is not None:
        parts = given_start(request.start, y, request.policy, relevance_dtype(y.dtype), ends)
        return dict(zip(("start", "start_negative"), parts, strict=False)), None
    rows = axes.rows(y)
    target = find_target(request.target, rows, request.task, axes, ends)
    if target is None:
        return {}, None
    if request.task in ENTRY_TASKS:
        return {"target": axes.pairs(target, rows.shape)}, target
    several = request.task == "generation"
    return {"target": target.reshape(len(target), -1, 2) if several else target}, target


def _relevance(
    found: Mapping[str, Array], request: Request, feeds: Mapping[str, Array]
) -> dict[str, Channels]:
    groups = ["relevance"] if request.policy.channels == 1 else ["positive", "negative"]
    return {t: [found[f"{group}/{t}"] for group in groups] for t in request.keep | set(feeds)}


def _ledger(found: Mapping[str, Array], books: Books, count: int) -> Ledger:
    def read(total: Symbol) -> Array:
        return np.broadcast_to(found[total.name], (count,))

    return books.ledger(count, read)
