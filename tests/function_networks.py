"""Small networks around a function, and how its nodes are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tests.graphs import FLOAT, model, node, normal

Array = npt.NDArray[Any]
Write = Callable[["Writer", str], str]
SAMPLES = "N"


class Writer:
    """Writes nodes one by one; numbers become constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def __call__(self, op_type: str, *operands: Any, **attributes: Any) -> str:
        """The first output's name."""
        inputs = [self.operand(operand) for operand in operands]
        out = f"t{len(self.nodes)}"
        domain = attributes.pop("domain", "")
        self.nodes.append(node(op_type, inputs, [out], out, domain=domain, **attributes))
        return out

    def operand(self, operand: Any) -> str:
        """A tensor's name, of a constant where it is none."""
        if isinstance(operand, str):
            return operand
        if type(operand) is float:
            operand = np.float32(operand)
        name = f"c{len(self.weights)}"
        self.weights[name] = np.asarray(operand)
        return name


def dense(write: Write, *, residual: bool = False, head: bool = False, opset: int) -> bytes:
    """x[N, 3, 6] -> MatMul, bias, perhaps x added -> the function -> MatMul unless at the head."""
    g = Writer()
    h = g("Add", g("MatMul", "x", normal(6, 6, seed=1)), normal(6, seed=2))
    y = write(g, g("Add", "x", h) if residual else h)
    if not head:
        y = g("MatMul", y, normal(6, 4, seed=3))
    return _finished(g, y, [SAMPLES, 3, 6], [SAMPLES, 3, 6 if head else 4], opset)


def convolutional(write: Write, *, opset: int) -> bytes:
    """x[N, 3, 4, 5] -> Conv of 6 channels -> the function -> Conv."""
    g = Writer()
    h = g("Conv", "x", normal(6, 3, 1, 1, seed=1), normal(6, seed=2))
    y = g("Conv", write(g, h), normal(2, 6, 3, 3, seed=3))
    return _finished(g, y, [SAMPLES, 3, 4, 5], [SAMPLES, 2, 2, 3], opset)


def _finished(g: Writer, y: str, before: list[Any], after: list[Any], opset: int) -> bytes:
    g.nodes.append(node("Identity", [y], ["y"], "y"))
    proto = model(g.nodes, {"x": (FLOAT, before)}, {"y": (FLOAT, after)}, g.weights, opset=opset)
    return bytes(proto.SerializeToString())


def op(op_type: str, *operands: Any, **attributes: Any) -> Write:
    return lambda g, x: g(op_type, x, *operands, **attributes)
