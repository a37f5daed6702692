"""What a call asks of a model: its arguments read against the graph, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from backtrace_onnx.compiler.file_baselines import (
    Baselines,
    compiled_baselines,
    has_baselines,
)
from backtrace_onnx.compiler.file_question import question_of_file
from backtrace_onnx.engines.tree_walks import of_one_walk
from backtrace_onnx.inputs.background_rows import background_rows, read_samples
from backtrace_onnx.inputs.baselines import Compared, compare
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.inputs.picture_bounds import with_bounds
from backtrace_onnx.inputs.pictures_or_columns import are_columns, are_pictures, take_columns
from backtrace_onnx.inputs.sidecar import meaning_of, opened
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.ops.walks import ExpectedGradients
from backtrace_onnx.policies import find_method
from backtrace_onnx.propagation.idle_rules import idle_notes
from backtrace_onnx.propagation.mode_choice import settle_mode
from backtrace_onnx.targets.attention_tensors import attention_kept
from backtrace_onnx.targets.axis_search import GivenAxes
from backtrace_onnx.targets.detectors import asks_for_boxes
from backtrace_onnx.targets.question import Background, Question, settled
from backtrace_onnx.targets.tensor_choice import (
    apart_note,
    check_amounts,
    find_apart,
    find_kept,
    find_output,
)
from backtrace_onnx.targets.through_choice import find_conditions, names_of

if TYPE_CHECKING:
    from backtrace_onnx.call_arguments import CompileArguments, ExplainArguments
    from backtrace_onnx.compiler.target_input import TargetInput
    from backtrace_onnx.engines.prepared_model import PreparedModel
    from backtrace_onnx.graph.graph import Graph
    from backtrace_onnx.inputs.sidecar import Sidecar
    from backtrace_onnx.targets.prepared_output import PreparedOutput


@dataclass(frozen=True)
class AskedQuestion:
    """What a call of `explain` asks.

    Attributes:
        question: what is explained.
        prepared: the model as it is prepared for the explained tensor.
        compared: what the method compares the inputs with.
        notes: what was assumed, or chosen, or is read apart.
    """

    question: Question
    prepared: PreparedOutput
    compared: Compared
    notes: tuple[Note, ...]

    @property
    def walked(self) -> Question:
        """The question as it is walked: what cuts texts into tokens is kept, too."""
        if self.question.method.walks is not None:
            return self.question
        cut = frozenset(self.prepared.tokens) & self.prepared.plan.carriers
        return replace(self.question, keep=self.question.keep | cut)


def read_question(
    model: PreparedModel,
    told: ExplainArguments,
    parameters: Mapping[str, Any],
    sidecar: Sidecar | None,
    start: Any,
    feeds: Mapping[str, npt.NDArray[Any]],
    *,
    probability: bool,
) -> AskedQuestion:
    """What a call of `explain` asks of the model.

    Args:
        told: every argument of the call.
        parameters: those of the mode.
        sidecar: of the call or of its inputs.
        start: relevance to start from; None where it is as the task says.
        feeds: the inputs.
        probability: whether a signed mode starts at the output, not at its scores.

    Raises:
        RequestError: an argument does not fit the model.
        UnsupportedError: the way from the output meets operators without a rule.
    """
    output = find_output(told["output"], model.graph)
    given = [name for name in ("baseline", "background") if told[name] is not None]
    plan = lambda: model.output(output).plan  # noqa: E731
    choice = settle_mode(told["mode"], plan, output, given, **_shown(model, given, feeds, start))
    method = find_method(choice.mode, **parameters)
    baseline = told["baseline"] if choice.baseline is None else choice.baseline
    compared = compare(method, baseline, told["background"], sidecar)
    apart = find_apart(model.graph, method, told["keep"], names_of(told["through"]))
    prepared = model.output(output, apart)
    graph = prepared.plan.graph
    compared, read = _opened(compared, graph)
    method = with_bounds(method, sidecar, prepared.plan)
    said = _said(told).over(meaning_of(sidecar, output))
    threshold, scaler = 0.5 if said.threshold is None else said.threshold, told["scaler"]
    check_amounts(threshold, scaler)
    keep = told["keep"]
    keep = attention_kept(prepared.plan, output) if keep == "attention" else keep
    axes, kept = said.axes(graph.type(output).shape), find_kept(keep, graph, output)
    how = (told["target"], start, scaler, threshold, axes, kept)
    conditions = find_conditions(told["through"], graph, output)
    more: Any = {"probability": probability, "through": conditions, "apart": apart}
    asked, idle = Question(method, output, "", *how, **more), idle_notes(method, prepared.plan)
    boxes = asks_for_boxes(told["target"])
    question, assumed = settled(asked, said.task, graph, boxes=boxes)
    notes = (*assumed, *choice.notes, *read, *apart_note(apart, model.graph), *idle)
    return AskedQuestion(question, prepared, compared, notes)


def _opened(compared: Compared, graph: Graph) -> tuple[Compared, tuple[Note, ...]]:
    """What is compared with, a background's file read, and what reading it tells."""
    if not isinstance(compared.background, str | os.PathLike):
        return compared, ()
    rows = read_samples(compared.background, graph, compared.sidecar, "background")
    return replace(compared, background=rows), rows.notes


