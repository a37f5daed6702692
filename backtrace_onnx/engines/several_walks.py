"""Methods that are made of several walks of `gradient`, one function for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.activation_maps import gradcam
from backtrace_onnx.engines.compared_walks import rescaled
from backtrace_onnx.engines.line_walks import expected_gradients, integrated_gradients
from backtrace_onnx.engines.noisy_walks import smoothgrad
from backtrace_onnx.engines.outcome import Outcome, Progress
from backtrace_onnx.engines.tree_walks import tree_shap
from backtrace_onnx.engines.walked_model import WalkedModel
from backtrace_onnx.engines.walker import Walker
from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.baselines import Compared, ReferenceReader
from backtrace_onnx.ops.walks import ExpectedGradients, GradCam, SmoothGrad, TreeShap
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import Question
from backtrace_onnx.targets.spatial_tensors import find_spatial

Array = npt.NDArray[Any]


def walk_several(
    model: WalkedModel,
    question: Question,
    feeds: Mapping[str, Array],
    compared: Compared,
    progress: Progress | None = None,
) -> Outcome:
    """The outcome of a question whose method is made of several walks, or compares inputs.

    Args:
        model: what is asked.
        compared: what the caller wants the inputs to be compared with.

    Raises RequestError where the method does not fit the model, or tells of no tensors inside.
    """
    prepared, how = model.prepared(question), question.method.walks
    graph, told, keep = prepared.plan.graph, progress or (lambda done, of: None), question.keep
    reader = ReferenceReader(graph, compared.sidecar, feeds, compared.texts)
    if how is None:
        references = reader.baselines(compared.baseline, compared.background)
        return rescaled(model.ask, question, feeds, references, prepared)
    if isinstance(how, TreeShap):
        return tree_shap(model.ask, question, feeds, prepared, how, reader, compared.background)
    if question.through:
        raise RequestError(
            f"mode {question.method.name!r} is made of several walks, and through= is for modes of "
            "one: lrp, attnlrp, gradient, default and others"
        )
    if isinstance(how, GradCam):
        return _gradcam(model, question, feeds, prepared, how)
    walker = Walker(model, question, feeds)
    if isinstance(how, SmoothGrad):
        return smoothgrad(walker, how, told, keep)
    if isinstance(how, ExpectedGradients):
        rows = reader.background(compared.background)
        return expected_gradients(walker, how, rows, told, keep)
    references = reader.baselines(compared.baseline, compared.background)
    return integrated_gradients(walker, how, references, told, keep)


def _gradcam(
    model: WalkedModel,
    question: Question,
    feeds: Mapping[str, Array],
    prepared: PreparedOutput,
    how: GradCam,
) -> Outcome:
    if question.keep:
        raise RequestError(
            f"mode {question.method.name!r} tells of the inputs only, not of "
            f"{', '.join(sorted(question.keep)[:3])}; modes gradient and attnlrp tell of every one"
        )
    tensor = find_spatial(prepared.plan.graph, question.output, how.tensor, prepared.head.scores)
    walker = Walker(model, question, feeds, (tensor,))
    kept = prepared.trace_of(walker.method, also=(tensor,), weighed={tensor})
    activations = kept.run(feeds)[tensor]
    return gradcam(walker, tensor, np.asarray(walker.first.relevance[tensor][0]), activations)
