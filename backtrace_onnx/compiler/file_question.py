"""What a file is compiled to explain; where no task is named, what explaining would take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from backtrace_onnx.compiler.target_input import TargetInput, takes_start
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.targets.detectors import (
    asks_for_boxes,
    declared,
    is_shown,
    may_hold_boxes,
    recognised,
)
from backtrace_onnx.targets.language_models import default_task
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import OWN_START, Question

_SIDE = 256  # of a picture whose size is known only when the file runs


def question_of_file(
    prepared: PreparedOutput,
    question: Question,
    graph: Graph,
    task: str | None,
    start: Any,
    target: TargetInput,
) -> Question:
    """The question that a file answers: with its task, and the axes that this tells.

    Args:
        question: what is asked, but for the task.
        graph: of the whole model.
        task: as `compile` is given it; None: the one that explaining would take.
        start: whether the file takes relevance to start from, as `compile` is given it.
        target: how the file is told what to explain.

    Raises:
        RequestError: the arguments do not go together, or the output may hold a detector's boxes
            and nothing tells before it runs.
    """
    own = takes_start(start, target, task, question.scaler)
    if task is None and not own:
        task = _likely_task(prepared, question, pinned=not asks_for_boxes(target.fixed or None))
    task = OWN_START if own else task or OWN_START
    axes, _ = declared(task, graph, question.output, question.axes)
    return replace(question, task=task, axes=axes, probability=isinstance(start, str))


def _likely_task(prepared: PreparedOutput, question: Question, *, pinned: bool) -> str:
    """What `explain` would explain the output as, where its shape or a trial run tells.

    Args:
        pinned: whether the file explains one given entry, which is no box's.

    Raises:
        RequestError: it may hold a detector's boxes, and nothing tells before it runs.
    """
    graph, output = prepared.plan.graph, question.output
    task, _ = default_task(graph, output)
    if task == "classification" and not pinned and is_shown(graph, output):
        return "detection"
    if task != "classification" or pinned or not may_hold_boxes(graph, output):
        return task
    feeds = _picture(graph)
    question = replace(question, task=task, open=True)
    found = None if feeds is None else _tried(prepared, question, feeds)
    if found == task or (found is not None and _is_fixed(graph, output)):
        return found
    shape = graph.type(output).shape
    raise RequestError(
        f"output {output!r} of shape {shape} may hold a detector's boxes, which is known only when "
        "the model runs; name its task: task='detection', or task='classification'"
    )


def _is_fixed(graph: Graph, output: str) -> bool:
    """Whether the sizes of an output are known, but for the number of samples."""
    shape = graph.type(output).shape
    return shape is not None and all(isinstance(n, int) for n in shape[1:])


def _picture(graph: Graph) -> dict[str, npt.NDArray[Any]] | None:
    """Noise for the input of a model that has but one; None where it has others."""
    if len(graph.inputs) != 1:
        return None
    name = graph.inputs[0]
    kind = graph.type(name)
    first, *others = kind.shape or ()
    shape = [first if isinstance(first, int) else 1]
    shape += [n if isinstance(n, int) else _SIDE for n in others]
    noise = np.random.default_rng(0).random(shape)
    dtype = helper.tensor_dtype_to_np_dtype(kind.dtype) if kind.dtype else np.dtype(np.float32)
    return {name: (noise * 255 if dtype.kind in "iu" else noise).astype(dtype)}


def _tried(
    prepared: PreparedOutput, question: Question, feeds: dict[str, npt.NDArray[Any]]
) -> str | None:
    """The task that the outputs of a run tell; None where the model does not run on this."""
    try:
        arrays = prepared.trace.run(feeds)
    except InputError:
        return None
    outputs = {name: arrays[name] for name in (*prepared.trace.outputs, question.output)}
    if not outputs[question.output].size:  # nothing was found in noise
        return None
    fed = {name: x.shape for name, x in feeds.items()}
    return recognised(question, prepared.plan.graph, outputs, fed)[0].task
