"""Quantisation: relevance passes, as if nothing were rounded; steps have a first and a last one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import TensorProto

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.ops.op import Op
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Passes, Structure
from backtrace_onnx.structures.quantised import Quantised, Requantised, Rounded, SeveralSteps

_STEPS = {
    getattr(TensorProto, name): (least, most)
    for bits in (2, 4, 8, 16)
    for name, least, most in (
        (f"INT{bits}", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        (f"UINT{bits}", 0, 2**bits - 1),
    )
    if hasattr(TensorProto, name)  # those of 2 bits are of newer versions
}
"""The first and last integer of element types."""


@rule("DequantizeLinear")
def dequantised(op: Op) -> Structure:
    """The same elements: relevance passes unchanged."""
    return Passes(held=(1,))


@rule("QuantizeLinear", "DynamicQuantizeLinear")
def quantised(op: Op) -> Structure:
    """The same elements, in steps: relevance passes unchanged."""
    dynamic = op.node.op_type == "DynamicQuantizeLinear"
    own = op.node.outputs[1] if dynamic else op.node.inputs[1]
    steps = {_step_of(own, name, op.graph) for name in _scales_read(op.node.outputs[0], op.graph)}
    if steps <= {None}:
        ends = None if dynamic else _ends(op)
        if ends is not None:
            return Quantised(*ends)
        return Passes(held=(1,)) if op.node.outputs[0] in op.graph.computed else Rounded(held=(1,))
    step, *more = steps
    laid = () if dynamic else _laid(op)
    if more or step is None or laid is None:
        return SeveralSteps(held=(1,))
    return Requantised(step, None if dynamic else 1, laid)


def _ends(op: Op) -> tuple[float, float, float] | None:
    """The numbers that the first and last step stand for, and the size of a step; None where there
    are several, or they are not known, or a bias that comes later is joined to what is read."""
    if op.node.outputs[0] in op.graph.computed:
        return None
    scale, zero = op.constant(1), op.constant(2)
    ends = _STEPS.get(op.graph.type(op.node.outputs[0]).dtype)
    if scale is None or ends is None or (zero is None and op.has(2)):
        return None
    steps, zeros = np.unique(scale), np.unique(0 if zero is None else zero)
    if len(steps) != 1 or len(zeros) != 1:
        return None
    step, none = float(steps[0]), int(zeros[0])
    return (ends[0] - none) * step, (ends[1] - none) * step, step


def _scales_read(tensor: str, graph: Graph) -> Iterator[str]:
    """The scale by which each who reads a tensor does; operators that move integers are passed."""
    for node in graph.consumers.get(tensor, ()):
        if node.inputs[0] != tensor:
            continue
        if node.operator == "DequantizeLinear":
            yield node.inputs[1]
        elif not graph.type(node.outputs[0]).is_float:
            yield from _scales_read(node.outputs[0], graph)


def _step_of(own: str, read: str, graph: Graph) -> float | None:
    """The number that is read as a scale; None where it is the own one, or is not known."""
    array, mine = graph.constants.get(read), graph.constants.get(own)
    if read == own or array is None or len(np.unique(array)) != 1:
        return None
    if mine is not None and np.allclose(mine, array, rtol=1e-6, atol=0):
        return None
    return float(array.flat[0])


def _laid(op: Op) -> tuple[int, ...] | None:
    """Shape in which the scale is broadcast against the data; None where it does not so."""
    shape, rank = op.type(1).shape, op.graph.type(op.node.inputs[0]).rank
    if shape in ((), (1,)):
        return ()
    if shape is None or len(shape) != 1 or rank is None:
        return None
    axis = int(op.attribute("axis", 1)) % rank
    return (-1, *(1,) * (rank - axis - 1))
