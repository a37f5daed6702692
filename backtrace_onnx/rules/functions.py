"""Functions of one input: relevance passes; for signed methods each says its slope once.

A new activation is one line of the table: its name, and its derivative in ONNX's words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import pi, sqrt
from typing import Any

from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.rules.gelu import gelu_derivative, gelu_ratio
from backtrace_onnx.rules.registry import rule, table
from backtrace_onnx.structures.base import Passes, Structure
from backtrace_onnx.structures.functions import (
    AlongAxis,
    Derivative,
    Function,
    PiecewiseConstant,
    Ratio,
)
from backtrace_onnx.structures.moves import Negated


def passes(op: Op) -> Structure:
    """The same elements, perhaps in another type: relevance passes unchanged."""
    return Passes(converts=not op.type(0).is_float and op.output_type().is_float)


def stays(op: Op) -> Structure:
    """The same elements: relevance passes unchanged."""
    return Passes()


table(dict.fromkeys(["Cast", "CastLike"], passes))
table(dict.fromkeys(["Dropout", "Identity"], stays))


def _if(e: Ops, condition: Value, yes: float | Value, no: float | Value) -> Value:
    """`yes` where a condition holds, elsewhere `no`."""
    laid = [e.scalar(x) if isinstance(x, float) else x for x in (yes, no)]
    return e.Where(condition, *laid)


def _above(e: Ops, x: Value, limit: float = 0.0) -> Value:
    """Whether x is greater than a limit."""
    return e.Greater(x, e.scalar(limit))


def _root(e: Ops, inside: Value) -> Value:
    """1 / sqrt(inside)."""
    return e.Reciprocal(e.Sqrt(inside))


def _one_plus(e: Ops, x: Value, sign: float = 1.0) -> Value:
    """1 + sign x^2."""
    return e.Add(e.scalar(1), e.Mul(e.scalar(sign), e.Mul(x, x)))


def _swish(e: Ops, x: Value, alpha: float) -> Value:
    """The derivative of x * sigmoid(alpha x)."""
    s = _swish_ratio(e, x, alpha)
    return e.Add(s, e.Mul(e.Mul(x, e.scalar(alpha)), e.Mul(s, e.Sub(e.scalar(1), s))))


def _swish_ratio(e: Ops, x: Value, alpha: float) -> Value:
    """sigmoid(alpha x)."""
    return e.Sigmoid(e.Mul(x, e.scalar(alpha)) if alpha != 1 else x)


def _mish(e: Ops, x: Value) -> Value:
    """The derivative of x * tanh(softplus(x))."""
    t = _RATIOS["Mish"](e, x)
    return e.Add(t, e.Mul(x, e.Mul(e.Sigmoid(x), _one_plus(e, t, -1.0))))


def _hard_swish(e: Ops, x: Value) -> Value:
    """The derivative of HardSwish: 0 up to -3, 1 from 3 on, x / 3 + 1 / 2 between."""
    ratio = _hard_swish_ratio(e, x)
    inside = e.Cast(e.Less(e.Abs(x), e.scalar(3)), to=e.float_type)
    return e.Add(ratio, e.Mul(e.Sub(ratio, e.scalar(0.5)), inside))


def _hard_swish_ratio(e: Ops, x: Value) -> Value:
    """x / 6 + 1 / 2 between 0 and 1."""
    return e.Clip(e.Add(e.Mul(x, e.scalar(1 / 6)), e.scalar(0.5)), e.zero(), e.scalar(1))


def _inside(e: Ops, y: Value) -> Value:
    """Whether y lies between 0 and 1, where a clipped line still moves."""
    return e.And(_above(e, y), e.Less(y, e.scalar(1)))


_PLAIN: dict[str, Derivative] = {
    "Acos": lambda e, x, y: e.Neg(_root(e, _one_plus(e, x, -1.0))),
    "Acosh": lambda e, x, y: _root(e, e.Sub(e.Mul(x, x), e.scalar(1))),
    "Asin": lambda e, x, y: _root(e, _one_plus(e, x, -1.0)),
    "Asinh": lambda e, x, y: _root(e, _one_plus(e, x)),
    "Atan": lambda e, x, y: e.Reciprocal(_one_plus(e, x)),
    "Atanh": lambda e, x, y: e.Reciprocal(_one_plus(e, x, -1.0)),
    "Cos": lambda e, x, y: e.Neg(e.Sin(x)),
    "Cosh": lambda e, x, y: e.Sinh(x),
    "Erf": lambda e, x, y: e.Mul(e.Exp(e.Neg(e.Mul(x, x))), e.scalar(2 / sqrt(pi))),
    "Exp": lambda e, x, y: y,
    "HardSwish": lambda e, x, y: _hard_swish(e, x),
    "Log": lambda e, x, y: e.Reciprocal(x),
    "Mish": lambda e, x, y: _mish(e, x),
    "Reciprocal": lambda e, x, y: e.Neg(e.Mul(y, y)),
    "Sigmoid": lambda e, x, y: e.Mul(y, e.Sub(e.scalar(1), y)),
    "Sin": lambda e, x, y: e.Cos(x),
    "Sinh": lambda e, x, y: e.Cosh(x),
    "Softplus": lambda e, x, y: e.Sigmoid(x),
    "Softsign": lambda e, x, y: e.Reciprocal(_square(e, e.Add(e.scalar(1), e.Abs(x)))),
    "Sqrt": lambda e, x, y: e.Div(e.scalar(0.5), y),
    "Tan": lambda e, x, y: _one_plus(e, y),
    "Tanh": lambda e, x, y: _one_plus(e, y, -1.0),
}

_RATIOS: dict[str, Ratio] = {
    "HardSwish": _hard_swish_ratio,
    "Mish": lambda e, x: e.Tanh(e.Softplus(x)),
}
"""Of functions that are x times something: that."""

_BOUNDED = {
    "Atan", "Cos", "Erf", "HardSwish", "Mish", "Sigmoid", "Sin", "Softplus", "Softsign", "Tanh"
}  # fmt: skip


def _square(e: Ops, x: Value) -> Value:
    """x^2."""
    return e.Mul(x, x)


def _with(
    derivative: Callable[..., Value], ratio: Callable[..., Value] | None = None, **defaults: Any
) -> Callable[[Op], Structure]:
    """A function with attributes, which its derivative, and its ratio, are given by name."""

    def build(op: Op) -> Structure:
        """Relevance passes unchanged."""
        given = {name: op.attribute(name, default) for name, default in defaults.items()}
        return Function(
            lambda e, x, y: derivative(e, x, y, **given),
            ratio=partial(ratio, **given) if ratio else None,
            bounded=True,
        )

    return build


gelu = _with(
    lambda e, x, y, approximate: gelu_derivative(e, x, approximate), gelu_ratio, approximate="none"
)

_PARAMETRIC: dict[str, Callable[[Op], Structure]] = {
    "Celu": _with(
        lambda e, x, y, alpha: _if(e, _above(e, x), 1.0, e.Exp(e.Div(x, e.scalar(alpha)))),
        alpha=1.0,
    ),
    "Elu": _with(
        lambda e, x, y, alpha: _if(e, _above(e, x), 1.0, e.Add(y, e.scalar(alpha))), alpha=1.0
    ),
    "Gelu": gelu,
    "HardSigmoid": _with(
        lambda e, x, y, alpha: _if(e, _inside(e, y), float(alpha), 0.0), alpha=0.2
    ),
    "LeakyRelu": _with(lambda e, x, y, alpha: _if(e, _above(e, x), 1.0, float(alpha)), alpha=0.01),
    "Selu": _with(
        lambda e, x, y, alpha, gamma: _if(
            e, _above(e, x), float(gamma), e.Add(y, e.scalar(alpha * gamma))
        ),
        alpha=1.67326319217681884765625,
        gamma=1.05070102214813232421875,
    ),
    "Shrink": _with(lambda e, x, y, lambd: _if(e, _above(e, e.Abs(x), lambd), 1.0, 0.0), lambd=0.5),
    "Swish": _with(lambda e, x, y, alpha: _swish(e, x, alpha), _swish_ratio, alpha=1.0),
    "ThresholdedRelu": _with(
        lambda e, x, y, alpha: _if(e, _above(e, x, alpha), 1.0, 0.0), alpha=1.0
    ),
}


def function(
    derivative: Derivative, *, bounded: bool = False, ratio: Ratio | None = None
) -> Callable[[Op], Structure]:
    """The rule of a function of one input, element by element, with this derivative.

    `bounded`: that is nowhere infinite. `ratio`: as of `Function`.
    """

    def build(op: Op) -> Structure:
        """Relevance passes unchanged."""
        return Function(derivative, ratio=ratio, bounded=bounded)

    return build


def _flat(op: Op) -> Structure:
    """Relevance passes unchanged; there is no slope."""
    return PiecewiseConstant()


@rule("Relu")
def relu(op: Op) -> Structure:
    """Relevance passes unchanged."""
    return Function(
        lambda e, x, y: _if(e, _above(e, x), 1.0, 0.0), True, switches=True, bounded=True
    )


@rule("Abs")
def absolute(op: Op) -> Structure:
    """Relevance passes unchanged."""
    return Function(lambda e, x, y: e.Sign(x), homogeneous=True, bounded=True)


table(
    {
        name: function(known, bounded=name in _BOUNDED, ratio=_RATIOS.get(name))
        for name, known in _PLAIN.items()
    },
)
table(_PARAMETRIC)
table(dict.fromkeys(["Ceil", "Floor", "Hardmax", "Round", "Sign"], _flat))


@rule("Neg")
def negated(op: Op) -> Structure:
    """Relevance passes unchanged."""
    return Negated()


@rule("PRelu")
def prelu(op: Op) -> Structure:
    """Relevance passes unchanged; the slope of the negative side takes none."""
    return Function(
        lambda e, x, y: _if(e, _above(e, x), 1.0, e.Div(y, _nonzero(e, x))),
        homogeneous=True,
        parameters={1: lambda e, x, y, slope: e.Min(x, e.zero())},
    )


@rule("Clip")
def clip(op: Op) -> Structure:
    """Relevance passes unchanged; bounds take none."""

    def bound(e: Ops, x: Value, y: Value, limit: Value) -> Value:
        return _if(e, e.And(e.Equal(y, limit), e.Not(e.Equal(x, y))), 1.0, 0.0)

    return Function(
        lambda e, x, y: _if(e, e.Equal(x, y), 1.0, 0.0), parameters={1: bound, 2: bound}
    )


def _nonzero(e: Ops, x: Value) -> Value:
    """x with 1 in the place of 0, to divide by."""
    return e.Where(e.Equal(x, e.zero()), e.scalar(1), x)


@rule("Softmax", "LogSoftmax")
def softmax(op: Op) -> Structure:
    """Relevance passes unchanged; slopes by the Jacobian, or not at all, as the method says."""
    logarithmic = op.node.op_type == "LogSoftmax"
    if op.version < 13:  # over all axes from this one on, laid in one
        return AlongAxis(
            tuple(range(int(op.attribute("axis", 1)) % op.rank(0), op.rank(0))), logarithmic
        )
    return AlongAxis((int(op.attribute("axis", -1)),), logarithmic)
