"""Functions that are their input times something, as x sigmoid(x) is: what they are over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.operator_families import NEUTRAL

Constants = Mapping[str, npt.NDArray[Any]]

_FINITE = NEUTRAL | {
    "Abs", "Add", "Clip", "Erf", "HardSigmoid", "Max", "Min", "Mul", "Neg", "Relu", "Sigmoid",
    "Softplus", "Softsign", "Sub", "Tanh",
}  # fmt: skip
"""Operators that make finite numbers of finite ones."""


def factors_of(x: str, nodes: Sequence[Node], constants: Constants) -> tuple[str, ...]:
    """Tensors by which the last node's output is x times their product, which is finite at x = 0.

    () where it is nothing of the kind.
    """
    factors: dict[str, tuple[str, ...]] = {x: ()}
    for node in nodes:
        if not _stays_finite(node, constants):
            return ()
        of = [name for name in node.inputs if name in factors]
        if node.op_type == "Mul" and len(of) == 1:
            others = tuple(name for name in node.inputs if name != of[0])
            factors[node.outputs[0]] = factors[of[0]] + others
    return factors.get(nodes[-1].outputs[0], ())


def _stays_finite(node: Node, constants: Constants) -> bool:
    if node.op_type not in ("Div", "Pow"):
        return node.op_type in _FINITE
    by = constants.get(node.inputs[1])
    return by is not None and bool(((by != 0) if node.op_type == "Div" else (by > 0)).all())


__all__ = ["factors_of"]
