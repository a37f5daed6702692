"""What the plan and the method know of a node before anything runs."""

from __future__ import annotations

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import PLAIN, Sharing
from backtrace_onnx.propagation.plan import Plan


class PlannedNode:
    """A node of the plan (`structures.step.PlannedNode`).

    Attributes:
        sharing: how it shares where slopes travel.
    """

    def __init__(self, node: Node, plan: Plan, method: Method, sharing: Sharing = PLAIN) -> None:
        self.node, self.method, self.policy, self.sharing = node, method, method.policy, sharing
        self._plan, self.graph = plan, plan.graph
        self.gate: Gate | None = plan.gates.get(node.name) if self.policy.gated else None

    def carries(self, i: int) -> bool:
        """Whether input `i` takes relevance."""
        return self.node.inputs[i] in self._plan.carriers

    @property
    def carrying_outputs(self) -> list[str]:
        """Outputs that take relevance."""
        return [name for name in self.node.outputs if name in self._plan.carriers]

    def moves(self, i: int) -> bool:
        """Whether input `i` is another on the line from a reference to the sample."""
        return self.carries(i) and self.graph.type(self.node.inputs[i]).is_float

    def is_constant(self, i: int) -> bool:
        """Whether input `i` is a model constant."""
        return self.node.inputs[i] in self._plan.graph.constants

    def is_threshold(self, i: int) -> bool:
        """Whether input `i` is a number that is no data, of which others are larger or smaller."""
        array = self.graph.constants.get(self.node.inputs[i])
        return array is not None and array.dtype.kind == "f"

    def is_gate(self, i: int) -> bool:
        """Whether input `i` descends from integers and booleans only."""
        return self.node.inputs[i] in self._plan.integral

    def nonnegative(self, i: int) -> bool:
        """Whether input `i` is known to have no negative entry."""
        return self.node.inputs[i] in self._plan.nonnegative

    def infinite(self, i: int) -> bool:
        """Whether input `i` may hold infinities."""
        return self.node.inputs[i] in self._plan.infinite

    @property
    def holds(self) -> bool:
        """Whether what divides is taken as a constant."""
        return self.method.statistics == "held"

    @property
    def bounded(self) -> bool:
        """Whether the slopes of the outputs are known to be finite."""
        return self.node.name in self._plan.bounded and not self.method.composite

    def counterpart(self, tensor: str) -> str:
        """The tensor whose values slopes are weighed by: of a quantised one that which it stands
        for, on the node's other side; of one that is cut at 0 next what is left of it."""
        if self.graph.type(tensor).is_float:
            return tensor if self.method.differs else self._plan.opened.get(tensor, tensor)
        others = (*self.node.outputs[:1], *self.node.inputs[:1])
        stands = [x for x in others if x != tensor and self.graph.type(x).is_float]
        return stands[0] if stands else tensor
