"""Exact SHAP values of trees: one walk, of trees that know their visits or a background's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.compared_walks import rescaled
from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.walker import Ask
from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.inputs.baselines import Reference, ReferenceReader
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.methods.named import METHODS, SHAP
from backtrace_onnx.ops.method import TreeRule
from backtrace_onnx.ops.walks import TreeShap
from backtrace_onnx.propagation.ledger import Balance, Ledger
from backtrace_onnx.propagation.tree_ways import check_tree_ways
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import Background, Question

Array = npt.NDArray[Any]


def tree_shap(
    ask: Ask,
    question: Question,
    feeds: Mapping[str, Array],
    prepared: PreparedOutput,
    how: TreeShap,
    reader: ReferenceReader,
    given: Any,
) -> Outcome:
    """The SHAP values, and the expected score as what constants absorb.

    Args:
        given: the background, as the caller gives it.

    Raises RequestError where a probability is asked for without a background's rows, and
    UnsupportedError where the model is more than its trees.
    """
    kind = how.perturbation or ("path" if given is None else "background")
    rows = () if given is None and kind == "path" else reader.background(given)
    plan, head = prepared.plan, prepared.head
    if question.probability and head.function:
        if kind == "path":
            raise RequestError(
                f"mode {question.method.name!r}: the probability itself is explained against a "
                "background's rows only: give background=, or leave out start"
            )
        return _of_probability(ask, question, feeds, rows)
    over = [part.node.name for part in head.parts]
    nodes = check_tree_ways(plan, question.output, over)
    rule: TreeRule = "background" if kind == "background" else "recounted" if rows else "visits"
    if rule == "visits":
        _check_counts(prepared, nodes, question.method.name)
    background = _background(prepared, rows, feeds, [n.inputs[0] for n in nodes]) if rows else None
    asked = replace(question, method=replace(SHAP, trees=rule), background=background)
    found = ask(asked, feeds)
    absent = {
        "visits": "as often as the file says that samples went there",
        "recounted": f"as often as {len(rows)} row(s) of the background went there",
        "background": f"those of {len(rows)} row(s) of the background, in the mean",
    }[rule]
    return replace(found, notes=(*found.notes, _note(found, absent)))


def _check_counts(prepared: PreparedOutput, nodes: tuple[Node, ...], mode: str) -> None:
    """Raises RequestError where the file does not say how often nodes were visited."""
    for node in nodes:
        why = prepared.plan.structures[node.name].refuses(SHAP)
        if why is not None and "visited" in why:
            raise RequestError(f"mode {mode!r}: {node.operator} node {node.name!r} {why}")


def _note(found: Outcome, absent: str) -> Note:
    expected = found.ledger.total().constants[0]
    same = np.ptp(expected) <= 1e-6 * np.abs(expected).max(initial=0)
    value = f"{expected[0]:.6g}" if len(expected) and same else "its own for every sample's target"
    return Note(
        f"the score is compared with the expected one, {value}: absent features are {absent}"
    )


def _of_probability(
    ask: Ask, question: Question, feeds: Mapping[str, Array], rows: tuple[Reference, ...]
) -> Outcome:
    """Against each of the rows, by the margin's part of the probability's difference."""
    method = replace(METHODS["deeplift"], name=question.method.name)
    found = rescaled(ask, replace(question, method=method), feeds, rows)
    itself = replace(question, method=replace(SHAP, trees="pairs"), reference=feeds)
    score, books = ask(itself, feeds).ledger.total().start, found.ledger.total()
    balance = Balance(score, books.inputs, score - books.start, books.unassigned)
    ledger = Ledger({}, balance, mixed=found.ledger.mixed)
    return replace(found, ledger=ledger, notes=found.notes[:-1])


def _background(
    prepared: PreparedOutput,
    rows: tuple[Reference, ...],
    feeds: Mapping[str, Array],
    tensors: list[str],
) -> Background:
    """Values of the tensors that trees read, for every row of a background."""
    graph, axes = prepared.plan.graph, SampleAxes(prepared.plan.graph)
    laid = {name: axes(name) for name in feeds}
    together = all(
        axis is None or not isinstance((graph.type(name).shape or ())[axis], int)
        for name, axis in laid.items()
    )
    run = prepared.trace.of_slopes.run
    if together:
        made = run({name: _joined(name, axis, rows) for name, axis in laid.items()})
        values = {name: np.asarray(made[name]) for name in tensors}
    else:
        each = [run(dict(row.arrays)) for row in rows]
        values = {name: np.concatenate([own[name][:1] for own in each]) for name in tensors}
    return Background(f"{len(rows)} row(s)", values)


def _joined(name: str, axis: int | None, rows: tuple[Reference, ...]) -> Array:
    """One sample of each row."""
    if axis is None:
        return rows[0].arrays[name]
    return np.concatenate([row.arrays[name].take([0], axis) for row in rows], axis)


__all__ = ["tree_shap"]
