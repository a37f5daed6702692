"""Recurrent cells: what one step computes, and how relevance leaves it.

A kind of cell writes the equations of the ONNX specification once, as nodes; what is computed, how
relevance leaves a step and what its slopes are follows. The same text stands for one step
[batch, hidden] and for all of them [steps, batch, hidden].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value, ints
from backtrace_onnx.structures.activations import Activation
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.cell_back import StepBack, carriers, joined_constant
from backtrace_onnx.structures.cell_sharing import (
    CellSharing,
    Fixed,
    Sent,
    State,
    Values,
    product_masses,
)
from backtrace_onnx.structures.equation_writer import Writer
from backtrace_onnx.structures.equations import BEFORE, MEMORY, Equation, Equations

UNWRITTEN = Equations((), {}, {})


class Operands(NamedTuple):
    """What one direction of a node computes with, in the order in which it goes through time.

    Attributes:
        x: [steps, batch, input].
        y: the states after every step, [steps, batch, hidden].
        w, r, wb, rb: weights [gates, input] and [gates, hidden] and their biases [gates].
        peephole: [3, hidden] for the gates i, o, f.
        h, c: states before the first step, [batch, hidden].
        data: which of "r" and "p" (state's weights, peephole) take relevance.
    """

    x: Value
    y: Value
    w: Value
    r: Value
    wb: Value | None = None
    rb: Value | None = None
    peephole: Value | None = None
    h: Value | None = None
    c: Value | None = None
    data: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Cell:
    """A kind of cell.

    Attributes:
        activations: of its gates and what is made of them, in the specification's order.
        hidden: length of the state.
        clip: bound of what goes into the activations.
        equations: what a step computes, as they were written by `write`.
    """

    activations: tuple[Activation, ...]
    hidden: int
    clip: float | None = None
    equations: Equations = field(default=UNWRITTEN, kw_only=True)

    gates: ClassVar[int] = 1
    """Gates side by side in the weights."""

    joins: ClassVar[bool] = True
    """Whether the input's product and the state's are added before gates are taken apart."""

    def write(self, s: Writer) -> dict[str, str]:
        """Write a step's equations; returns the names of the states after it, by state."""
        raise NotImplementedError

    def weights(self, ops: Ops, o: Operands) -> dict[str, Value]:
        """The weights that its equations read, by name."""
        found = {"w": o.w, "r": o.r, "wb": o.wb, "rb": o.rb}
        if o.peephole is not None:
            for k, name in enumerate(("p_i", "p_o", "p_f")):
                found[name] = row(ops, o.peephole, k)
        return {name: x for name, x in found.items() if x is not None}

    def unitwise(self, o: Operands) -> bool:
        """Whether `back` treats every unit alike, by sums of two terms, halves and products."""
        return True

    def forward(self, ops: Ops, key: str, reading: str, o: Operands) -> dict[str, Value]:
        """Values by name that `back` reads, each stacked [steps, batch, ...].

        Among them BEFORE, the state before every step, and the masses of products with weights.
        """
        equations = self.equations
        before = ops.apply(f"{key}/preceding", preceding, o.y, o.h)
        given = {"x": o.x, BEFORE: before, MEMORY: o.c, **self.weights(ops, o)}
        found = equations.values(ops, f"{key}/forward", given, equations.weighed)
        values = {name: x for name, x in found.items() if name in equations.weighed | {BEFORE}}
        for member in equations.products[1:]:
            x, weight, *_ = member.node.inputs

            def text(e: Ops, x: Value, weight: Value) -> Value:
                return product_masses(e, reading, x, weight)

            made = ops.apply(f"{member.node.name}/{reading}", text, values[x], given[weight])
            masses = made if isinstance(made, tuple) else (made,)
            values.update(zip(masses_of(member), masses, strict=False))
        return values

    def back(
        self,
        s: CellSharing,
        key: str,
        r: Mapping[str, Channels],
        v: Values,
        o: Operands,
        fixed: Fixed,
    ) -> Sent:
        """How relevance `r` of the states after a step, by name, leaves the step."""
        step = StepBack(s, self.equations, key, v, self.states(v, o, s.ops), o.data, fixed)
        return step.sent(r)

    def states(self, v: Values, o: Operands, ops: Ops) -> tuple[State, ...]:
        """The products with the state before, the one that `Sent.state` goes to first."""
        weights, found = self.weights(ops, o), []
        for member in self.equations.products[1:]:
            (x, weight, *bias), z = member.node.inputs, member.node.outputs[0]
            p, n = (v.get(name) for name in masses_of(member))
            of_bias = weights[bias[0]] if bias else None
            found.append(State(v[x], weights[weight], of_bias, v[z], p, n, "r" in o.data))
        return tuple(found)

    def constant(self, s: CellSharing, v: Values, o: Operands, fixed: Fixed) -> Value:
        """What is added to the input's product before the first step, where that is "joined"."""
        return joined_constant(s, self.equations, v, carriers(self.equations, o.data, fixed))

    @property
    def saturation(self) -> Gate | None:
        """Saturation gate of the input's product where it goes into one activation directly."""
        return None


def preceding(e: Ops, y: Value, start: Value | None) -> Value:
    """The state before every step: `start` (zeros where left out), and all of y but the last."""
    if start is None:
        start = e.Expand(e.zero(), e.Shape(y, start=1))
    head = e.Unsqueeze(start, ints(0))
    return e.Concat(head, e.Slice(y, ints(0), ints(-1), ints(0)), axis=0)


def row(ops: Ops, weight: Value, k: int) -> Value:
    """Row k of a weight."""
    if isinstance(weight, Constant):
        return Constant(f"{weight.name}/{k}", weight.array[k])
    return ops.Gather(weight, np.int64(k), axis=0)


def masses_of(member: Equation) -> tuple[str, str]:
    """Names of the positive and the negative masses of a product."""
    (z,) = member.node.outputs
    return f"{z}_p", f"{z}_n"
