"""The gated recurrent unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from backtrace_onnx.ops.vocabulary import Constant, Ops, Value, ints
from backtrace_onnx.structures.cells import Cell, Operands
from backtrace_onnx.structures.equation_writer import Writer
from backtrace_onnx.structures.equations import BEFORE


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
        h, h_new = s.linear(BEFORE, "r", "rb"), None
        if self.after:
            h, h_new = s.split(h, 2, 1)
        z, reset = s.split(s.act(0, s.sum(x, h, gates=2)), 1, 1)
        gated = s.mul(reset, h_new or BEFORE)
        if not self.after:
            gated = s.linear(gated, "r_n", "rb_n")
        new, kept = s.mul(s.opposite(z), s.act(1, s.sum(x_new, gated))), s.mul(z, BEFORE)
        return {"h": s.sum(new, kept)}

    def weights(self, ops: Ops, o: Operands) -> dict[str, Value]:
        found = super().weights(ops, o)
        for name in ("r", "rb") if not self.after else ():
            if name in found:
                found[name], found[f"{name}_n"] = self._rows(ops, found[name])
        return found

    def _rows(self, e: Ops, weight: Value) -> tuple[Value, ...]:
        """A weight's or bias's rows for z and r, and those for n."""
        cut = 2 * self.hidden
        if isinstance(weight, Constant):
            parts = weight.array[:cut], weight.array[cut:]
            return tuple(Constant(f"{weight.name}/{i}", part) for i, part in enumerate(parts))
        return e.split(weight, [ints(cut), ints(self.hidden)], 0)
