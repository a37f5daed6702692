"""Elementwise operators: activations pass, sums share by contribution, products share alike."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.backends.base import Constant
from backtrace_onnx.errors import RuleError
from backtrace_onnx.registry import Op, rule, table
from backtrace_onnx.structures.affine import Affine
from backtrace_onnx.structures.base import Halves, Nothing, Passes, Structure
from backtrace_onnx.structures.linear import Linear, Terms
from backtrace_onnx.structures.moves import ElementwiseWinner


def passes(op: Op) -> Structure:
    """Relevance passes unchanged."""
    return Passes()


_PASS = """
Abs Acos Acosh Asin Asinh Atan Atanh Cast CastLike Ceil Celu Clip Cos Cosh DequantizeLinear
Dropout DynamicQuantizeLinear Elu Erf Exp Floor Gelu GroupNormalization HardSigmoid HardSwish
Hardmax Identity InstanceNormalization LRN LayerNormalization LeakyRelu Log LogSoftmax
LpNormalization MeanVarianceNormalization Mish Neg PRelu QuantizeLinear RMSNormalization Reciprocal
Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh
ThresholdedRelu
"""

table(dict.fromkeys(_PASS.split(), passes))


@rule("BatchNormalization")
def batch_normalization(op: Op) -> Structure:
    """The affine map that it is at inference: the scale passes, a constant shift is a bias."""
    node = op.node
    if op.attribute("training_mode", 0):
        raise RuleError(
            f"BatchNormalization node {node.name!r} is in training mode; "
            "export the model for inference"
        )
    if not op.carries(0):
        raise RuleError(f"BatchNormalization node {node.name!r}: its input is no data")
    laid, epsilon = (-1, *[1] * (op.rank(0) - 2)), float(op.attribute("epsilon", 1e-5))
    statistics = [s for i in range(1, 5) if (s := op.constant(i)) is not None]
    if len(statistics) < 4:
        return Affine(laid, epsilon)
    gamma, beta, mean, variance = (np.asarray(s, np.float64).reshape(laid) for s in statistics)
    scale = gamma / np.sqrt(variance + epsilon)
    return Linear(
        forward=lambda e, x, w: e.Mul(x, w),
        adjoint=lambda e, k, g, factors, shape: e.Mul(g, factors[1]),
        factors=(0,),
        bias=beta - mean * scale,
        weights=lambda step: (Constant(f"scale@{node.name}", scale.astype(step.ops.dtype)),),
    )


def _terms(op: Op, signs: tuple[int, ...]) -> Structure:
    return Terms(signs) if op.output_type().is_float else Nothing()


@rule("Add", "Sum", "Mean")
def add(op: Op) -> Structure:
    """Shared by contribution; constants are a bias."""
    return _terms(op, op.attribute("signs") or (1,) * len(op.node.inputs))


@rule("Sub")
def sub(op: Op) -> Structure:
    """Shared by contribution x_0 and -x_1; constants are a bias."""
    return _terms(op, (1, -1))


@rule("Mul")
def mul(op: Op) -> Structure:
    """Half each; a constant or a gate takes none."""
    return Halves() if op.output_type().is_float else Nothing()


@rule("Div", "Mod")
def div(op: Op) -> Structure:
    """The numerator takes all; a data divisor is a gate."""
    if not op.output_type().is_float:
        return Nothing()
    return Halves((0,)) if op.carries(0) else Halves((1,))


@rule("Pow")
def power(op: Op) -> Structure:
    """The base takes all; a data exponent is a gate."""
    return Halves((0,)) if op.carries(0) else Halves((1,))


@rule("Max", "Min")
def extreme(op: Op) -> Structure:
    """To the winner; ties share alike; what a constant wins is booked to it."""
    return ElementwiseWinner(len(op.node.inputs)) if op.output_type().is_float else Nothing()
