"""The simple recurrent cell."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.ops.gates import GATES, Gate
from backtrace_onnx.structures.cells import Cell
from backtrace_onnx.structures.equation_writer import Writer
from backtrace_onnx.structures.equations import BEFORE


@dataclass(frozen=True)
class RNN(Cell):
    """H = f(x W^T + H' R^T + biases)."""

    @property
    def saturation(self) -> Gate | None:
        name = self.activations[0].name.capitalize()
        return GATES.get(name) if self.clip is None else None

    def write(self, s: Writer) -> dict[str, str]:
        z = s.sum(s.linear("x", "w", "wb"), s.linear(BEFORE, "r", "rb"))
        return {"h": s.act(0, z)}
