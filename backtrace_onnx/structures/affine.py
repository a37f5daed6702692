"""The affine map of a normalisation whose statistics are data."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.ops.vocabulary import Ops, Term, Value, ints
from backtrace_onnx.structures.base import Pieces, Step, Structure

X, GAMMA, BETA, MEAN, VARIANCE = range(5)
_TERMS = (X, BETA, MEAN)


@dataclass(frozen=True)
class Affine(Structure):
    """y = scale * x + beta - scale * mean: three terms; constant ones are a bias.

    The scale, gamma / sqrt(variance + epsilon), is a gate.

    Attributes:
        laid: shape in which statistics are broadcast against y.
    """

    laid: tuple[int, ...]
    epsilon: float
    values: tuple[int, ...] = (X, GAMMA, BETA, MEAN, VARIANCE)
    shapes: tuple[int, ...] = _TERMS

    def propagate(self, step: Step) -> Pieces:
        ops, terms = step.ops, self._terms(step)
        data = [i for i in _TERMS if step.carries(i)]
        fixed = [terms[i] for i in _TERMS if i not in data]
        pieces, shared = ops.share_terms(
            step.policy,
            [Term(1, terms[i]) for i in data],
            ops.sum(fixed) if fixed else None,
            step.r,
            step.sample_axis(),
        )
        for channel in range(len(step.r)):
            step.book("constants", channel, shared.to_bias[channel])
            step.book("unassigned", channel, shared.unassigned[channel])
        return {
            i: [self._unlaid(step, i, r) for r in piece]
            for i, piece in zip(data, pieces, strict=True)
        }

    def _terms(self, step: Step) -> dict[int, Value]:
        def text(e: Ops, x: Value, *statistics: Value) -> tuple[Value, ...]:
            gamma, beta, mean, variance = (e.Reshape(s, ints(*self.laid)) for s in statistics)
            scale = e.Div(gamma, e.Sqrt(e.Add(variance, e.scalar(self.epsilon))))
            return e.Mul(x, scale), beta, e.Neg(e.Mul(mean, scale))

        values = [step.value(i) for i in self.values]
        made = step.ops.apply(f"{step.node.name}/terms", text, *values)
        return dict(zip(_TERMS, made, strict=True))

    def _unlaid(self, step: Step, i: int, r: Value) -> Value:
        """What input `i` is sent, from y's shape to its own."""
        if i == X:
            return r
        ops, channels = step.ops, step.shape(i)
        ones = [ints(*[1] * (len(self.laid) - 1))] if len(self.laid) > 1 else []
        return ops.Reshape(ops.unbroadcast(r, ops.Concat(channels, *ones, axis=0)), channels)