def _shown(
    model: PreparedModel, given: list[str], feeds: Mapping[str, npt.NDArray[Any]], start: Any
) -> dict[str, bool]:
    """What there is to see of inputs and start, where that decides what explains."""
    pictures = not given and are_pictures(model.graph, feeds)
    columns = bool(given) and are_columns(model.graph, feeds)
    return {"pictures": pictures, "columns": columns, "contrast": hasattr(start, "between")}


def _said(told: ExplainArguments) -> OutputMeaning:
    """What a call says of its output."""
    axes = (told["sample_axis"], told["class_axis"], told["columns"])
    return OutputMeaning(told["task"], tuple(told["labels"]), told["threshold"], *axes)


def read_file_question(
    model: PreparedModel,
    told: CompileArguments,
    parameters: Mapping[str, Any],
    rows: Callable[[], Mapping[str, npt.NDArray[Any]]],
    target: TargetInput,
) -> tuple[Question, Baselines | None, tuple[Note, ...]]:
    """What a file is asked to explain, whenever it runs, and what it compares with.

    Args:
        model: without control flow that depends on the inputs.
        told: every argument of `compile`. parameters: those of the mode.
        rows: reads the background of trees, by input.
        target: how the file is told what to explain.

    Raises:
        RequestError: an argument does not fit the model.
    """
    threshold = 0.5 if told["threshold"] is None else told["threshold"]
    check_amounts(threshold, told["scaler"])
    output = find_output(told["output"], model.graph)
    prepared, labels = model.output(output), len(told["labels"])
    axes = GivenAxes(told["sample_axis"], told["class_axis"], told["columns"], labels)
    given = [name for name in ("baseline", "background") if told[name] is not None]
    columns = bool(given) and take_columns(model.graph)
    plan = lambda: prepared.plan  # noqa: E731
    choice = settle_mode(told["mode"], plan, output, given, columns=columns)
    method = with_bounds(
        find_method(choice.mode, **parameters), opened(told["sidecar"]), prepared.plan
    )
    apart = find_apart(model.graph, method, told["tensors"], names_of(told["through"]))
    apart = apart.difference(model.graph.hidden)  # these are refused: no note goes with a file
    graph = model.output(output, apart).plan.graph
    passed = find_conditions(told["through"], graph, output)
    how: Any = {"scaler": told["scaler"], "threshold": threshold, "axes": axes, "apart": apart}
    asked = Question(method, output, **how, through=passed)
    if isinstance(method.walks, ExpectedGradients):
        prepared.plan.check_slopes(output, method)  # else the remedy would be refused, too
        known = background_rows(told["background"], model.graph, opened(told["sidecar"]))
        asked = replace(asked, background=Background(known))
    elif not has_baselines(method):
        own = rows() if told["background"] is not None else None
        asked = of_one_walk(prepared, asked, own, told["start"])
    baseline = told["baseline"] if choice.baseline is None else choice.baseline
    compared = compiled_baselines(
        method, baseline, told["background"], model.graph, opened(told["sidecar"])
    )
    start = told["start"]
    question = question_of_file(prepared, asked, model.graph, told["task"], start, target)
    return question, compared, (*choice.notes, *idle_notes(method, prepared.plan))
