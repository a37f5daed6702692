"""Normalisations: relevance passes; slopes go through what centres and what divides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.rules.regions import read_region
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Step, Structure
from backtrace_onnx.structures.normalisation import LocalResponse, Normalisation

Laid = Callable[[Step], Value]


def _as_it_is(e: Ops, x: Value) -> Value:
    """x, laid out as it is."""
    return x


def _input(op: Op, i: int, laid: tuple[int, ...] | None = None) -> Laid | None:
    """The value of input `i`, reshaped to be broadcast against y; None where it is not given."""
    if not op.has(i):
        return None
    return lambda step: (
        step.condition(i) if laid is None else step.ops.Reshape(step.condition(i), ints(*laid))
    )


def _per_channel(op: Op, i: int) -> Laid | None:
    """Input `i`, a number per channel."""
    return _input(op, i, (-1, *[1] * (op.rank(0) - 2)))


def _from_axis(op: Op, default: int) -> tuple[int, ...]:
    """All axes from the one that the node names on."""
    rank = op.rank(0)
    return tuple(range(int(op.attribute("axis", default)) % rank, rank))


def _normalising(build: Callable[[Op], Structure]) -> Callable[[Op], Structure]:
    """The rule of a normalisation, to which the scales and shifts that follow belong."""

    @wraps(build)
    def whole(op: Op) -> Structure:
        followers = op.attribute("followers", ())
        if not followers:
            return build(op)
        own = {name: value for name, value in op.node.attributes.items() if name != "followers"}
        made = next(name for name in followers[0].inputs if name not in op.graph.constants)
        alone = replace(op.node, outputs=(made,), attributes=own)
        return read_region(op, (alone, *followers), "normalisation")

    return whole


@rule("LayerNormalization")
@_normalising
def layer_normalization(op: Op) -> Structure:
    """Relevance passes unchanged."""
    epsilon = float(op.attribute("epsilon", 1e-5))
    axes = _from_axis(op, -1)
    return Normalisation(_as_it_is, axes, epsilon=epsilon, scale=_input(op, 1), shift=_input(op, 2))


@rule("RMSNormalization")
@_normalising
def rms_normalization(op: Op) -> Structure:
    """Relevance passes unchanged."""
    epsilon = float(op.attribute("epsilon", 1e-5))
    return Normalisation(
        _as_it_is, _from_axis(op, -1), centred=False, epsilon=epsilon, scale=_input(op, 1)
    )


@rule("InstanceNormalization")
@_normalising
def instance_normalization(op: Op) -> Structure:
    """Relevance passes unchanged."""
    return Normalisation(
        _as_it_is,
        tuple(range(2, op.rank(0))),
        epsilon=float(op.attribute("epsilon", 1e-5)),
        scale=_per_channel(op, 1),
        shift=_per_channel(op, 2),
    )


@rule("GroupNormalization")
@_normalising
def group_normalization(op: Op) -> Structure:
    """Relevance passes unchanged."""
    groups = int(op.attribute("num_groups"))

    def grouped(e: Ops, x: Value) -> Value:
        return e.Reshape(x, ints(0, groups, -1))

    def parameter(i: int) -> Laid | None:
        laid = _per_channel(op, i)
        if laid is None or op.version >= 21:  # one for each channel; before, one for each group
            return laid

        def repeated(step: Step) -> Value:
            e = step.ops
            channels = e.Slice(step.shape(0), ints(1), ints(2))
            each = e.Concat(ints(groups), e.Div(channels, ints(groups)), axis=0)
            whole = e.Expand(e.Unsqueeze(step.condition(i), ints(1)), each)
            return e.Reshape(whole, ints(-1, *[1] * (op.rank(0) - 2)))

        return repeated

    epsilon = float(op.attribute("epsilon", 1e-5))
    return Normalisation(grouped, (2,), epsilon=epsilon, scale=parameter(1), shift=parameter(2))


@rule("MeanVarianceNormalization")
@_normalising
def mean_variance_normalization(op: Op) -> Structure:
    """Relevance passes unchanged."""
    axes = tuple(int(a) for a in op.attribute("axes", (0, 2, 3)))
    return Normalisation(_as_it_is, axes, epsilon=1e-18)


@rule("LpNormalization")
@_normalising
def lp_normalization(op: Op) -> Structure:
    """Relevance passes unchanged."""
    axis, order = int(op.attribute("axis", -1)), int(op.attribute("p", 2))
    return Normalisation(_as_it_is, (axis,), centred=False, order=order, summed=True)


@rule("LRN")
@_normalising
def local_response_normalization(op: Op) -> Structure:
    """Relevance passes unchanged."""
    alpha, beta, bias = (
        float(op.attribute(name, default))
        for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    return LocalResponse(int(op.attribute("size")), alpha, beta, bias)
