"""The affine map of a normalisation whose statistics are data."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.ops.vocabulary import Ops, Term, Value, ints
from backtrace_onnx.structures.base import Pieces, PlannedNode, Reads, Step, Structure

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
    has_slopes: bool = True
    affine: bool = True

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

    def slopes(self, step: Step) -> Pieces:
        ops, m = step.ops, step.stabilised()

        def text(e: Ops, m: Value, gamma: Value, variance: Value) -> tuple[Value, Value]:
            gamma, variance = (e.Reshape(s, ints(*self.laid)) for s in (gamma, variance))
            scaled = e.Mul(m, e.Div(gamma, e.Sqrt(e.Add(variance, e.scalar(self.epsilon)))))
            return scaled, e.Neg(scaled)

        to_x, to_mean = ops.apply(
            f"{step.node.name}/slope", text, m, step.condition(GAMMA), step.condition(VARIANCE)
        )
        made = {X: to_x, BETA: m, MEAN: to_mean}
        if not step.holds:
            made |= self._of_scale(step, to_x)
        for i in _TERMS:
            if not step.carries(i):
                term = ops.Mul(made[i], ops.Reshape(step.weighed(i), ints(*self.laid)))
                step.book("constants", 0, ops.total(term, step.sample_axis()))
        return {i: [self._unlaid(step, i, r)] for i, r in made.items() if step.carries(i)}

    def _of_scale(self, step: Step, to_x: Value) -> dict[int, Value]:
        """Slopes of what scales: gamma, and the variance."""

        def text(e: Ops, g: Value, x: Value, *statistics: Value) -> tuple[Value, Value]:
            gamma, mean, variance = (e.Reshape(s, ints(*self.laid)) for s in statistics)
            grown = e.Mul(g, e.Sub(x, mean))
            wide = e.Mul(e.Add(variance, e.scalar(self.epsilon)), e.scalar(-2))
            return e.ratio(grown, gamma), e.Div(grown, wide)

        values = [step.condition(i) for i in (X, GAMMA, MEAN, VARIANCE)]
        made = step.ops.apply(f"{step.node.name}/scale", text, to_x, *values)
        return dict(zip((GAMMA, VARIANCE), made, strict=True))

    def slope_reads(self, node: PlannedNode) -> Reads:
        scaling = (GAMMA, VARIANCE) if node.holds else (X, GAMMA, MEAN, VARIANCE)
        absorbing = tuple(i for i in _TERMS if not node.carries(i))
        return Reads(scaling + absorbing, (0,) if node.sharing.epsilon else (), self.shapes)

    def leaves(self, step: PlannedNode) -> bool:
        return step.carries(GAMMA) or step.carries(VARIANCE)

    def _terms(self, step: Step) -> dict[int, Value]:
        def text(e: Ops, x: Value, *statistics: Value) -> tuple[Value, ...]:
            gamma, beta, mean, variance = (e.Reshape(s, ints(*self.laid)) for s in statistics)
            scale = e.Div(gamma, e.Sqrt(e.Add(variance, e.scalar(self.epsilon))))
            return e.Mul(x, scale), beta, e.Neg(e.Mul(mean, scale))

        values = [step.weighed(i) if i in _TERMS else step.condition(i) for i in self.values]
        made = step.ops.apply(f"{step.node.name}/terms", text, *values)
        return dict(zip(_TERMS, made, strict=True))

    def _unlaid(self, step: Step, i: int, r: Value) -> Value:
        """What input `i` is sent, from y's shape to its own."""
        if i == X:
            return r
        ops, channels = step.ops, step.shape(i)
        ones = [ints(*[1] * (len(self.laid) - 1))] if len(self.laid) > 1 else []
        return ops.Reshape(ops.unbroadcast(r, ops.Concat(channels, *ones, axis=0)), channels)
