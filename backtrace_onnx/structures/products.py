"""The products x W^T + b inside of a cell, each asked as if it were a node of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value
from backtrace_onnx.structures.base import Channels, Pieces, Step, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.sums import Shifted


class _Named(NamedTuple):
    """Stands for a node, of which only the name is asked: texts are known by it."""

    name: str


def product(e: Ops, x: Value, weight: Value) -> Value:
    """x W^T."""
    return e.MatMul(x, e.Transpose(weight, perm=[1, 0]))


def _adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
    if k == 0:
        return e.MatMul(g, factors[1])
    rows = (e.Flatten(v, axis=2) for v in (g, factors[0]))
    return e.Gemm(*rows, transA=1)


_LINEAR = Linear(forward=product, adjoint=_adjoint)


def with_bias(e: Ops, x: Value, weight: Value, bias: Value | None = None) -> Value:
    """x W^T + b."""
    z = product(e, x, weight)
    return z if bias is None else e.Add(z, bias)


@dataclass(frozen=True)
class StateProduct(Structure):
    """x W^T + b, of one step [batch, width] or of all of them [steps, batch, width]."""

    has_slopes: bool = True

    def slopes(self, step: Step) -> Pieces:
        return self._read(step).slopes(step)

    def absorb(self, step: Step) -> None:
        """Book what a constant bias absorbs, where nothing asks for slopes of the product."""
        if step.sharing.policy is not None:
            self.slopes(step)
        elif len(step.node.inputs) > 2:
            absorbed = step.ops.Mul(step.stabilised(), step.condition(2))
            step.book("constants", 0, step.ops.total(absorbed, step.sample_axis()))
        else:
            step.stabilised()

    def bends(self, step: Step) -> int:
        return _LINEAR.bends(step)

    def _read(self, step: Step) -> Structure:
        """What it is: a bias that is data is a term."""
        if len(step.node.inputs) < 3:
            return _LINEAR
        if step.carries(2):
            return Shifted(_LINEAR, 2)
        bias = step.condition(2)
        return replace(_LINEAR, bias=bias.array if isinstance(bias, Constant) else bias)


@dataclass(frozen=True)
class CellProduct:
    """The product of x [steps, batch, input] with weight [gates, input], plus a bias, of a step.

    Attributes:
        r: relevance of the result z.
        takes: which of x, weight and bias take relevance.
        steady: whether the bias absorbs its share, though it is no constant of the model.
        gate: saturation gate of the activation that z goes into, if that is all it does.
    """

    step: Step
    key: str
    r: Channels
    x: Value
    weight: Value
    bias: Value | None
    z: Value
    takes: tuple[bool, bool, bool]
    sample: int | None
    steady: bool = False
    gate: Gate | None = None

    @property
    def node(self) -> _Named:
        """What stands for the product's node."""
        return _Named(self.key)

    @property
    def ops(self) -> Ops:
        """The backend of the step."""
        return self.step.ops

    def __getattr__(self, name: str) -> Any:
        return getattr(self.step, name)

    def weighed(self, i: int) -> Value:
        """What x (0), weight (1) or bias (2) contributes by."""
        return self.condition(i)

    def condition(self, i: int) -> Value:
        """The value of x (0), weight (1) or bias (2)."""
        return (self.x, self.weight, self.bias)[i]

    def shape(self, i: int) -> Value:
        """The shape of x (0), weight (1) or bias (2), int64[rank]."""
        return self.ops.shape(self.condition(i))

    def result(self, i: int = 0) -> Value:
        """The value of the product, z."""
        return self.z

    def carries(self, i: int) -> bool:
        """Whether x (0), weight (1) or bias (2) takes relevance."""
        return self.takes[i]

    def nonnegative(self, i: int) -> bool:
        """False: nothing is known of signs inside of a cell."""
        return False

    def sample_axis(self, tensor: str | None = None) -> int | None:
        """Axis of x and of z along which samples lie."""
        return self.sample

    def sent(self) -> Pieces:
        """What x, weight and bias are sent, those that take relevance."""
        linear = Linear(forward=product, adjoint=_adjoint)
        if self.bias is None:
            pieces = linear.propagate(cast(Step, self))
        elif self.steady or isinstance(self.bias, Constant):
            bias = self.bias.array if isinstance(self.bias, Constant) else self.bias
            made = Linear(forward=product, adjoint=_adjoint, bias=bias)
            pieces = made.propagate(cast(Step, self))
        else:
            pieces = Shifted(linear, 2).propagate(cast(Step, self))
        return {i: r for i, r in pieces.items() if self.takes[i]}
