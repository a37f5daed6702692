"""Elementwise operators of several inputs: sums share by contribution, products share alike."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.graph.ids import is_count, is_mask
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Constant
from backtrace_onnx.rules.registry import rule, table
from backtrace_onnx.structures.affine import Affine
from backtrace_onnx.structures.arithmetic import Power, Product, Quotient, Remainder
from backtrace_onnx.structures.base import AsFloats, Halves, Nothing, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.sums import Terms
from backtrace_onnx.structures.winners import ElementwiseWinner


@rule("BatchNormalization")
def batch_normalization(op: Op) -> Structure:
    """An affine map at inference: its scale passes relevance, its constant shift is a bias."""
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


def _of_ids(op: Op) -> Structure:
    """Arithmetic of ids: these share in equal parts; a mask, and what is added, takes none."""
    operands = range(len(op.node.inputs))
    carrying = tuple(i for i in operands if op.carries(i))
    ids = tuple(i for i in carrying if not is_mask(op.graph, op.node.inputs[i]))
    return Halves(ids or carrying)


def _numbers(op: Op, structure: Structure, operands: tuple[int, ...]) -> Structure:
    """The structure, of ids or of numbers; those that are integers are weighed as floats."""
    if op.makes_ids:
        return _of_ids(op)
    return structure if op.output_type().is_float else AsFloats(structure, operands)


def _terms(op: Op, signs: tuple[int, ...], scale: float = 1.0) -> Structure:
    """A sum of terms with these signs, of ids or of numbers."""
    return _numbers(op, Terms(signs, scale), tuple(range(len(signs))))


@rule("Mean")
def mean(op: Op) -> Structure:
    """Shared by contribution, constants are a bias."""
    count = len(op.node.inputs)
    return _terms(op, (1,) * count, 1 / count)


@rule("Add", "Sum")
def add(op: Op) -> Structure:
    """Shared among the terms by contribution; a constant is a bias, and added to ids takes none."""
    return _terms(op, op.attribute("signs") or (1,) * len(op.node.inputs))


@rule("Sub")
def sub(op: Op) -> Structure:
    """Shared between x0 and -x1 by contribution, constants are a bias; ids as in Add."""
    return _terms(op, (1, -1))


@rule("Mul")
def mul(op: Op) -> Structure:
    """Two factors that are data get half each; a constant or a gate takes none.

    Integers are ids, which share in equal parts; but a product with a count, such as a running
    number of tokens, is a place and carries none.
    """
    if op.output_type().is_float:
        return _of_ids(op) if op.makes_ids else Product()
    if any(is_count(op.graph, name) for name in op.node.inputs):
        return Nothing()
    return _of_ids(op)


@rule("Mod")
def modulo(op: Op) -> Structure:
    """The dividend takes all; a data divisor is a gate."""
    return Remainder() if op.carries(0) else Halves((1,))


@rule("Div")
def div(op: Op) -> Structure:
    """The numerator takes all relevance; a divisor that is data is a gate and takes none."""
    return Quotient((0,) if op.carries(0) else (1,))


@rule("Pow")
def power(op: Op) -> Structure:
    """The base takes all relevance; an exponent that is data is a gate and takes none."""
    return Power((0,) if op.carries(0) else (1,))


@rule("Max", "Min")
def extreme(op: Op) -> Structure:
    """The largest or smallest operand takes all, ties share equally; a constant keeps what it wins.

    Where ids are bounded by constants, the ids take all: a bound says nothing about which row.
    """
    count = len(op.node.inputs)
    if op.makes_ids and sum(op.carries(i) for i in range(count)) == 1:
        return _of_ids(op)
    return ElementwiseWinner(count, lowest=op.node.op_type == "Min")


def bits(op: Op) -> Structure:
    """Bits carry no relevance, unless ids are computed with them: these share in equal parts."""
    return _of_ids(op) if op.makes_ids else Nothing()


table(dict.fromkeys(["BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"], bits))
