"""What the plan and the method know of a node before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any, TypeVar

from backtrace_onnx.graph.dequantising import dequantiser, floats_read
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import PLAIN, Sharing
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.rests import find_rests, is_usual
from backtrace_onnx.structures.base import Movement, Structure

Found = TypeVar("Found")


class PlannedNode:
    """A node of the plan (`structures.step.PlannedNode`).

    It is made once for all walks of a method (`propagation.route`): what a walk asks at every node
    is an attribute here, and what structures ask is kept by `once`.

    Attributes:
        sharing: how it shares where slopes travel.
        carrying: by input, whether it takes relevance.
        booked: by input that takes none, where pieces for it are entered.
        alike: by input, whether a piece for it has the input's own shape, not the broadcast one.
        carrying_outputs: outputs that take relevance.
        drops: whether what is not sent on is unassigned without being booked.
        last_read: tensors that no node before this one reads, if it has been walked.
        counterparts: where slopes travel, `counterpart` of its inputs and outputs.
        rest: the input whose relevance is what is left when all else is booked; None: none is.
        usual: whether outputs are worth what their slopes and values say, as they are.
        silent: whether what its structure books is of what travels, not of what that is worth.
        leaving, fills: whether a rest may be left of slopes' relevance, and is then a constant's.
    """

    def __init__(
        self,
        node: Node,
        plan: Plan,
        method: Method,
        sharing: Sharing = PLAIN,
        weighed: Collection[str] = (),
    ) -> None:
        """`weighed`: tensors that are weighed by their values, whoever reads them."""
        self.node, self.method, self.policy, self.sharing = node, method, method.policy, sharing
        self._plan, self.graph = plan, plan.graph
        self._known: dict[Hashable, Any] = {}
        self.gate: Gate | None = plan.gates.get(node.name) if self.policy.gated else None
        constants, structure = plan.graph.constants, plan.structures.get(node.name)
        self.carrying = tuple(name in plan.carriers for name in node.inputs)
        self.booked = tuple("constants" if n in constants else "unassigned" for n in node.inputs)
        self.carrying_outputs = [name for name in node.outputs if name in plan.carriers]
        self.drops = structure is not None and structure.drops
        broadcasts = () if structure is None else structure.broadcasts
        self.alike = tuple(
            i not in broadcasts or _alike(node, i, plan) for i in range(len(node.inputs))
        )
        self.last_read = _last_read(node, plan)
        named = (*node.inputs, *node.outputs) if method.carrier == "slope" else ()
        self.counterparts = {name: self.counterpart(name) for name in filter(None, named)}
        self.rest: int | None = None
        self.usual, self.fills, self.leaving = True, False, False
        self.silent = isinstance(structure, Movement)
        if structure is not None and named:
            self._plan_slopes(structure, weighed)

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` tells of the node, whatever the values are, known by `key`; asked once."""
        if key not in self._known:
            self._known[key] = find()
        found: Found = self._known[key]
        return found

    def carries(self, i: int) -> bool:
        """Whether input `i` takes relevance."""
        return self.carrying[i]

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

    def _plan_slopes(self, structure: Structure, weighed: Collection[str]) -> None:
        self.usual = is_usual(structure)
        self.fills = structure.fills and not self.method.differs
        leaves = structure.leaves(self)
        self.leaving = self.fills or leaves
        if self.method.differs:  # the reference may have gone another way than the sample
            bends = structure.bends(self) or structure.values or structure.results
            self.leaving = bool(bends) or self._is_conditioned() or self.leaving
        found, sharing = find_rests(self._plan).get(self.node.name), self.sharing
        whole = sharing.policy is None and sharing.weighed == "contributions"
        if found is not None and whole and not leaves and not self.method.compares:
            self.rest = None if self.node.inputs[found] in weighed else found

    def _is_conditioned(self) -> bool:
        """Whether the run tells an input that takes no relevance, such as a scale."""
        constants, carriers = self.graph.constants, self._plan.carriers
        return any(x and x not in constants and x not in carriers for x in self.node.inputs)

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
        for, on the node's other side, or as its reader takes it where it is rounded there; of one
        that is cut at 0 next what is left of it."""
        if self.graph.type(tensor).is_float:
            return tensor if self.method.differs else self._plan.opened.get(tensor, tensor)
        own = self._plan.structures.get(self.node.name)
        if own is not None and own.rounds and tensor in self.node.outputs:
            if dequantiser(self.graph, tensor) is not None:
                return tensor
            if (read := floats_read(self.graph, tensor)) is not None:
                return read
        others = (*self.node.outputs[:1], *self.node.inputs[:1])
        stands = [x for x in others if x != tensor and self.graph.type(x).is_float]
        return stands[0] if stands else tensor


def _alike(node: Node, i: int, plan: Plan) -> bool:
    """Whether an input that may be broadcast is known to have the output's shape."""
    own, full = (plan.graph.type(name).shape for name in (node.inputs[i], node.outputs[0]))
    return own is not None and own == full and None not in own


def _last_read(node: Node, plan: Plan) -> tuple[str, ...]:
    """A node's outputs, those of the model that computed ones stand for, and what earlier nodes
    weigh in their place: what is left of outputs cut at 0, floats that integers are read as."""
    graph = plan.graph
    like = {name: graph.computed[name].like for name in node.outputs if name in graph.computed}
    beneath = [under for name, under in like.items() if graph.aliases.get(under) == name]
    weighed = [read for name in node.outputs if (read := _weighed_for(name, plan))]
    kept = [read for name in node.inputs if (read := _weighed_for(name, plan)) in node.outputs]
    return (*(() if kept else node.outputs), *beneath, *weighed)


def _weighed_for(name: str, plan: Plan) -> str | None:
    """What the node that makes a tensor may weigh in its place."""
    return plan.opened.get(name) or floats_read(plan.graph, name)
