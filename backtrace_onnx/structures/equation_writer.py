"""The words in which a recurrent cell's equations are written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.vocabulary import Value, ints
from backtrace_onnx.structures.activations import Activation
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.equations import Equation, Equations
from backtrace_onnx.structures.products import StateProduct, with_bias

Build = Callable[[Node], Structure]
"""The structure of a node of ONNX, as its rule says it."""

VERSION = 20
"""Of ai.onnx, in whose words the equations are written."""


@dataclass
class Writer:
    """Writes equations down: every word makes a node, and returns the name of what that makes.

    Attributes:
        name: first part of the nodes' names.
        build: the structure of a node.
        activations, clip, hidden: of the cell.
        given: the weights that there are.
    """

    name: str
    build: Build
    activations: tuple[Activation, ...]
    hidden: int
    clip: float | None
    given: frozenset[str]
    members: list[Equation] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)

    def linear(self, x: str, weight: str, bias: str) -> str:
        """x W^T + b."""
        inputs = (x, weight, bias) if bias in self.given else (x, weight)
        return self._member("Gemm", inputs, with_bias, StateProduct())

    def sum(self, *terms: str, gates: int = 1) -> str:
        """The sum of some tensors."""
        return self._member("Sum", terms, lambda e, *xs: e.sum(xs), gates=gates)

    def mul(self, a: str, b: str) -> str:
        """a * b."""
        return self._member("Mul", (a, b), lambda e, a, b: e.Mul(a, b))

    def opposite(self, z: str) -> str:
        """1 - z."""
        return self._member("Sub", (self.number(1), z), lambda e, one, z: e.Sub(one, z))

    def split(self, z: str, *sizes: int, kept: bool = True) -> tuple[str, ...]:
        """Parts of z side by side, of so many gates each."""
        widths = [self.hidden * size for size in sizes]
        node = self._node("Split", (z,), len(sizes), {"axis": -1, "split": widths})
        parts = [ints(width) for width in widths]
        cut = Equation(node, self.build(node), lambda e, z: e.split(z, parts, -1), kept=kept)
        self.members.append(cut)
        return node.outputs

    def act(self, i: int, z: str, *, clipped: bool = True) -> str:
        """Activation `i` of what is clipped first."""
        if clipped and self.clip is not None:
            z = self._run("Clip", (z, self.number(-self.clip), self.number(self.clip)))
        for part in self.activations[i].parts:
            operands = () if part.operand is None else (self.number(part.operand),)
            z = self._run(part.op_type, (z, *operands), part.attributes)
        return z

    def number(self, value: float) -> str:
        """A constant."""
        name = f"number {float(value)!r}"
        self.numbers[name] = float(value)
        return name

    def written(self, ends: Mapping[str, str]) -> Equations:
        """All that was written, of which these are the states after a step."""
        return Equations(tuple(self.members), ends, self.numbers)

    def _run(
        self, op_type: str, inputs: tuple[str, ...], attributes: Mapping[str, Any] | None = None
    ) -> str:
        """An operator of ONNX as it is."""
        node = self._node(op_type, inputs, 1, attributes)
        compute = lambda e, *xs: e.rerun(node, xs)[0]  # noqa: E731
        equation = Equation(node, self.build(node), compute, activates=True)
        self.members.append(equation)
        return node.outputs[0]

    def _member(
        self,
        op_type: str,
        inputs: tuple[str, ...],
        compute: Callable[..., Value],
        structure: Structure | None = None,
        gates: int = 1,
    ) -> str:
        node = self._node(op_type, inputs)
        self.members.append(Equation(node, structure or self.build(node), compute, gates))
        return node.outputs[0]

    def _node(
        self,
        op_type: str,
        inputs: tuple[str, ...],
        count: int = 1,
        attributes: Mapping[str, Any] | None = None,
    ) -> Node:
        name = f"{self.name}/{op_type}{len(self.members)}"
        outputs = tuple(f"{op_type}{len(self.members)}_{k}" for k in range(count))
        return Node(name, "", op_type, VERSION, inputs, outputs, attributes or {})
