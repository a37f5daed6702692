"""How relevance leaves a recurrent cell's step, by the step's equations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.structures.arithmetic import Product
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.cell_sharing import CellSharing, Fixed, Sent, State, Values
from backtrace_onnx.structures.equations import BEFORE, MEMORY, WEIGHTS, Equation, Equations
from backtrace_onnx.structures.moves import Parted
from backtrace_onnx.structures.sums import Terms


class StepBack:
    """The way back through one step, or through all of them at once, in the words of `sharing`.

    Sums share by the policy, products in halves, all else passes; products with weights wait until
    the end, but for one in the middle of the step.

    Attributes:
        values: of the step's tensors, by name.
        states: the products with the state, and in the middle of the step.
        data: which of the weights "r" and "p" take relevance.
        fixed: what takes none before the step.
    """

    def __init__(
        self,
        sharing: CellSharing,
        equations: Equations,
        key: str,
        values: Values,
        states: Sequence[State],
        data: frozenset[str],
        fixed: Fixed,
    ) -> None:
        self.s, self.equations, self.key = sharing, equations, key
        self.v, self.states, self.fixed = values, states, fixed
        self.carriers = carriers(equations, data, fixed)
        self._found: dict[str, list[Channels]] = {}

    def sent(self, r: Mapping[str, Channels]) -> Sent:
        """What the step sends of the relevance `r` of the states after it, by state."""
        for name, channels in r.items():
            self._found[self.equations.ends[name]] = [channels]
        for member in reversed(self.equations.members):
            arrived = [self._of(name) for name in member.node.outputs]
            if self.carriers.isdisjoint(member.node.outputs) or not any(arrived):
                continue
            for name, piece in self._pieces(member, arrived).items():
                if name in self.carriers:
                    self._found.setdefault(name, []).append(piece)
        x, state, *inner = (self._of(member.node.outputs[0]) for member in self.equations.products)
        assert x is not None
        # Pieces arrive from the last of the nodes that read a state to the first.
        h, c = (self._sum(self._found.get(name, ())[::-1]) for name in (BEFORE, MEMORY))
        seen = {name: found for name in WEIGHTS if (found := self._of(name)) is not None}
        return Sent(x, state, h, c, inner[0] if inner else None, seen)

    def _of(self, name: str) -> Channels | None:
        return self._sum(self._found.get(name, ()))

    def _sum(self, pieces: Sequence[Channels]) -> Channels | None:
        return self.s.plus(pieces[0], *pieces[1:]) if pieces else None

    def _pieces(
        self, member: Equation, arrived: Sequence[Channels | None]
    ) -> Mapping[str, Channels]:
        """What the inputs of a node are sent."""
        node, (r, *_) = member.node, arrived
        if isinstance(member.structure, Parted):
            whole = self._beside(arrived)
            return {} if whole is None else {node.inputs[0]: whole}
        assert r is not None
        if member.mixes:
            if node.inputs[0] not in self.equations.tensors:
                return {}
            return {node.inputs[0]: self.s.pull(f"{self.key}/inner", r, self.states[1])}
        if member.activates:
            return {node.inputs[0]: r}
        if isinstance(member.structure, Product):
            takers = [name for name in node.inputs if name in self.carriers]
            return dict.fromkeys(takers, self.s.half(r) if len(takers) > 1 else r)
        assert isinstance(member.structure, Terms)
        return self._terms(member, member.structure.signs, r)

    def _terms(self, member: Equation, signs: Sequence[int], r: Channels) -> Mapping[str, Channels]:
        ways = dict(zip(member.node.inputs, signs, strict=True))
        x, h, *more = member.node.inputs
        joint = is_joint(self.equations, member)
        data = [name for name in (more if joint else ways) if name in self.carriers]
        others = [name for name in (more if joint else ways) if name not in data]
        fixed = [self._value(name, ways[name]) for name in others]
        bias = self.s.ops.sum(fixed) if len(fixed) > 1 else next(iter(fixed), None)
        values = [self._value(name, ways[name]) for name in data]
        if not joint:
            return dict(zip(data, self.s.terms(r, *values, bias=bias), strict=True))
        gate = {"x": self._value(x), "state": self._value(h)}
        to_x, to_state, *rest = self.s.products(r, gate, self.fixed, *values, bias=bias)
        sent = {} if to_state is None else {h: to_state}
        return {x: to_x, **sent, **dict(zip(data, rest, strict=True))}

    def _value(self, name: str, sign: int = 1) -> Value:
        number = self.equations.numbers.get(name)
        if number is not None:
            return self.s.ops.scalar(number)
        if name not in self.v:
            cut = self.equations.makers[name]
            parts = cut.compute(self.s.ops, self.v[cut.node.inputs[0]])
            return parts[cut.node.outputs.index(name)]
        return self.v[name] if sign > 0 else self.s.ops.Neg(self.v[name])

    def _beside(self, parts: Sequence[Channels | None]) -> Channels | None:
        """Gates side by side; those that nothing reached have zeros."""
        some = next((part for part in parts if part is not None), None)
        if some is None:
            return None
        none = [self.s.ops.Mul(x, self.s.ops.zero()) for x in some] if None in parts else some
        return self.s.beside(*(none if part is None else part for part in parts))


def carriers(equations: Equations, data: frozenset[str], fixed: Fixed) -> frozenset[str]:
    """Tensors that take relevance."""
    entries = {"x", BEFORE, MEMORY, *(("p_i", "p_o", "p_f") if "p" in data else ())}
    entries -= {name for state, name in (("h", BEFORE), ("c", MEMORY)) if state in fixed}
    state = equations.products[1].node.outputs[0]
    if not fixed & {"product", "joined"}:
        entries.add(state)
    return equations.behind(*entries)


def is_joint(equations: Equations, member: Equation) -> bool:
    """Whether a sum's first terms are a product of the input and the same one of the state."""
    first, second = equations.products[:2]
    for product, name in zip((first, second), member.node.inputs, strict=False):
        made = product.node.outputs[0]
        parts = [m.node for m in equations.members if m.node.inputs[0] == made and not m.sums]
        if name != made and not any(name in node.outputs for node in parts):
            return False
    return True


def joined_constant(
    sharing: CellSharing, equations: Equations, values: Values, found: frozenset[str]
) -> Value:
    """The state's product, with the terms beside it that take no relevance (not in `found`)."""
    state = equations.products[1].node.outputs[0]
    split = [m.node for m in equations.members if m.node.inputs == (state,)]
    if not split:
        return values[state]
    more = []
    for part in split[0].outputs:
        (member,) = (m for m in equations.members if part in m.node.inputs)
        more.append([values[name] for name in member.node.inputs[2:] if name not in found])
    some = next((terms[0] for terms in more if terms), None)
    if some is None:
        return values[state]
    none = sharing.ops.Mul(some, sharing.ops.zero())
    parts = [terms[0] if terms else none for terms in more]
    return sharing.ops.Add(values[state], sharing.ops.Concat(*parts, axis=-1))
