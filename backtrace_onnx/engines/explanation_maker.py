"""An explanation, put together of what an engine returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.explanation import Explanation, combined
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.graph.token_tensors import find_text_tokens
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.methods.descriptions import describe
from backtrace_onnx.results.reach import (
    check_finite,
    closed_notes,
    flat_notes,
    jump_notes,
    reach_notes,
)
from backtrace_onnx.results.text_tokens import read_text_tokens
from backtrace_onnx.targets.attention_tensors import find_attention
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import OWN_START, Question
from backtrace_onnx.targets.through_choice import through_notes

Array = npt.NDArray[Any]


def make_explanation(
    question: Question, outcome: Outcome, feeds: Mapping[str, Array], prepared: PreparedOutput
) -> Explanation:
    """What a caller gets of a question and its outcome.

    Raises NumericalError where relevance became NaN or infinite on its way.
    """
    graph, ledger, method = prepared.plan.graph, outcome.ledger, question.method
    check_finite(ledger, method.name, {name: outcome.relevance[name] for name in feeds})
    doubts = _doubts(question, outcome, feeds, prepared)
    count = ledger.total().start.shape[1]
    cut = (find_text_tokens(graph), outcome.texts, outcome.relevance)
    tokens = read_text_tokens(graph, *cut, count)
    relevance = _told(question, outcome, feeds, graph)
    inner = relevance.keys() - feeds.keys()
    attention = find_attention(prepared.plan, question.output) if inner else ()
    positive = {name: np.asarray(r[0]) for name, r in relevance.items()}
    negative = {name: np.asarray(r[1]) for name, r in relevance.items() if len(r) > 1}
    return Explanation(
        relevance=combined(positive, negative),
        positive=positive,
        negative=negative,
        inputs=feeds,
        outputs=outcome.outputs,
        output=question.output,
        mode=method.name,
        task=_task(question, outcome),
        target=outcome.target,
        ledger=ledger,
        axes=input_axes(feeds, graph, outcome),
        tokens=tokens,
        attended=[t for t in attention if t.name in relevance],
        slopes={n: np.asarray(m[0]) for n, m in outcome.slopes.items() if n in relevance},
        notes=(*doubts, *outcome.notes),
        layout=outcome.axes,
        binary=outcome.binary,
        computes=describe(method),
        conserved=method.conserved,
    )


def _doubts(
    question: Question, outcome: Outcome, feeds: Mapping[str, Array], prepared: PreparedOutput
) -> tuple[Note, ...]:
    """What to be careful about: how much of relevance reached the inputs."""
    ledger, method = outcome.ledger, question.method
    if question.through:  # little may be left, which is what was asked for
        return through_notes(question.through, prepared.plan, question.output)
    if ends := prepared.plan.ends(question.output):
        return closed_notes(ledger, ends)
    if method.conserved == "score":
        return reach_notes(ledger, feeds, method.name, slopes=method.carrier == "slope")
    flat = flat_notes(ledger, [outcome.relevance[name][0] for name in feeds])
    jumps = jump_notes(ledger, prepared.plan) if method.conserved == "difference" else ()
    return (*flat, *jumps)


def _told(
    question: Question, outcome: Outcome, feeds: Mapping[str, Array], graph: Graph
) -> dict[str, Any]:
    """Relevance of the inputs and of what is kept, by the names that were asked for."""
    relevance = dict(outcome.relevance)
    for name, shared in graph.aliases.items():
        if name in question.keep and shared in relevance:
            relevance[name] = relevance[shared]
    inner = [name for name in relevance if name in question.keep and name not in feeds]
    return {name: relevance[name] for name in (*feeds, *inner)}


def _task(question: Question, outcome: Outcome) -> str:
    """The task as asked, or as the outputs told where nobody asked."""
    if question.start is not None:
        return OWN_START
    return "detection" if question.open and outcome.axes.columns is not None else question.task


def input_axes(feeds: Mapping[str, Array], graph: Graph, outcome: Outcome) -> dict[str, int | None]:
    """Sample axis of every input that has one entry per sample there."""
    axes = SampleAxes(graph)
    count = outcome.ledger.total().start.shape[1]
    found: dict[str, int | None] = {}
    for name, x in feeds.items():
        axis = axes(name)
        fits = axis is not None and axis < x.ndim and x.shape[axis] == count
        found[name] = int(axis) if axis is not None and fits else None
    return found
