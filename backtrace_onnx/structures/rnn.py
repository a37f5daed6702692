"""The simple recurrent cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backtrace_onnx.ops.gates import GATES, Gate
from backtrace_onnx.ops.vocabulary import Ops, Value
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


@dataclass(frozen=True)
class RNN(Cell):
    """H = f(x W^T + H' R^T + biases)."""

    def write(self, s: Writer) -> dict[str, str]:
        z = s.sum(s.linear("x", "w", "wb"), s.linear("h", "r", "rb"))
        return {"h": s.act(0, z)}

    @property
    def saturation(self) -> Gate | None:
        name = self.activations[0].name.capitalize()
        return GATES.get(name) if self.clip is None else None

    def forward(self, ops: Ops, key: str, reading: str, o: Operands) -> dict[str, Value]:
        def text(e: Ops, x: Value, y: Value, h: Value, *weights: Value) -> Any:
            w, r, wb, rb = weights
            before = preceding(e, y, h)
            products = with_bias(e, x, w, wb), with_bias(e, before, r, rb)
            return *products, before, *product_masses(e, reading, before, r)

        weights = (o.w, o.r, o.wb, o.rb)
        made = ops.apply(f"{key}/forward/{reading}", text, o.x, o.y, o.h, *weights)
        return dict(zip(["x", "state", "before", "p", "n"], made, strict=False))

    def back(
        self,
        s: CellSharing,
        key: str,
        r: Mapping[str, Channels],
        v: Values,
        o: Operands,
        fixed: Fixed,
    ) -> Sent:
        return Sent(*s.products(r["h"], v, fixed))
