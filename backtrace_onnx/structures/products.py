"""The products x W^T + b inside of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backtrace_onnx.ops.vocabulary import Constant, Ops, Value
from backtrace_onnx.structures.base import Pieces, PlannedNode, Step, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.sums import Shifted


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

    def propagate(self, step: Step) -> Pieces:
        return self._read(step).propagate(step)

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

    def bends(self, step: PlannedNode) -> int:
        return _LINEAR.bends(step)

    def _read(self, step: Step) -> Structure:
        """What it is: a bias that is data is a term."""
        if len(step.node.inputs) < 3:
            return _LINEAR
        if step.carries(2):
            return Shifted(_LINEAR, 2)
        bias = step.condition(2)
        return replace(_LINEAR, bias=bias.array if isinstance(bias, Constant) else bias)
