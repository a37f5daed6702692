"""One explanation, computed by the eager engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.axes import OutputAxes
from backtrace_onnx.axis_search import find_axes
from backtrace_onnx.backends.eager import EagerOps
from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.books import Books
from backtrace_onnx.detectors import recognised
from backtrace_onnx.engine import propagate
from backtrace_onnx.language import find_tokens
from backtrace_onnx.request import Outcome, Progress, Request, View, relevance_dtype
from backtrace_onnx.samples import SampleAxes
from backtrace_onnx.start import Options, start_text
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets import explainable, find_target, given_start
from backtrace_onnx.trace import TracedValues

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
    samples, count = SampleAxes(plan.graph, axes.known(name)), axes.count(y.shape)
    ops = EagerOps(dtype, Samples(count), sessions, dict(plan.graph.opsets))
    tokens = find_tokens(plan.graph, name)
    ends = tokens.ends(feeds, y.shape[1]) if tokens else None
    start, target = _start(ops, y.astype(dtype, copy=False), axes, request, ends)
    books = Books(ops, samples)
    relevance = propagate(
        plan,
        {name: start},
        ops=ops,
        policy=policy,
        values=TracedValues(arrays, dtype),
        keep={plan.graph.aliases.get(n, n) for n in request.keep} | set(feeds),
        sample_axes=samples,
        enter=books.enter,
        advance=_counting(progress, len(plan.graph.nodes)),
    )
    for n, x in feeds.items():
        relevance.setdefault(n, [np.zeros(x.shape, dtype) for _ in range(policy.channels)])
    books.finish(name, start, {n: relevance[n] for n in feeds})
    ledger = books.ledger(count)
    return Outcome(relevance, ledger, outputs, target, axes, (*assumed, *axes.notes))


def _start(
    ops: EagerOps, y: Array, axes: OutputAxes, request: Request, ends: Array | None
) -> tuple[Channels, Array | None]:
    policy, task = request.policy, request.task
    if request.start is not None:
        return given_start(request.start, y, policy, ops.dtype, ends), None
    rows = np.ascontiguousarray(axes.rows(y))
    target = find_target(request.target, rows, task, axes, ends)
    options = Options(
        request.threshold, request.scaler, axes.single(y.shape), axes.class_axis, axes.columns
    )
    text = start_text(task, policy.channels, options)
    made = ops.apply(f"start/{task}/{policy.channels}/{options}", text, rows, target)
    parts = made if isinstance(made, tuple) else (made,)
    return [axes.back(part, y.shape) for part in parts], target


def _counting(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return advance
