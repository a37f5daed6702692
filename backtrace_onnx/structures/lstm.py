"""The long short-term memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.cells import (
    Cell,
    CellSharing,
    Fixed,
    Operands,
    Sent,
    Values,
    preceding,
    product_masses,
)
from backtrace_onnx.structures.equations import Writer
from backtrace_onnx.structures.products import with_bias

IN, OUT, FORGET, NEW = range(4)


class Seen(NamedTuple):
    """What a gate sends to its products with the input and the state, and to its peephole."""

    x: Channels
    state: Channels | None
    seen: Channels


@dataclass(frozen=True)
class LSTM(Cell):
    """C = f * C' + i * g, H = o * h(C); the gates i, o, f may see the memory through peepholes.

    Attributes:
        coupled: f is 1 - i (the attribute input_forget).
    """

    coupled: bool = False
    gates: ClassVar[int] = 4

    def write(self, s: Writer) -> dict[str, str]:
        zx, zh = s.linear("x", "w", "wb"), s.linear("h", "r", "rb")
        if "p_i" in s.given:
            z = [*zip(*(s.split(z, 1, 1, 1, 1) for z in (zx, zh)), strict=True)]
            i, f, g = (
                s.sum(*z[IN], s.mul("p_i", "c")),
                s.sum(*z[FORGET], s.mul("p_f", "c")),
                s.sum(*z[NEW]),
            )
        else:
            i, o, f, g = s.split(s.sum(zx, zh), 1, 1, 1, 1)
        i = s.act(0, i)
        f = s.opposite(i) if self.coupled else s.act(0, f)
        c = s.sum(s.mul(f, "c"), s.mul(i, s.act(1, g)))
        if "p_o" in s.given:
            o = s.sum(*z[OUT], s.mul("p_o", c))
        return {"h": s.mul(s.act(0, o), s.act(2, c, clipped=False)), "c": c}

    def unitwise(self, o: Operands) -> bool:
        return not self.coupled and o.peephole is None

    def forward(self, ops: Ops, key: str, reading: str, o: Operands) -> dict[str, Value]:
        def text(e: Ops, x: Value, y: Value, h: Value, c: Value, *weights: Value) -> Any:
            w, r, wb, rb, peephole = weights
            before = preceding(e, y, h)
            zx, zh = with_bias(e, x, w, wb), with_bias(e, before, r, rb)
            gates = self.split(e, e.Add(zx, zh))
            inner = (
                self._gates(e, gates) if peephole is None else self._seeing(e, gates, c, peephole)
            )
            return zx, zh, before, *inner, *product_masses(e, reading, before, r)

        weights = (o.w, o.r, o.wb, o.rb, o.peephole)
        made = ops.apply(f"{key}/forward/{reading}", text, o.x, o.y, o.h, o.c, *weights)
        names = ["x", "state", "before", "i", "f", "made"]
        if o.peephole is not None:
            names += ["c", "peep_i", "peep_f"]
        values = dict(zip([*names, "p", "n"], made, strict=False))
        memory = values.get("c")
        if memory is None:
            memory = ops.recur(values["f"], values["made"], o.c)
        values["kept"] = ops.Mul(values["f"], memory)
        if o.peephole is not None:
            values["peep_o"] = self._peep_o(ops, values, o)
        return values

    def _gates(self, e: Ops, z: Sequence[Value]) -> tuple[Value, ...]:
        """i, f and i * g for all steps at once."""
        i = self.act(e, 0, z[IN])
        f = e.Sub(e.scalar(1), i) if self.coupled else self.act(e, 0, z[FORGET])
        return i, f, e.Mul(i, self.act(e, 1, z[NEW]))

    def _seeing(self, e: Ops, z: Sequence[Value], c: Value, peephole: Value) -> tuple[Value, ...]:
        """The same with peepholes, step by step; also the memory before and what they see."""
        p_i, _, p_f = e.split(peephole, [ints(1)] * 3, 0)

        def step(e: Ops, carried: Sequence[Value], z_i: Value, z_f: Value, g: Value) -> Any:
            (c,) = carried
            i = self.act(e, 0, e.Add(z_i, e.Mul(p_i, c)))
            f = self.act(e, 0, e.Add(z_f, e.Mul(p_f, c)))
            f = e.Sub(e.scalar(1), i) if self.coupled else f
            made = e.Mul(i, g)
            return [e.Add(e.Mul(f, c), made)], [i, f, made, c]

        if c is None:
            c = e.Expand(e.zero(), e.Shape(z[NEW], start=1))
        _, (i, f, made, before) = e.scan(step, [c], [z[IN], z[FORGET], self.act(e, 1, z[NEW])])
        seen = e.Mul(p_i, before), e.Mul(p_f, before)
        return i, f, made, before, *seen

    def _peep_o(self, ops: Ops, values: Values, o: Operands) -> Value:
        """What the output gate sees: P_o * C."""
        row = ops.Gather(o.peephole, ints(OUT), axis=0)
        return ops.Mul(row, ops.Add(values["kept"], values["made"]))

    def back(
        self,
        s: CellSharing,
        key: str,
        r: Mapping[str, Channels],
        v: Values,
        o: Operands,
        fixed: Fixed,
    ) -> Sent:
        r_o = s.half(r["h"])
        memory = s.plus(r["c"], r_o)
        seeing: dict[int, Seen] = {}
        if o.peephole is not None:
            seeing[OUT] = self._seen(s, OUT, r_o, v, o, fixed)
            memory = s.plus(memory, self._halved(s, seeing[OUT].seen, o))
        r_kept, r_made = s.terms(memory, v["kept"], v["made"])
        r_i = r_g = s.half(r_made)
        r_f = r_c = r_kept if "c" in fixed else s.half(r_kept)
        if self.coupled:
            (opposite,) = s.terms(r_f, s.ops.Neg(v["i"]), bias=s.ops.scalar(1))
            r_i, r_f = s.plus(r_i, opposite), [s.ops.Mul(x, s.ops.zero()) for x in r_f]
        if o.peephole is None:
            return Sent(*s.products(s.beside(r_i, r_o, r_f, r_g), v, fixed)[:2], None, r_c)
        seeing[IN] = self._seen(s, IN, r_i, v, o, fixed)
        seeing[FORGET] = self._seen(s, FORGET, r_f, v, o, fixed)
        seeing[NEW] = self._seen(s, NEW, r_g, v, o, fixed)
        both = s.plus(seeing[IN].seen, seeing[FORGET].seen)
        r_c = s.plus(r_c, self._halved(s, both, o))
        to_x, to_state, seen = zip(*(seeing[i] for i in range(self.gates)), strict=True)
        sent = None if to_state[0] is None else s.beside(*to_state)
        return Sent(s.beside(*to_x), sent, None, r_c, None, self._to_peephole(s, seen, o, fixed))

    def _halved(self, s: CellSharing, r: Channels, o: Operands) -> Channels:
        """What the memory gets of a product with peephole weights."""
        return s.half(r) if "p" in o.data else r

    def _seen(
        self, s: CellSharing, i: int, r: Channels, v: Values, o: Operands, fixed: Fixed
    ) -> Seen:
        """What gate i sends to its two products, and to what it sees of the memory."""
        gate = {k: self.split(s.ops, v[k])[i] for k in ("x", "state")}
        seen = v.get(("peep_i", "peep_o", "peep_f", "")[i])
        if seen is None or (i != OUT and self._is_constant(o, fixed)):
            to_x, to_state, *_ = s.products(r, gate, fixed, bias=seen)
            return Seen(to_x, to_state, [s.ops.Mul(x, s.ops.zero()) for x in r])
        return Seen(*s.products(r, gate, fixed, seen))

    def _is_constant(self, o: Operands, fixed: Fixed) -> bool:
        """Whether what gates see of the memory before the first step takes no relevance."""
        return "c" in fixed and "p" not in o.data

    def constant(self, s: CellSharing, v: Values, o: Operands, fixed: Fixed) -> Value:
        if o.peephole is None or not self._is_constant(o, fixed):
            return v["state"]
        none = s.ops.Mul(v["peep_i"], s.ops.zero())
        parts = [v["peep_i"], none, v["peep_f"], none]
        return s.ops.Add(v["state"], s.ops.Concat(*parts, axis=-1))

    def _to_peephole(
        self, s: CellSharing, seen: Sequence[Channels], o: Operands, fixed: Fixed
    ) -> Channels | None:
        """What the peephole weights are sent, where they are data."""
        if "p" not in o.data:
            return None
        halves = [s.half(x) if "c" not in fixed or i == OUT else x for i, x in enumerate(seen[:3])]
        return s.beside(*halves)
