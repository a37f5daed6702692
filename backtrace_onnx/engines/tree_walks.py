"""Exact SHAP values of trees: one walk, of trees that know their visits or a background's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.compared_walks import rescaled
from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.walked_model import Ask
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
    head = prepared.head
    kind = how.perturbation or ("path" if given is None else "background")
    rows = () if given is None and kind == "path" else reader.background(given)
    if question.probability and head.function:
        if kind == "path":
            raise RequestError(
                f"mode {question.method.name!r}: the probability itself is explained against a "
                "background's rows only: give background=, or leave out start"
            )
        return _of_probability(ask, question, feeds, rows, prepared)
    rule = _rule(kind, bool(rows))
    nodes = _trees(prepared, question, rule)
    background = _background(prepared, rows, feeds, [n.inputs[0] for n in nodes]) if rows else None
    asked = replace(question, method=replace(SHAP, trees=rule), background=background)
    found = ask(asked, feeds)
    absent = {
        "visits": "as often as the file says that samples went there",
        "recounted": f"as often as {len(rows)} row(s) of the background went there",
        "background": f"those of {len(rows)} row(s) of the background, in the mean",
    }[rule]
    return replace(found, notes=(*found.notes, _note(found, absent)))


def of_one_walk(
    prepared: PreparedOutput, question: Question, rows: Mapping[str, Array] | None, start: Any
) -> Question:
    """The question that a file answers: of mode shap, that of one walk.

    Args:
        rows: a background, by input; it becomes constants of the file.
        start: as `compile` is given it.

    Raises as `tree_shap` does, and RequestError for a background that no other mode takes.
    """
    how, mode = question.method.walks, question.method.name
    if not isinstance(how, TreeShap):
        if rows is not None:
            raise RequestError(
                f"mode {mode!r} compiles without a background; shap and expected_gradients take one"
            )
        return question
    kind = how.perturbation or ("path" if rows is None else "background")
    if kind == "background" and rows is None:
        raise RequestError("a background is needed: background=, an array of samples")
    if isinstance(start, str) and prepared.head.function:
        raise RequestError(
            f"a file of mode {mode!r} explains the score; compile mode deeplift for "
            "start='probability', against one baseline"
        )
    rule = _rule(kind, rows is not None)
    nodes = _trees(prepared, question, rule)
    background = None
    if rows is not None:
        made = prepared.trace_of(SHAP).run(rows)
        background = Background({n.inputs[0]: np.asarray(made[n.inputs[0]]) for n in nodes})
    return replace(question, method=replace(SHAP, trees=rule), background=background)


def _rule(kind: str, backed: bool) -> TreeRule:
    return "background" if kind == "background" else "recounted" if backed else "visits"


def _trees(prepared: PreparedOutput, question: Question, rule: TreeRule) -> tuple[Node, ...]:
    """The nodes with trees. Raises RequestError where the file should say how often nodes of theirs
    were visited, and does not."""
    over = [part.node.name for part in prepared.head.parts]
    nodes = check_tree_ways(prepared.plan, question.output, over)
    for node in nodes if rule == "visits" else ():
        why = prepared.plan.structures[node.name].refuses(SHAP)
        if why is not None and "visited" in why:
            mode = question.method.name
            raise RequestError(f"mode {mode!r}: {node.operator} node {node.name!r} {why}")
    return nodes


def _note(found: Outcome, absent: str) -> Note:
    expected = found.ledger.total().constants[0]
    same = np.ptp(expected) <= 1e-6 * np.abs(expected).max(initial=0)
    value = f"{expected[0]:.6g}" if len(expected) and same else "its own for every sample's target"
    return Note(
        f"the score is compared with the expected one, {value}: absent features are {absent}"
    )


def _of_probability(
    ask: Ask,
    question: Question,
    feeds: Mapping[str, Array],
    rows: tuple[Reference, ...],
    prepared: PreparedOutput,
) -> Outcome:
    """Against each of the rows, by the margin's part of the probability's difference."""
    method = replace(METHODS["deeplift"], name=question.method.name)
    found = rescaled(ask, replace(question, method=method), feeds, rows, prepared)
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
    run = prepared.trace_of(SHAP).run
    if together:
        made = run({name: _joined(name, axis, rows) for name, axis in laid.items()})
        values = {name: np.asarray(made[name]) for name in tensors}
    else:
        each = [run(dict(row.arrays)) for row in rows]
        values = {name: np.concatenate([own[name][:1] for own in each]) for name in tensors}
    return Background(values)


def _joined(name: str, axis: int | None, rows: tuple[Reference, ...]) -> Array:
    """One sample of each row."""
    if axis is None:
        return rows[0].arrays[name]
    return np.concatenate([row.arrays[name].take([0], axis) for row in rows], axis)


__all__ = ["of_one_walk", "tree_shap"]
