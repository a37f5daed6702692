"""The head of a model: the scores, and the function of them that the explained output is.

A probability is a poor place to start from with signs: it is positive also where the score speaks
against the class. So signed modes start with the values of the scores, which relevance reaches
unchanged, because the head hands it on as it is. Where the function is a (log-)softmax, scores are
defined up to a constant only. `head_search` finds heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.regions import is_region
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.passes.regions.identification import Native, native_of
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.structures.base import Passes, Step, Structure
from backtrace_onnx.structures.region import Region
from backtrace_onnx.targets.score_path import PathNode, ScoreMove, ScorePath
from backtrace_onnx.targets.two_classes import TwoClasses

StepOf = Callable[[Node], Step]

LOGARITHMS = {"softmax": "log-softmax", "sigmoid": "log-sigmoid"}
UP_TO_A_CONSTANT = frozenset({"softmax", "log-softmax"})
MIXED = "mixed"
_TURNING: tuple[ScoreMove, ...] = ("mirror", "turn", "log of rest")


@dataclass(frozen=True)
class Head:
    """How the explained output follows from scores.

    Attributes:
        output: the tensor that is explained.
        function: "softmax", "log-softmax", "sigmoid", "log-sigmoid", "exp" or "softplus"; `MIXED`
            where its columns are several of them; "" where the output holds the scores themselves.
        scores: the tensor with the scores; "" where there are several, or none outside the node.
        parts: the nodes from the scores to the output, in order, and what they do.
        maker: the node whose units the scores are, if that is one.
        below: the nodes from its output to the scores.
        decided: whether the output is the second of two scores, and the first its negative.
        several: whether entries are made of probabilities in a way that leaves no one score.
    """

    output: str
    function: str = ""
    scores: str = ""
    parts: ScorePath = ()
    maker: Node | None = None
    below: ScorePath = ()
    decided: bool = False
    several: bool = False

    @property
    def squashing(self) -> PathNode | None:
        """The node of the function."""
        return next((part for part in self.parts if part.way == "squash"), None)

    @property
    def logarithmic(self) -> bool:
        """Whether the output holds logarithms of probabilities."""
        if self.function not in LOGARITHMS.values():
            return False
        after: list[ScoreMove] = []
        for part in self.parts:
            after = [] if part.way in ("log", "log of rest") else [*after, part.way]
        return not {"scale", *_TURNING} & set(after)

    @property
    def two(self) -> TwoClasses:
        """What one entry alone says of two classes."""
        ways = {part.way for part in self.parts}
        if self.function == "sigmoid" and not ways & {"scale", "turn", "pick"}:
            return "probability"
        return "decision" if self.decided else ""

    @property
    def made(self) -> str:
        """The output of `maker` that holds the scores."""
        assert self.maker is not None
        return self.below[0].source if self.below else self.scores or self.maker.outputs[-1]

    def needs(self, graph: Graph) -> frozenset[str]:
        """Tensors whose values `values` and `sides` read, beside those of the plan."""
        found = {self.scores or self.output}
        made = {part.made for part in (*self.parts, *self.below)}
        for part in (*self.parts, *self.below):
            node = part.node
            found.update(set(node.inputs) - made if part.way == "move" else ())
            found.update((part.source, part.made, *node.outputs[1:]) if part.way == "pick" else ())
            found.update((*node.inputs, part.source) if part.way == "squash" else ())
        for name in reversed(tuple(graph.computed)):  # what is computed of others comes after them
            found.update(graph.computed[name].inputs if name in found else ())
        fixed = graph.constants.keys() | graph.computed.keys() | set(graph.inputs) | {""}
        return frozenset(found - fixed)

    def mirrored(self, plan: Plan) -> Plan:
        """The plan in which 1 - p hands on what it gets: it is the other class's probability, the
        same function of the score turned round, and its 1 is no bias."""
        return self._passing(plan, ("mirror",))

    def plan(self, plan: Plan) -> Plan:
        """The plan of a mode that starts at the scores: the head hands relevance on as it is."""
        return self._passing(plan, ("pass", "scale", "log", "squash", *_TURNING))

    def _passing(self, plan: Plan, ways: Sequence[ScoreMove]) -> Plan:
        """The plan in which the parts that go these ways hand relevance on as it is; kept."""
        places = tuple((part.way, part.node.name, part.source, part.made) for part in self.parts)
        key = ("passing", self.scores, places, ways)
        return plan.remember(key, lambda: self._handed_on(plan, ways))

    def _handed_on(self, plan: Plan, ways: Sequence[ScoreMove]) -> Plan:
        passing: dict[str, Structure] = {}
        for part in self.parts:
            known = plan.structures.get(part.node.name)
            read = plan.graph.producers.get(part.made)
            is_read = read is part.node
            if not is_read and read is not None and is_region(read):  # a part of what is one
                whole = plan.structures.get(read.name)
                before = whole.until(self.scores) if isinstance(whole, Region) else None
                passing[read.name] = before or Passes(0)
                continue
            if part.way == "squash" and part.way in ways and known is not None and known.squashes:
                passing[part.node.name] = known.bared()
            elif part.way in ways and is_read and known is not None and not known.squashes:
                passing[part.node.name] = Passes(part.node.inputs.index(part.source))
        return replace(plan, structures={**plan.structures, **passing}) if passing else plan

    def is_raisable(self, plan: Plan) -> bool:
        """Whether a constant can be added to the scores."""
        known = plan.structures.get(self.maker.name) if self.maker else None
        turned = any(part.way in _TURNING for part in (*self.parts, *self.below))
        return known is not None and known.raises and not turned

    def raised(self, plan: Plan, constant: Value, ops: Ops) -> Plan:
        """The plan in which the units of the scores have another bias, `constant` more."""
        assert self.maker is not None
        made = plan.structures[self.maker.name].raised(ops, constant)
        return plan.raised(self.maker.name, made)

    def values(self, ops: Ops, step: StepOf, plan: Plan) -> Value | None:
        """The scores, shaped like the output; None where the output holds them."""
        if not self.function:
            return None
        squashing = [part for part in self.parts if part.way == "squash"]
        made = {part.made: _scores(part, step(part.node), plan) for part in squashing}
        return _moved(ops, step, made, self.parts, self.output)

    def signs(self, ops: Ops, step: StepOf, plan: Plan) -> Value | None:
        """Shaped like the output: -1 where a score is turned on its way, else 1; None for 1."""
        turned = any(part.way in _TURNING for part in self.parts)
        if not turned or self.function == MIXED:
            return None
        made: dict[str, Value] = {}
        for part in self.parts:
            if part.way == "squash":
                shape = ops.shape(_scores(part, step(part.node), plan))
                made[part.made] = ops.Expand(ops.scalar(1), shape)
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
        made = {self.made: side}
        return _moved(ops, step, made, (*self.below, *self.parts), self.output)


def _moved(
    ops: Ops, step: StepOf, made: dict[str, Value], parts: Sequence[PathNode], output: str
) -> Value:
    """What lies at `output` if these nodes only move what is made."""
    for part in parts:
        if part.made in made:
            continue
        if part.way == "move":
            node = part.node
            inputs = [made[x] if x in made else step(node).tensor(x) for x in node.inputs if x]
            count = len(node.outputs)
            result = ops.op(node.op_type, inputs, dict(node.attributes), outputs=count)
            made.update(zip(node.outputs, result if count > 1 else (result,), strict=True))
        elif part.way == "pick":
            made[part.made] = _picked(ops, step(part.node), part, made[part.source])
        else:
            value = made[part.source]
            made[part.made] = ops.Neg(value) if part.way in _TURNING else value
    return made[output]


def _picked(ops: Ops, step: Step, part: PathNode, x: Value) -> Value:
    """Of x what the node picks of its input; the mean where several are alike."""
    node = part.node
    if len(node.outputs) > 1:
        axis = int(node.attributes.get("axis", -1))
        return ops.GatherElements(x, step.tensor(node.outputs[1]), axis=axis)
    axes = node.attributes.get("axes")
    over = () if axes is None else (ints(*axes),)
    over = (step.tensor(node.inputs[1]),) if len(node.inputs) > 1 and node.inputs[1] else over
    keepdims = int(node.attributes.get("keepdims", 1))
    p = step.tensor(part.source)
    best = ops.op(node.op_type, (p, *over), {"keepdims": 1})
    hits = ops.Cast(ops.Equal(p, best), to=ops.float_type)
    total = ops.ReduceSum(ops.Mul(hits, x), *over, keepdims=keepdims)
    return ops.Div(total, ops.ReduceSum(hits, *over, keepdims=keepdims))


def _scores(part: PathNode, step: Step, plan: Plan) -> Value:
    """The scores that a node squashes."""
    structure = plan.structures.get(part.node.name)
    if structure is not None and structure.squashes:
        return structure.raw_scores(step)
    scores, native = step.tensor(part.source), native_of_region(part.node, plan.graph)
    if native is None or native.is_plain:
        return scores
    ops = step.ops
    return ops.Add(ops.Mul(scores, ops.scalar(native.scale)), ops.scalar(native.shift))


def native_of_region(node: Node, graph: Graph) -> Native | None:
    """Which function a node is that stands for several; None for others."""
    return native_of(node, graph) if is_region(node) else None


__all__ = ["LOGARITHMS", "MIXED", "UP_TO_A_CONSTANT", "Head", "native_of_region"]
