"""What tensors contribute by, of integers the floats that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from backtrace_onnx.graph.dequantising import dequantiser
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.values import Values, read_tensor, read_weighed, weigh


def real_weighed(name: str, plan: Plan, ops: Ops, values: Values, method: Method) -> Value:
    """What a tensor contributes by; integers by what their reader takes them for."""
    return weigh(name, plan, ops, values, method, partial(_real, name, plan, ops))


def _real(name: str, plan: Plan, ops: Ops, values: Values) -> Value:
    """A tensor's value; of one that holds integers the float that its reader takes it for."""
    number, graph = read_tensor(name, plan, ops, values), plan.graph
    if graph.type(name).is_float:
        return number
    reader = dequantiser(graph, name)
    if reader is None:
        return ops.Cast(number, to=ops.float_type)
    scale, *zero = (graph.constants[read] for read in reader.inputs[1:] if read)
    if scale.size > 1:
        number = ops.op(reader.op_type, [number, scale, *zero], dict(reader.attributes))
        return ops.Cast(number, to=ops.float_type)
    number = ops.Cast(number, to=ops.float_type)  # of types, too, that old versions do not read
    for own in zero:
        number = ops.Sub(number, ops.scalar(float(own.flat[0])))
    return ops.Mul(number, ops.scalar(float(scale.flat[0])))


def reader_of(name: str, plan: Plan) -> Callable[..., Value]:
    """What reads what a tensor contributes by."""
    return read_weighed if dequantiser(plan.graph, name) is None else real_weighed


__all__ = ["reader_of", "real_weighed"]
