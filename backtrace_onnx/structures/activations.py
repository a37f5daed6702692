"""Activation functions of recurrent cells: one operator of ONNX each, or two and three."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backtrace_onnx.ops.vocabulary import Ops, Value


@dataclass(frozen=True)
class ActivationPart:
    """One operator, perhaps with a number as its second operand."""

    op_type: str
    attributes: Mapping[str, float] = field(default_factory=dict)
    operand: float | None = None


_PLAIN = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")
_PARAMETERS: dict[str, tuple[float, ...]] = {
    **{name.lower(): () for name in _PLAIN},
    "leakyrelu": (0.01,),
    "thresholdedrelu": (1.0,),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "affine": (1.0, 0.0),
    "scaledtanh": (1.0, 1.0),
}
"""Defaults of alpha and beta, by name in lower case."""

_OPERATORS = {
    name.lower(): name for name in (*_PLAIN, "LeakyRelu", "ThresholdedRelu", "Elu", "HardSigmoid")
}


@dataclass(frozen=True)
class Activation:
    """One function with its parameters."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    @property
    def parts(self) -> tuple[ActivationPart, ...]:
        """The operators that it is, one after another."""
        if self.name == "affine":
            shift = (ActivationPart("Add", operand=self.beta),) if self.beta else ()
            return (ActivationPart("Mul", operand=self.alpha), *shift)
        if self.name == "scaledtanh":
            scales = (ActivationPart("Mul", operand=number) for number in (self.beta, self.alpha))
            return next(scales), ActivationPart("Tanh"), next(scales)
        count = len(_PARAMETERS[self.name])
        given = dict(zip(("alpha", "beta"), (self.alpha, self.beta)[:count], strict=False))
        return (ActivationPart(_OPERATORS[self.name], given),)

    def __call__(self, e: Ops, z: Value) -> Value:
        for part in self.parts:
            operands = () if part.operand is None else (e.scalar(part.operand),)
            z = e.op(part.op_type, [z, *operands], dict(part.attributes))
        return z


def activations(
    names: tuple[str, ...], alphas: tuple[float, ...], betas: tuple[float, ...]
) -> list[Activation]:
    """The functions named; those that take parameters take the next ones given, or their defaults.

    Raises KeyError for a name that ONNX does not know.
    """
    given = iter(alphas), iter(betas)
    made = []
    for name in names:
        defaults = _PARAMETERS[name.lower()]
        parameters = [next(g, default) for g, default in zip(given, defaults, strict=False)]
        made.append(Activation(name.lower(), *parameters))
    return made
