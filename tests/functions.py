"""Pointwise functions, each in the ways that exporters write it, and softmaxes beside them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.function_networks import Write, Writer, op
from tests.graphs import FLOAT
from tests.softmaxes import SOFTMAXES

ROOT = float(np.sqrt(2))
SLOPE = float(np.sqrt(2 / np.pi))


def _phi(g: Writer, x: str) -> str:
    return g("Add", g("Erf", g("Div", x, ROOT)), 1.0)


def _cubic(g: Writer, x: str) -> str:
    cube = g("Mul", g("Pow", x, 3.0), 0.044715)
    return g("Tanh", g("Mul", g("Add", x, cube), SLOPE))


def _factored(g: Writer, x: str) -> str:
    inner = g("Mul", g("Mul", x, SLOPE), g("Add", 1.0, g("Mul", 0.044715, g("Mul", x, x))))
    return g("Tanh", inner)


GELU: dict[str, Write] = {
    "native": op("Gelu"),
    "torch": lambda g, x: g("Mul", g("Mul", x, _phi(g, x)), 0.5),
    "half first": lambda g, x: g("Mul", g("Mul", x, 0.5), _phi(g, x)),
    "half of phi": lambda g, x: g("Mul", x, g("Mul", _phi(g, x), 0.5)),
    "spread": lambda g, x: g(
        "Mul", x, g("Add", 0.5, g("Mul", 0.5, g("Erf", g("Mul", x, 1 / ROOT))))
    ),
    "complement": lambda g, x: g(
        "Sub", x, g("Mul", g("Mul", x, 0.5), g("Sub", 1.0, g("Erf", g("Div", x, ROOT))))
    ),
}
FAST_GELU: dict[str, Write] = {
    "native": op("Gelu", approximate="tanh"),
    "torch": lambda g, x: g("Mul", 0.5, g("Mul", x, g("Add", _cubic(g, x), 1.0))),
    "half first": lambda g, x: g("Mul", g("Mul", x, 0.5), g("Add", 1.0, _cubic(g, x))),
    "factored": lambda g, x: g("Mul", g("Mul", x, 0.5), g("Add", 1.0, _factored(g, x))),
    "sigmoid": lambda g, x: g(
        "Mul",
        x,
        g("Sigmoid", g("Mul", 2 * SLOPE, g("Add", x, g("Mul", 0.044715, g("Pow", x, 3.0))))),
    ),
}


def _logistic(g: Writer, x: str) -> str:
    return g("Reciprocal", g("Add", g("Exp", g("Neg", x)), 1.0))


def _tanh_logistic(g: Writer, x: str) -> str:
    return g("Mul", 0.5, g("Add", 1.0, g("Tanh", g("Mul", x, 0.5))))


SILU: dict[str, Write] = {
    "sigmoid": lambda g, x: g("Mul", x, g("Sigmoid", x)),
    "quotient": lambda g, x: g("Div", x, g("Add", 1.0, g("Exp", g("Neg", x)))),
    "logistic": lambda g, x: g("Mul", _logistic(g, x), x),
    "tanh": lambda g, x: g("Mul", x, _tanh_logistic(g, x)),
    "behind an Identity": lambda g, x: g("Mul", g("Identity", x), g("Sigmoid", x)),
}


def _log1p(g: Writer, x: str) -> str:
    return g("Log", g("Add", 1.0, x))


def _stable(g: Writer, x: str) -> str:
    return g("Add", g("Max", x, 0.0), _log1p(g, g("Exp", g("Neg", g("Abs", x)))))


SOFTPLUS: dict[str, Write] = {
    "native": op("Softplus"),
    "naive": lambda g, x: _log1p(g, g("Exp", x)),
    "stable": _stable,
    "Relu": lambda g, x: g("Add", g("Relu", x), _log1p(g, g("Exp", g("Neg", g("Abs", x))))),
    "sigmoid": lambda g, x: g("Neg", g("Log", g("Sigmoid", g("Neg", x)))),
}
MISH: dict[str, Write] = {
    "native": op("Mish"),
    "Softplus": lambda g, x: g("Mul", x, g("Tanh", g("Softplus", x))),
    "naive": lambda g, x: g("Mul", g("Tanh", _log1p(g, g("Exp", x))), x),
    "stable": lambda g, x: g("Mul", x, g("Tanh", _stable(g, x))),
}
HARD_SWISH: dict[str, Write] = {
    "native": op("HardSwish"),
    "Clip": lambda g, x: g("Div", g("Mul", x, g("Clip", g("Add", x, 3.0), 0.0, 6.0)), 6.0),
    "HardSigmoid": lambda g, x: g("Mul", x, g("HardSigmoid", x, alpha=1 / 6, beta=0.5)),
    "Min and Max": lambda g, x: g(
        "Mul", x, g("Mul", g("Min", g("Max", g("Add", x, 3.0), 0.0), 6.0), 1 / 6)
    ),
}
HARD_SIGMOID: dict[str, Write] = {
    "native": op("HardSigmoid", alpha=1 / 6, beta=0.5),
    "Clip": lambda g, x: g("Clip", g("Add", g("Mul", x, 1 / 6), 0.5), 0.0, 1.0),
    "Relu6": lambda g, x: g("Div", g("Clip", g("Add", x, 3.0), 0.0, 6.0), 6.0),
    "Min and Max": lambda g, x: g("Mul", g("Min", g("Max", g("Add", x, 3.0), 0.0), 6.0), 1 / 6),
}
ELU: dict[str, Write] = {
    "native": op("Elu"),
    "Where": lambda g, x: g("Where", g("Greater", x, 0.0), x, g("Sub", g("Exp", x), 1.0)),
    "Relu and Min": lambda g, x: g("Add", g("Relu", x), g("Min", 0.0, g("Sub", g("Exp", x), 1.0))),
}
ALPHA, GAMMA = 1.6732632, 1.0507010
SELU: dict[str, Write] = {
    "native": op("Selu"),
    "Elu": lambda g, x: g("Mul", GAMMA, g("Elu", x, alpha=ALPHA)),
    "Where": lambda g, x: g(
        "Mul",
        GAMMA,
        g("Where", g("Greater", x, 0.0), x, g("Mul", ALPHA, g("Sub", g("Exp", x), 1.0))),
    ),
}
CELU: dict[str, Write] = {
    "native": op("Celu", alpha=2.0),
    "Where": lambda g, x: g(
        "Where",
        g("Less", x, 0.0),
        g("Mul", 2.0, g("Sub", g("Exp", g("Div", x, 2.0)), 1.0)),
        x,
    ),
}
LEAKY: dict[str, Write] = {
    "native": op("LeakyRelu", alpha=0.01),
    "Max": lambda g, x: g("Max", x, g("Mul", x, 0.01)),
    "Where": lambda g, x: g("Where", g("Greater", x, 0.0), x, g("Mul", 0.01, x)),
    "two Relu": lambda g, x: g("Sub", g("Relu", x), g("Mul", 0.01, g("Relu", g("Neg", x)))),
    "PRelu": op("PRelu", 0.01),
}
RELU: dict[str, Write] = {
    "native": op("Relu"),
    "Max": lambda g, x: g("Max", 0.0, x),
    "Clip": op("Clip", 0.0),
    "Where": lambda g, x: g("Where", g("Greater", x, 0.0), x, 0.0),
    "Abs": lambda g, x: g("Div", g("Add", x, g("Abs", x)), 2.0),
    "Cast": lambda g, x: g("Mul", x, g("Cast", g("Greater", x, 0.0), to=FLOAT)),
}
RELU6: dict[str, Write] = {
    "Clip": op("Clip", 0.0, 6.0),
    "Min and Max": lambda g, x: g("Min", g("Max", x, 0.0), 6.0),
    "Relu and Min": lambda g, x: g("Min", g("Relu", x), 6.0),
}
SOFTSIGN: dict[str, Write] = {
    "native": op("Softsign"),
    "Div": lambda g, x: g("Div", x, g("Add", 1.0, g("Abs", x))),
}
SIGMOID: dict[str, Write] = {
    "native": op("Sigmoid"),
    "Reciprocal": _logistic,
    "Div": lambda g, x: g("Div", 1.0, g("Add", 1.0, g("Exp", g("Mul", x, -1.0)))),
    "Pow": lambda g, x: g("Pow", g("Add", 1.0, g("Exp", g("Neg", x))), -1.0),
    "two Exp": lambda g, x: g("Div", g("Exp", x), g("Add", 1.0, g("Exp", x))),
    "one Exp": lambda g, x: (lambda e: g("Div", e, g("Add", 1.0, e)))(g("Exp", x)),
    "Tanh": _tanh_logistic,
    "joined with nothing": lambda g, x: g("Sigmoid", g("Concat", x, axis=-1)),
}


def _hyperbolic(g: Writer, x: str) -> str:
    up, down = g("Exp", x), g("Exp", g("Neg", x))
    return g("Div", g("Sub", up, down), g("Add", up, down))


def _squared(g: Writer, x: str) -> str:
    e = g("Exp", g("Mul", 2.0, x))
    return g("Div", g("Sub", e, 1.0), g("Add", e, 1.0))


TANH: dict[str, Write] = {
    "native": op("Tanh"),
    "hyperbolic": _hyperbolic,
    "squared": _squared,
    "sigmoid": lambda g, x: g("Sub", g("Mul", 2.0, g("Sigmoid", g("Mul", 2.0, x))), 1.0),
    "complement": lambda g, x: g(
        "Sub", 1.0, g("Div", 2.0, g("Add", 1.0, g("Exp", g("Mul", 2.0, x))))
    ),
}


SIGMOID |= {
    "Pow of e": lambda g, x: g("Reciprocal", g("Add", 1.0, g("Pow", float(np.e), g("Neg", x)))),
    "Softplus": lambda g, x: g("Exp", g("Neg", g("Softplus", g("Neg", x)))),
    "two classes": lambda g, x: g(
        "Squeeze",
        g(
            "Gather",
            g(
                "Softmax",
                g(
                    "Concat",
                    g("Mul", g("Unsqueeze", x, np.array([-1])), 0.0),
                    g("Unsqueeze", x, np.array([-1])),
                    axis=-1,
                ),
            ),
            np.array([1]),
            axis=-1,
        ),
        np.array([-1]),
    ),
}
SHARP_SIGMOID: dict[str, Write] = {
    "native": lambda g, x: g("Sigmoid", g("Add", g("Mul", x, 3.0), 0.5)),
    "Reciprocal": lambda g, x: _logistic(g, g("Add", g("Mul", x, 3.0), 0.5)),
    "turned": lambda g, x: g("Div", 1.0, g("Add", 1.0, g("Exp", g("Sub", -0.5, g("Mul", x, 3.0))))),
    "Tanh": lambda g, x: _tanh_logistic(g, g("Add", g("Mul", x, 3.0), 0.5)),
    "weighed": lambda g, x: g(
        "Reciprocal", g("Add", 1.0, g("Mul", np.exp(np.float32(-0.5)), g("Exp", g("Mul", x, -3.0))))
    ),
}
FLAT_TANH: dict[str, Write] = {
    "native": lambda g, x: g("Tanh", g("Mul", x, 0.5)),
    "squared": lambda g, x: (lambda e: g("Div", g("Sub", e, 1.0), g("Add", e, 1.0)))(g("Exp", x)),
    "sigmoid": lambda g, x: g("Sub", g("Mul", 2.0, g("Sigmoid", x)), 1.0),
    "hyperbolic": lambda g, x: _hyperbolic(g, g("Div", x, 2.0)),
}

POINTWISE: Mapping[str, dict[str, Write]] = {
    "Gelu": GELU,
    "fast Gelu": FAST_GELU,
    "Silu": SILU,
    "Softplus": SOFTPLUS,
    "Mish": MISH,
    "HardSwish": HARD_SWISH,
    "HardSigmoid": HARD_SIGMOID,
    "Elu": ELU,
    "Selu": SELU,
    "Celu": CELU,
    "LeakyRelu": LEAKY,
    "Relu": RELU,
    "Relu6": RELU6,
    "Softsign": SOFTSIGN,
    "Sigmoid": SIGMOID,
    "Tanh": TANH,
    "Sigmoid of 3 x + .5": SHARP_SIGMOID,
    "Tanh of x / 2": FLAT_TANH,
    **SOFTMAXES,
}

# Normalisations --------------------------------------------------------------------------------
