"""Activation functions of recurrent cells, in ONNX's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backtrace_onnx.ops.vocabulary import Ops, Value

_Text = Callable[[Ops, Value, float, float], Value]

_TEXTS: dict[str, tuple[_Text, tuple[float, ...]]] = {
    "relu": (lambda e, z, a, b: e.Relu(z), ()),
    "tanh": (lambda e, z, a, b: e.Tanh(z), ()),
    "sigmoid": (lambda e, z, a, b: e.Sigmoid(z), ()),
    "softsign": (lambda e, z, a, b: e.Softsign(z), ()),
    "softplus": (lambda e, z, a, b: e.Softplus(z), ()),
    "leakyrelu": (lambda e, z, a, b: e.LeakyRelu(z, alpha=a), (0.01,)),
    "thresholdedrelu": (lambda e, z, a, b: e.ThresholdedRelu(z, alpha=a), (1.0,)),
    "elu": (lambda e, z, a, b: e.Elu(z, alpha=a), (1.0,)),
    "hardsigmoid": (lambda e, z, a, b: e.HardSigmoid(z, alpha=a, beta=b), (0.2, 0.5)),
    "affine": (lambda e, z, a, b: e.Add(e.Mul(z, e.scalar(a)), e.scalar(b)), (1.0, 0.0)),
    "scaledtanh": (
        lambda e, z, a, b: e.Mul(e.Tanh(e.Mul(z, e.scalar(b))), e.scalar(a)),
        (1.0, 1.0),
    ),
}
"""By name in lower case: the text, and the defaults of the parameters it takes."""


@dataclass(frozen=True)
class Activation:
    """One function with its parameters."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    def __call__(self, e: Ops, z: Value) -> Value:
        return _TEXTS[self.name][0](e, z, self.alpha, self.beta)


def activations(
    names: tuple[str, ...], alphas: tuple[float, ...], betas: tuple[float, ...]
) -> list[Activation]:
    """The functions named; those that take parameters take the next ones given, or their defaults.

    Raises KeyError for a name that ONNX does not know.
    """
    given = iter(alphas), iter(betas)
    made = []
    for name in names:
        defaults = _TEXTS[name.lower()][1]
        parameters = [next(g, default) for g, default in zip(given, defaults, strict=False)]
        made.append(Activation(name.lower(), *parameters))
    return made
