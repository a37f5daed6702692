"""The head of a model: the scores, and the function of them that the explained output is.

A probability is a poor place to start from with signs: it is positive also where the score speaks
against the class. So signed modes start with the values of the scores, which relevance reaches
unchanged, because the head hands it on as it is. Where the function is a (log-)softmax, scores are
defined up to a constant only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.regions import is_region
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.passes.regions.identification import Native, native_of
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.structures.base import Passes, Step, Structure
from backtrace_onnx.targets.two_classes import TwoClasses
from backtrace_onnx.targets.ways import Parts, Way, beneath, is_decision, way_of

StepOf = Callable[[Node], Step]

_SQUASHING = {
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "sigmoid",
}
_LOGARITHMS = {"softmax": "log-softmax", "sigmoid": "log-sigmoid"}
UP_TO_A_CONSTANT = frozenset({"softmax", "log-softmax"})


@dataclass(frozen=True)
class Head:
    """How the explained output follows from scores.

    Attributes:
        output: the tensor that is explained.
        function: "softmax", "log-softmax", "sigmoid", "log-sigmoid"; ""
            where the output holds the scores themselves.
        scores: the tensor with the scores; "" where there are several, or none outside the node.
        parts: the nodes from the scores to the output, in order, and what they do.
        maker: the node whose units the scores are, if that is one.
        below: the nodes from its output to the scores.
        decided: whether the output is the second of two scores, and the first its negative.
    """

    output: str
    function: str = ""
    scores: str = ""
    parts: Parts = ()
    maker: Node | None = None
    below: Parts = ()
    decided: bool = False

    @property
    def squashing(self) -> Node | None:
        """The node of the function."""
        return next((node for way, node in self.parts if way == "squash"), None)

    @property
    def logarithmic(self) -> bool:
        """Whether the output holds logarithms of probabilities."""
        return self.function in _LOGARITHMS.values()

    @property
    def two(self) -> TwoClasses:
        """What one entry alone says of two classes."""
        return "probability" if self.function == "sigmoid" else "decision" if self.decided else ""

    @property
    def made(self) -> str:
        """The output of `maker` that holds the scores."""
        assert self.maker is not None
        return self.below[0][1].inputs[0] if self.below else self.scores or self.maker.outputs[-1]

    def needs(self, graph: Graph) -> frozenset[str]:
        """Tensors whose values `values` and `sides` read, beside those of the plan."""
        found = {self.scores or self.output}
        for way, node in (*self.parts, *self.below):
            found.update(node.inputs[1:] if way == "move" else ())
            found.update(node.inputs if way == "squash" else ())
        for name in reversed(tuple(graph.computed)):  # what is computed of others comes after them
            found.update(graph.computed[name].inputs if name in found else ())
        fixed = graph.constants.keys() | graph.computed.keys() | set(graph.inputs) | {""}
        return frozenset(found - fixed)

    def plan(self, plan: Plan) -> Plan:
        """The plan of a mode that starts at the scores: the head hands relevance on as it is."""
        passing: dict[str, Structure] = {}
        for way, node in self.parts:
            known = plan.structures.get(node.name)
            if way != "move" and known is not None and not known.squashes:
                passing[node.name] = Passes(1 if way == "mirror" else 0)
        return replace(plan, structures={**plan.structures, **passing}) if passing else plan

    def is_raisable(self, plan: Plan) -> bool:
        """Whether a constant can be added to the scores."""
        known = plan.structures.get(self.maker.name) if self.maker else None
        turns = any(way == "turn" for way, _ in self.below)
        return known is not None and known.raises and not turns

    def raised(self, plan: Plan, constant: Value, ops: Ops) -> Plan:
        """The plan in which the units of the scores have another bias, `constant` more."""
        assert self.maker is not None
        made = plan.structures[self.maker.name].raised(ops, constant)
        return replace(plan, structures={**plan.structures, self.maker.name: made})

    def values(self, ops: Ops, step: StepOf, plan: Plan) -> Value | None:
        """The scores, shaped like the output; None where the output holds them."""
        if not self.function:
            return None
        made: dict[str, Value] = {}
        for way, node in self.parts:
            if way == "squash":
                made[node.outputs[_index(node, plan)]] = _scores(node, step(node), plan)
        return _moved(ops, step, made, self.parts, self.output)

    def sides(self, ops: Ops, step: StepOf, plan: Plan) -> Value | None:
        """Shaped like the output: 1 where no contribution to a score is negative, -1 where none is
        positive, else 0; None where that is not known."""
        if self.maker is None or self.maker.name not in plan.structures:
            return None
        masses = plan.structures[self.maker.name].masses(step(self.maker))
        if masses is None:
            return None
        p, n = masses
        one, zero = ops.scalar(1), ops.scalar(0)
        side = ops.Where(ops.Equal(p, zero), ops.Neg(one), zero)
        n = ops.Mul(p, zero) if n is None else n
        side = ops.Where(ops.Equal(n, zero), one, side)
        made = {self.maker.outputs[_index(self.maker, plan)]: side}
        return _moved(ops, step, made, (*self.below, *self.parts), self.output)


def _moved(
    ops: Ops, step: StepOf, made: dict[str, Value], parts: Sequence[tuple[Way, Node]], output: str
) -> Value:
    """What lies at `output` if these nodes only move what is made."""
    for way, node in parts:
        if way == "move":
            inputs = [made[x] if x in made else step(node).tensor(x) for x in node.inputs if x]
            made[node.outputs[0]] = ops.op(node.op_type, inputs, dict(node.attributes))
        elif node.outputs[0] not in made and node.outputs[-1] not in made:
            value = next(made[x] for x in node.inputs if x in made)
            made[node.outputs[0]] = ops.Neg(value) if way in ("mirror", "turn") else value
    return made[output]


def _scores(node: Node, step: Step, plan: Plan) -> Value:
    """The scores that a node squashes."""
    structure = plan.structures.get(node.name)
    if structure is not None and structure.squashes:
        return structure.raw_scores(step)
    native = _native(node, plan)
    if native is None:
        return step.tensor(_last(node).inputs[0])
    scores = step.tensor(node.inputs[0])
    if native.is_plain:
        return scores
    ops = step.ops
    return ops.Add(ops.Mul(scores, ops.scalar(native.scale)), ops.scalar(native.shift))


def _last(node: Node) -> Node:
    """The last of the nodes that are read as one."""
    while is_region(node):
        node = node.attributes["members"][-1]
    return node


def _native(node: Node, plan: Plan) -> Native | None:
    return native_of(node, plan.graph) if is_region(node) else None


def _index(node: Node, plan: Plan) -> int:
    """The output of a node that holds its units."""
    structure = plan.structures.get(node.name)
    return structure.scores if structure is not None else 0


def find_head(plan: Plan, output: str) -> Head:
    """The head that makes `output`."""
    graph = plan.graph
    found = _back(plan, output) or Head(output, "", output)
    if found.function and not found.scores:  # inside of the node
        squashing = [node for way, node in found.parts if way == "squash"]
        return replace(found, output=output, maker=squashing[0] if len(squashing) == 1 else None)
    below, maker = beneath(_source(found, plan), graph)
    if any(way == "mirror" for way, _ in found.parts) or maker is None:
        return replace(found, output=output)
    decided = not found.function and is_decision(maker, below, graph)
    return replace(found, output=output, maker=maker, below=below, decided=decided)


def _source(head: Head, plan: Plan) -> str:
    """The tensor at which the way from the scores to their maker begins; none where the scores are
    a negative multiple of it."""
    native = _native(head.squashing, plan) if head.squashing else None
    return "" if native is not None and native.scale <= 0 else head.scores


def _back(plan: Plan, tensor: str) -> Head | None:
    """The head that ends in a tensor; None where no function of scores is met."""
    node = plan.graph.producers.get(tensor)
    if node is None:
        return None
    way = way_of(node)
    if way is not None:
        return _then(_back(plan, node.inputs[0]), way, node)
    function, scores = _function(node, plan)
    if function:
        return Head(tensor, function, scores, (("squash", node),))
    if node.operator == "Log":
        found = _back(plan, node.inputs[0])
        known = _LOGARITHMS.get(found.function) if found else None
        return _then(replace(found, function=known), "pass", node) if found and known else None
    if node.operator == "Concat":
        return _joined([_back(plan, name) for name in node.inputs], node)
    if node.operator == "Sub" and _is_one(plan.graph.constants.get(node.inputs[0])):
        found = _back(plan, node.inputs[1])
        return _then(found, "mirror", node) if found and found.function == "sigmoid" else None
    return None


def _then(found: Head | None, way: Way, node: Node) -> Head | None:
    return found and replace(found, parts=(*found.parts, (way, node)))


def _joined(found: list[Head | None], node: Node) -> Head | None:
    """Heads side by side that are one function."""
    heads = [head for head in found if head is not None]
    if len(heads) < len(found) or len({head.function for head in heads}) > 1:
        return None
    parts = dict.fromkeys(part for head in heads for part in _hashed(head))
    same = len({head.scores for head in heads}) == 1
    byname = {(way, made.name): (way, made) for head in heads for way, made in head.parts}
    whole = tuple(byname[key] for key in parts)
    return Head(
        node.outputs[0],
        heads[0].function,
        heads[0].scores if same else "",
        (*whole, ("move", node)),
    )


def _hashed(head: Head) -> list[tuple[Way, str]]:
    return [(way, node.name) for way, node in head.parts]


def _function(node: Node, plan: Plan) -> tuple[str, str]:
    """The function of scores that a node is, and the tensor with the scores; "" for none."""
    if is_region(node):
        native = native_of(node, plan.graph)
        if native is None and (last := _last(node)).op_type in _SQUASHING:
            return _SQUASHING[last.op_type], last.inputs[0]  # behind another function: a soft cap
        return _SQUASHING.get(native.name, "") if native else "", node.inputs[0]
    structure = plan.structures.get(node.name)
    if structure is not None and structure.squashes:
        return structure.squashes, ""
    return _SQUASHING.get(node.operator, ""), node.inputs[0] if node.inputs else ""


def _is_one(value: np.ndarray | None) -> bool:
    return value is not None and bool(np.all(value == 1))
