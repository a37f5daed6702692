"""A node inside of what is one node of the graph, as its structure sees it.

Cells and regions are walked through node by node, with the structures that the same operators have
in a graph; here is what such a node answers alike wherever it lies (`structures.base.Step`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.step import Found


class InnerStep:
    """A node of a cell or region.

    Subclasses say where values come from and which inputs carry.

    Args:
        outgoing: what each output received, by channel; None where nothing arrived.
        gate: saturation gate of the activation that follows.
    """

    def __init__(
        self,
        node: Node,
        ops: Ops,
        method: Method,
        outgoing: Sequence[Channels | None],
        gate: Gate | None = None,
    ) -> None:
        self.node, self.ops, self.method, self.policy = node, ops, method, method.policy
        self.outgoing, self.gate = outgoing, gate

    @property
    def r(self) -> Channels:
        found = self.outgoing[0]
        assert found is not None
        return found

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` tells; it is asked while a text is written, once."""
        return find()

    @property
    def holds(self) -> bool:
        return self.method.statistics == "held"

    @property
    def bounded(self) -> bool:
        return False

    def tensor(self, name: str) -> Value:
        raise NotImplementedError

    def result(self, i: int = 0) -> Value:
        return self.tensor(self.node.outputs[i])

    def is_gate(self, i: int) -> bool:
        return False

    def nonnegative(self, i: int) -> bool:
        return False

    def infinite(self, i: int) -> bool:
        return False
