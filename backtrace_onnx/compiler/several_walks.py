"""Which walks a compiled file makes of a method that is more than one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import onnx

from backtrace_onnx.compiler.map_writer import MapWriter
from backtrace_onnx.compiler.point_lists import BackgroundLines, Line, Noise, PointList
from backtrace_onnx.compiler.start_writer import StartWriter
from backtrace_onnx.compiler.walk_writers import PointWriter, WalkWriter
from backtrace_onnx.errors import RequestError
from backtrace_onnx.methods.line_parts import drawn_parts, even_parts
from backtrace_onnx.ops.walks import ExpectedGradients, GradCam, IntegratedGradients, SmoothGrad
from backtrace_onnx.propagation.moving import find_moving
from backtrace_onnx.propagation.values import Values, before
from backtrace_onnx.targets.spatial_tensors import find_spatial

STEPS = 32


def several_walks(
    start: StartWriter, proto: onnx.ModelProto, values: Values, tensors: Sequence[str]
) -> WalkWriter:
    """What writes the walks.

    Args:
        start: that of each of them.
        proto: the model.
        values: its tensors, paired with those at the baseline where there is one.
        tensors: those that are asked for.

    Raises RequestError where the method does not fit the model, or tells of no such tensors.
    """
    question, plan, ops, own = start.question, start.plan, start.ops, start.values
    method, how = question.method, question.method.walks
    if isinstance(how, GradCam):
        if others := set(tensors) - set(plan.graph.inputs):
            raise RequestError(
                f"mode {method.name!r} tells of the inputs only, not of {', '.join(sorted(others))}"
            )
        tensor = find_spatial(plan.graph, question.output, how.tensor, start.site.head.scores)
        return MapWriter(method, ops, plan.graph, own, tensor)
    moving = find_moving(plan, question.output)
    given = (ops, proto, plan.graph, own, moving, start.free)
    points: PointList
    if isinstance(how, SmoothGrad):
        points = Noise(*given, how=how, mode=method.name)
    elif isinstance(how, ExpectedGradients):
        assert question.background is not None
        rows = question.background.values
        drawn, parts = drawn_parts(how, len(next(iter(rows.values()))))
        points = BackgroundLines(*given, parts=parts, rows=rows, drawn=drawn)
    else:
        assert isinstance(how, IntegratedGradients)
        parts = even_parts(how.steps or STEPS)
        points = Line(*given, parts=parts, before=partial(before, values))
    return PointWriter(method, ops, plan.graph, own, points, moving)


__all__ = ["STEPS", "several_walks"]
