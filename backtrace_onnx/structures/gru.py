"""The gated recurrent unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtrace_onnx.ops.vocabulary import Constant, Ops, Value, ints
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.cells import (
    Cell,
    CellSharing,
    Fixed,
    Operands,
    Sent,
    State,
    Values,
    preceding,
    product_masses,
)
from backtrace_onnx.structures.equations import Writer
from backtrace_onnx.structures.products import with_bias


@dataclass(frozen=True)
class GRU(Cell):
    """H = (1 - z) * n + z * H'; the reset gate r acts on H' or, `after`, on its product.

    Attributes:
        after: whether the reset gate acts after the product (the attribute linear_before_reset).
    """

    after: bool = False
    gates: ClassVar[int] = 3
    joins: ClassVar[bool] = False

    def write(self, s: Writer) -> dict[str, str]:
        x, x_new = s.split(s.linear("x", "w", "wb"), 2, 1)
        if self.after:
            h, h_new = s.split(s.linear("h", "r", "rb"), 2, 1)
        else:
            h = s.linear("h", "r", "rb")
        z, reset = s.split(s.act(0, s.sum(x, h, gates=2)), 1, 1)
        gated = s.mul(reset, h_new) if self.after else s.linear(s.mul(reset, "h"), "r_n", "rb_n")
        new = s.mul(s.opposite(z), s.act(1, s.sum(x_new, gated)))
        return {"h": s.sum(new, s.mul(z, "h"))}

    def weights(self, ops: Ops, o: Operands) -> dict[str, Value]:
        if self.after:
            return super().weights(ops, o)
        (r, r_n), (rb, rb_n) = self._rows(ops, o.r), self._rows(ops, o.rb)
        found = {"w": o.w, "r": r, "r_n": r_n, "wb": o.wb, "rb": rb, "rb_n": rb_n}
        return {name: x for name, x in found.items() if x is not None}

    def forward(self, ops: Ops, key: str, reading: str, o: Operands) -> dict[str, Value]:
        def text(e: Ops, x: Value, y: Value, h: Value, *weights: Value) -> Any:
            w, r, wb, rb = weights
            before = preceding(e, y, h)
            zx = with_bias(e, x, w, wb)
            xs = e.split(zx, self._sizes, -1)
            if self.after:
                zh = with_bias(e, before, r, rb)
                states = list(e.split(zh, self._sizes, -1))
            else:
                (first, last), (b_first, b_last) = self._rows(e, r), self._rows(e, rb)
                states = [with_bias(e, before, first, b_first)]
            z, reset = e.split(self.act(e, 0, e.Add(xs[0], states[0])), self._sizes[1:] * 2, -1)
            if self.after:
                gated, masses = e.Mul(reset, states[1]), product_masses(e, reading, before, r)
            else:
                product = e.Mul(reset, before)
                gated = with_bias(e, product, last, b_last)
                masses = (
                    *product_masses(e, reading, before, first),
                    product,
                    *product_masses(e, reading, product, last),
                )
            kept = e.Sub(e.scalar(1), z)
            new = e.Mul(kept, self.act(e, 1, e.Add(xs[1], gated)))
            state = zh if self.after else states[0]
            return zx, state, before, *xs, states[0], gated, z, new, e.Mul(z, before), *masses

        made = ops.apply(f"{key}/forward/{reading}", text, o.x, o.y, o.h, o.w, o.r, o.wb, o.rb)
        names = ["x", "all", "before", "x_gates", "x_new", "state", "gated", "z", "new", "kept"]
        masses = ["p", "n"] if reading == "split" else ["p"]
        if not self.after:
            masses += ["inner", *(f"inner_{m}" for m in masses)]
        return dict(zip([*names, *masses], made, strict=True))

    @property
    def _sizes(self) -> list[Value]:
        return [ints(2 * self.hidden), ints(self.hidden)]

    def _rows(self, e: Ops, weight: Value) -> tuple[Value, ...]:
        """A weight's or bias's rows for z and r, and those for n."""
        if weight is None:
            return None, None
        cut = 2 * self.hidden
        if isinstance(weight, Constant):
            parts = weight.array[:cut], weight.array[cut:]
            return tuple(Constant(f"{weight.name}/{i}", part) for i, part in enumerate(parts))
        return e.split(weight, self._sizes, 0)

    def states(self, v: Values, o: Operands, ops: Ops) -> tuple[State, ...]:
        if self.after:
            return (State(v["before"], o.r, o.rb, v["all"], v["p"], v.get("n"), "r" in o.data),)
        weights, biases = self._rows(ops, o.r), self._rows(ops, o.rb)
        parts = (
            (v["before"], v["all"], v["p"], v.get("n")),
            (
                v["inner"],
                v["gated"],
                v["inner_p"],
                v.get("inner_n"),
            ),
        )
        return tuple(
            State(x, weights[k], biases[k], z, p, n, "r" in o.data)
            for k, (x, z, p, n) in enumerate(parts)
        )

    def back(
        self,
        s: CellSharing,
        key: str,
        r: Mapping[str, Channels],
        v: Values,
        o: Operands,
        fixed: Fixed,
    ) -> Sent:
        r_new, r_kept = s.terms(r["h"], v["new"], v["kept"])
        r_n = s.half(r_new)
        (r_z,) = s.terms(r_n, s.ops.Neg(v["z"]), bias=s.ops.scalar(1))
        r_z = s.plus(r_z, r_kept if "h" in fixed else s.half(r_kept))
        r_h = s.half(r_kept)
        to_x, r_gated = s.terms(r_n, v["x_new"], v["gated"])
        inner = None
        if self.after:
            r_reset = r_gated if "product" in fixed else s.half(r_gated)
            r_product = s.half(r_gated)
        else:
            inner, pulled = r_gated, s.pull(f"{key}/inner", r_gated, self.states(v, o, s.ops)[1])
            r_reset = pulled if "h" in fixed else s.half(pulled)
            r_h = s.plus(r_h, s.half(pulled))
        gates, to_state, *_ = s.products(
            s.beside(r_z, r_reset), {"x": v["x_gates"], "state": v["state"]}, fixed
        )
        if self.after and to_state is not None:
            to_state = s.beside(to_state, r_product)
        return Sent(s.beside(gates, to_x), to_state, r_h, inner=inner)
