"""The long short-term memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from backtrace_onnx.structures.cells import Cell, Operands
from backtrace_onnx.structures.equation_writer import Writer
from backtrace_onnx.structures.equations import BEFORE, MEMORY


@dataclass(frozen=True)
class LSTM(Cell):
    """C = f * C' + i * g, H = o * h(C); the gates i, o, f may see the memory through peepholes.

    Attributes:
        coupled: f is 1 - i (the attribute input_forget).
    """

    coupled: bool = False
    gates: ClassVar[int] = 4

    def unitwise(self, o: Operands) -> bool:
        return not self.coupled and o.peephole is None

    def write(self, s: Writer) -> dict[str, str]:
        zx, zh = s.linear("x", "w", "wb"), s.linear(BEFORE, "r", "rb")
        if "p_i" in s.given:
            parts = (s.split(z, 1, 1, 1, 1, kept=False) for z in (zx, zh))
            z = [*zip(*parts, strict=True)]
            i, f = (s.sum(*z[k], s.mul(p, MEMORY)) for k, p in ((0, "p_i"), (2, "p_f")))
            g = s.sum(*z[3])
        else:
            i, o, f, g = s.split(s.sum(zx, zh), 1, 1, 1, 1)
        i = s.act(0, i)
        f = s.opposite(i) if self.coupled else s.act(0, f)
        c = s.sum(s.mul(f, MEMORY), s.mul(i, s.act(1, g)))
        if "p_o" in s.given:
            o = s.sum(*z[1], s.mul("p_o", c))
        return {"h": s.mul(s.act(0, o), s.act(2, c, clipped=False)), "c": c}
