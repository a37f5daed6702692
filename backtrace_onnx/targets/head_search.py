"""Finding the head that makes an output: backwards from it to the function of scores.

What is read as one function is looked into, member by member, where it is no native one: the
logarithm of a sigmoid, probabilities divided by their own sum.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.operator_families import LOGICAL, PRODUCTS
from backtrace_onnx.graph.regions import is_region
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.targets.heads import LOGARITHMS, MIXED, Head, native_of_region
from backtrace_onnx.targets.score_path import (
    MOVING,
    PASSING,
    PathNode,
    ScoreMove,
    beneath,
    is_decision,
)

_BOUNDING = frozenset({"Clip"})
_PICKING = frozenset({"ReduceMax", "ReduceMin", "TopK"})
_ADDING = frozenset({"Add", "Max", "Mean", "Mul", "Sum"})
_WRITING = frozenset({"ScatterElements", "ScatterND"})
_SUMMING = frozenset({"ReduceL1", "ReduceL2", "ReduceMean", "ReduceSum"})
_SQUASHING = {
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "sigmoid",
    "Softplus": "softplus",
    "Exp": "exp",
    "LogSigmoid": "log-sigmoid",
}
_SMALL = 1e-3
"""Of what is added to a probability: it is one still."""
_INVERSE = {log: plain for plain, log in LOGARITHMS.items()}


def find_head(plan: Plan, output: str) -> Head:
    """The head that makes `output`."""
    search = _HeadSearch(plan)
    found = search.back(output)
    if found is None:
        found = Head(output, "", output, several=search.column_mixes(output))
    found = replace(found, output=output)
    if found.function and not found.scores:  # inside of the node
        squashing = [part for part in found.parts if part.way == "squash"]
        alone = len(squashing) == 1 and not squashing[0].source
        return replace(found, maker=squashing[0].node if alone else None)
    part = found.squashing
    native = native_of_region(part.node, plan.graph) if part else None
    if native is not None and native.scale <= 0:
        return found
    below, maker = beneath(found.scores, plan.graph)
    if maker is None:
        return found
    decided = not found.function and is_decision(maker, below, plan.graph)
    return replace(found, maker=maker, below=below, decided=decided)


class _HeadSearch:
    """The way back from tensors of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.graph = plan, plan.graph
        self._inner: dict[str, Node] = {}

    def maker(self, tensor: str) -> Node | None:
        """The node that makes a tensor; a member of what is read as one, unless that is native."""
        node = self._inner.get(tensor) or self.graph.producers.get(tensor)
        while node is not None and is_region(node):
            native = native_of_region(node, self.graph)
            if native is not None and native.name in _SQUASHING:
                break
            self._inner.update({o: m for m in node.attributes["members"] for o in m.outputs if o})
            node = self._inner[tensor]
        return node

    def back(self, tensor: str) -> Head | None:
        """The head that ends in a tensor; None where no function of scores is met."""
        node = self.maker(tensor)
        if node is None:
            return None
        if node.operator in PASSING | _BOUNDING:
            return self._then("pass", node, tensor)
        if node.operator in MOVING:
            return self._then("move", node, tensor)
        if node.operator in _PICKING:
            return self._then("pick", node, tensor) if self._picks(node, tensor) else None
        return self._function(node, tensor) or self._arithmetic(node, tensor)

    def _then(self, way: ScoreMove, node: Node, tensor: str, source: str = "") -> Head | None:
        source = source or node.inputs[0]
        found = self.back(source)
        return found and replace(found, parts=(*found.parts, PathNode(way, node, source, tensor)))

    def _picks(self, node: Node, tensor: str) -> bool:
        """Whether it is known what a node picks."""
        if node.op_type == "TopK":
            return tensor == node.outputs[0] and len(node.outputs) > 1 and bool(node.outputs[1])
        return len(node.inputs) < 2 or node.inputs[1] in self.graph.constants

    def _function(self, node: Node, tensor: str) -> Head | None:
        """The head that a function of scores begins."""
        if node.operator == "Exp" and (found := self._then("pass", node, tensor)):
            known = _INVERSE.get(found.function)
            if known and found.logarithmic:
                return replace(found, function=known)
        structure = self.plan.structures.get(node.name)
        if structure is not None and structure.squashes:
            return Head(tensor, structure.squashes, "", (PathNode("squash", node, "", tensor),))
        native = native_of_region(node, self.graph)
        known = _SQUASHING.get(native.name if native else node.operator)
        if known is None:
            return None
        source = node.inputs[0]
        return Head(tensor, known, source, (PathNode("squash", node, source, tensor),))

    def _arithmetic(self, node: Node, tensor: str) -> Head | None:
        """The head that goes on through a logarithm, constants, a division, columns."""
        match node.operator:
            case "Log":
                found = self._then("log", node, tensor)
                known = LOGARITHMS.get(found.function) if found else None
                return replace(found, function=known) if found and known else None
            case "Neg":
                return self._negated(node, tensor)
            case "Sub" if _is_positive(self.graph.constants.get(node.inputs[0])):
                found = self._then("mirror", node, tensor, node.inputs[1])
                return found if found and found.function in LOGARITHMS else None
            case "LpNormalization":
                return self._then("scale", node, tensor)
            case "Div" if self._positive(node.inputs[1]):
                return self._then("scale", node, tensor)
            case "Mul" | "Div":
                return self._scaled(node, tensor)
            case "Concat":
                return self._joined(node, tensor)
            case "Add" | "Mean" | "Sum":
                return self._shifted(node, tensor)
        return None

    def _shifted(self, node: Node, tensor: str) -> Head | None:
        """Behind what is added: 1 where a sum is 0, or what keeps a logarithm finite."""
        constants = [self.graph.constants[x] for x in node.inputs if x in self.graph.constants]
        data = [x for x in node.inputs if x not in self.graph.constants and not self._is_flag(x)]
        if len(data) != 1 or any(np.any(np.abs(c) > _SMALL) for c in constants):
            return None
        return self._then("pass", node, tensor, data[0])

    def _is_flag(self, tensor: str) -> bool:
        """Whether a tensor holds a truth as 0 and 1: what is added where a sum is 0."""
        node = self.maker(tensor)
        if node is None or node.operator != "Cast":
            return False
        made = self.maker(node.inputs[0])
        return made is not None and made.operator in LOGICAL

    def _negated(self, node: Node, tensor: str) -> Head | None:
        """Behind a change of sign; -softplus(z) is the logarithm of 1 - sigmoid(z)."""
        found = self._then("turn", node, tensor)
        if found is None or found.function != "softplus":
            return found
        if {"scale", "turn", "mirror"} & {part.way for part in found.parts[:-1]}:
            return found
        *parts, last = found.parts
        known = (*parts, replace(last, way="log of rest"))
        return replace(found, function="log-sigmoid", parts=known)

    def _scaled(self, node: Node, tensor: str) -> Head | None:
        """Behind a constant factor of one sign."""
        for factor, source in (node.inputs[::-1], node.inputs):
            constant = self.graph.constants.get(factor)
            if constant is None or (node.op_type == "Div" and factor == node.inputs[0]):
                continue
            if _is_positive(constant):
                return self._then("scale", node, tensor, source)
            if _is_positive(-constant):
                return self._then("turn", node, tensor, source)
        return None

    def _positive(self, tensor: str) -> bool:
        """Whether no entry of a tensor is negative: constants, probabilities, sums of them."""
        constant = self.graph.constants.get(tensor)
        if constant is not None:
            return bool(np.all(constant >= 0))
        if tensor in self.plan.nonnegative:
            return True
        node = self.maker(tensor)
        if node is None:
            return False
        if node.operator in _ADDING | PRODUCTS:
            return all(map(self._positive, filter(None, node.inputs)))
        if self._is_flag(tensor):
            return True
        if node.operator in _SUMMING | PASSING | MOVING:
            return self._positive(node.inputs[0])
        found = self.back(tensor)
        ways = {part.way for part in found.parts} if found else {"turn"}
        return found is not None and found.function in _POSITIVE and "turn" not in ways

    def _joined(self, node: Node, tensor: str) -> Head | None:
        """Heads side by side, beside columns that are scores themselves perhaps."""
        found = {name: self.back(name) for name in node.inputs}
        heads = [head for head in found.values() if head is not None]
        functions = {head.function for head in heads}
        if not heads or ((len(heads) < len(found) or len(functions) > 1) and functions - _POSITIVE):
            return None
        rest = [name for name, head in found.items() if head is None]
        several = any(map(self.mixes, rest)) or any(head.several for head in heads)
        same = not rest and len({head.scores for head in heads}) == 1
        parts = {part.made: part for head in heads for part in head.parts}
        return Head(
            tensor,
            functions.pop() if len(functions) == 1 and not rest else MIXED,
            heads[0].scores if same else "",
            (*parts.values(), PathNode("move", node, node.inputs[0], tensor)),
            several=several,
        )

    def column_mixes(self, tensor: str) -> bool:
        """Whether a tensor, or some of its columns, is made of probabilities and nothing else."""
        node = self.maker(tensor)
        if node is not None and node.operator in PASSING | MOVING:
            return self.column_mixes(node.inputs[0])
        if node is not None and node.operator in _WRITING:
            return self.column_mixes(node.inputs[0]) or self.mixes(node.inputs[2])
        if node is not None and node.operator == "Concat":
            return any(map(self.column_mixes, filter(self._varies, node.inputs)))
        return self.mixes(tensor)

    def mixes(self, tensor: str) -> bool:
        """Whether a tensor is made of probabilities and nothing else: a root, a mean, or
        a product of them."""
        node = self.maker(tensor)
        if node is None:
            return False
        if self.back(tensor):
            return True
        if node.operator in _ADDING | {"Concat", "Where"}:
            return self._all_mix(node.inputs)
        if node.operator in ("Pow", "Sub"):
            data = list(filter(self._varies, node.inputs))
            return len(data) == 1 and self.mixes(data[0])
        one = node.operator in _SUMMING | PASSING | _BOUNDING | MOVING | _PICKING | {
            "Div",
            "Log",
            "Sqrt",
        }
        return one and self.mixes(node.inputs[0])

    def _all_mix(self, names: tuple[str, ...]) -> bool:
        data = [name for name in names if name not in self.plan.integral and self._varies(name)]
        return bool(data) and all(map(self.mixes, data))

    def _varies(self, name: str) -> bool:
        return bool(name) and name not in self.graph.constants


_POSITIVE = frozenset({"softmax", "sigmoid", "softplus", "exp", MIXED})


def _is_positive(value: np.ndarray | None) -> bool:
    return value is not None and value.dtype.kind in "fiu" and bool(np.all(value > 0))
