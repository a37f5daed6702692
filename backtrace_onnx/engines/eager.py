"""One explanation, computed by the eager engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends.eager import EagerOps
from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.propagation.bookkeeping import Books
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.reverse_walk import Values, propagate
from backtrace_onnx.propagation.trace import TracedValues
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.axis_search import find_axes
from backtrace_onnx.targets.checking import explainable, find_target, given_start
from backtrace_onnx.targets.detectors import recognised
from backtrace_onnx.targets.language_models import find_tokens
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.remarks import remarks
from backtrace_onnx.targets.request import (
    Outcome,
    Progress,
    Request,
    View,
    one_of_two,
    relevance_dtype,
)
from backtrace_onnx.targets.sites import Site
from backtrace_onnx.targets.start import Options, raising, start_text
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[Any]


def run_eager(
    view: View,
    request: Request,
    feeds: Mapping[str, Array],
    sessions: Sessions,
    progress: Progress | None = None,
) -> Outcome:
    """Run the model, start, walk back and close the books."""
    plan, name, policy = view.plan, request.output, request.policy
    arrays = view.trace.run(feeds)
    outputs = {o: arrays[o] for o in view.trace.outputs}
    y = explainable(name, arrays[name])
    dtype = relevance_dtype(y.dtype)
    shapes = {n: x.shape for n, x in feeds.items()}
    request, assumed = recognised(request, plan.graph, {**outputs, name: y}, shapes)
    axes = find_axes(plan.graph, name, request.axes, shape=y.shape, fed=shapes)
    request = one_of_two(request, view, axes, y)
    site = request.site(view)
    samples, count = SampleAxes(plan.graph, axes.known(name)), axes.count(y.shape)
    ops = EagerOps(dtype, Samples(count), sessions, dict(plan.graph.opsets))
    tokens = find_tokens(plan.graph, name)
    ends = tokens.ends(feeds, y.shape[1]) if tokens else None
    values = TracedValues(arrays, dtype)
    real = tokens.real(feeds, y.shape[1]) if tokens else None
    starter = _Starter(ops, axes, samples, request, site, ends, real)
    started = starter.start(y.astype(dtype, copy=False), values)
    start = started.channels
    books = Books(ops, samples)
    relevance = propagate(
        started.plan,
        {name: start},
        ops=ops,
        policy=policy,
        values=values,
        keep={plan.graph.aliases.get(n, n) for n in request.keep} | set(feeds),
        sample_axes=samples,
        enter=books.enter,
        advance=_counting(progress, len(plan.graph.nodes)),
    )
    for n, x in feeds.items():
        relevance.setdefault(n, [np.zeros(x.shape, dtype) for _ in range(policy.channels)])
    books.finish(name, start, {n: relevance[n] for n in feeds})
    ledger = books.ledger(count)
    total, binary = ledger.total().start, started.binary
    named = request.target is not None
    notes = remarks(site, axes.rows(y), started.target, total, binary=binary, asked=named)
    notes = (*assumed, *axes.notes, *notes)
    return Outcome(relevance, ledger, outputs, started.target, axes, notes, binary)


@dataclass(frozen=True)
class _Started:
    """Relevance at the output and the plan of its walk, what was asked for, and whether targets are
    classes of one entry.
    """

    channels: Channels
    plan: Plan
    target: Array | None = None
    binary: TwoClasses = ""


@dataclass(frozen=True)
class _Starter:
    """What a start is made with."""

    ops: EagerOps
    axes: OutputAxes
    samples: SampleAxes
    request: Request
    site: Site
    ends: Array | None
    real: Array | None

    def start(self, y: Array, values: Values) -> _Started:
        """The start at the output y."""
        request, read = self.request, self.site.read(self.ops, values, self.samples)
        if request.start is not None:
            given = given_start(request.start, y, request.policy, self.ops.dtype, self.ends, *read)
            return _Started(given, self._plan(None))
        rows, scores, sides = (None if x is None else self._rows(x) for x in (y, *read))
        assert rows is not None
        raises = self.site.raises(self.samples, self.axes)
        single, axes = self.axes.single(y.shape), self.axes
        how = Options(request.threshold, request.scaler, single, axes.class_axis, axes.columns)
        options = self.site.options(how, alone=rows[0].size == 1, raises=raises)
        told = (rows, request.task, axes, self.ends)
        target = find_target(request.target, *told, binary=options.binary, real=self.real)
        text = start_text(request.task, request.policy.channels, options)
        key = f"start/{request.task}/{request.policy.channels}/{options}"
        made = self.ops.apply(key, text, rows, target, scores, sides)
        parts = made if isinstance(made, tuple) else (made,)
        constant = self._constant(options, rows, target, scores) if raises else None
        channels = [self.axes.back(part, y.shape) for part in parts]
        return _Started(channels, self._plan(constant), target, options.binary)

    def _rows(self, y: Array) -> Array:
        return np.ascontiguousarray(self.axes.rows(y))

    def _plan(self, constant: Array | None) -> Plan:
        return self.site.plan(self.ops, constant, self.samples, self.axes)

    def _constant(
        self, options: Options, rows: Array, target: Array | None, scores: Array | None
    ) -> Array:
        task = self.request.task
        text, key = raising(task, options), f"raising/{task}/{options}"
        made: Array = self.ops.apply(key, text, rows, target, scores)
        return made


def _counting(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return advance
