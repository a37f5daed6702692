"""An explanation, put together of what an engine returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.explanation import Explanation, combined
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.results.reach import is_one_sum, reach_notes
from backtrace_onnx.targets.request import Outcome, Request, View

Array = npt.NDArray[Any]


def assembled(
    request: Request, outcome: Outcome, feeds: Mapping[str, Array], view: View
) -> Explanation:
    """What a caller gets of a request and its outcome."""
    graph, ledger, mode = view.plan.graph, outcome.ledger, request.policy.name
    one_sum = is_one_sum(view.plan, ledger, view.head)
    doubts = reach_notes(ledger, feeds, mode, one_sum=one_sum)
    relevance = dict(outcome.relevance)
    for name, shared in graph.aliases.items():
        if name in request.keep and shared in relevance:
            relevance[name] = relevance[shared]
    inner = [name for name in relevance if name in request.keep and name not in feeds]
    relevance = {name: relevance[name] for name in (*feeds, *inner)}
    positive = {name: np.asarray(r[0]) for name, r in relevance.items()}
    negative = {name: np.asarray(r[1]) for name, r in relevance.items() if len(r) > 1}
    return Explanation(
        relevance=combined(positive, negative),
        positive=positive,
        negative=negative,
        inputs=feeds,
        outputs=outcome.outputs,
        output=request.output,
        mode=mode,
        task=_task(request, outcome),
        target=outcome.target,
        ledger=ledger,
        axes=_input_axes(feeds, graph, outcome),
        notes=(*doubts, *outcome.notes),
        layout=outcome.axes,
        binary=outcome.binary,
    )


def _task(request: Request, outcome: Outcome) -> str:
    """The task as asked, or as the outputs told where nobody asked."""
    if request.start is not None:
        return "start"
    return "detection" if request.open and outcome.axes.columns is not None else request.task


def _input_axes(
    feeds: Mapping[str, Array], graph: Graph, outcome: Outcome
) -> dict[str, int | None]:
    """Sample axis of every input that has one entry per sample there."""
    axes = SampleAxes(graph)
    count = outcome.ledger.total().start.shape[1]
    found: dict[str, int | None] = {}
    for name, x in feeds.items():
        axis = axes(name)
        fits = axis is not None and axis < x.ndim and x.shape[axis] == count
        found[name] = int(axis) if axis is not None and fits else None
    return found
