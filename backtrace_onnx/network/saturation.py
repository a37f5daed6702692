"""Units that have nothing to say: dead ReLUs, saturated tanh, sigmoid and softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Graph, Node

Array = npt.NDArray[Any]
NEAR = 0.01
"""How near to the end of its range a value counts as saturated: a proposal."""
_KINDS = ("Relu", "ThresholdedRelu", "Tanh", "Sigmoid", "HardSigmoid", "Clip", "Softmax")


@dataclass(frozen=True)
class Saturation:
    """How often the values that a node makes are at an end of its range.

    Attributes:
        saturated: the mean part of a row's values. Relu: those that are 0; tanh and sigmoid: within
            0.01 of an end; Clip: at a bound; softmax: distributions with an entry over 0.99.
        dead: the part of the units that were so in every row, at every place; None of a softmax.
    """

    saturated: float
    dead: float | None


def watched(graph: Graph, there: frozenset[str]) -> list[Node]:
    """The nodes whose values can saturate, of which the model computes the values."""
    return [n for n in graph.nodes if n.operator in _KINDS and n.outputs[0] in there]


class SaturationCounts:
    """Counts over the rows of one node, while they come."""

    def __init__(self, node: Node, graph: Graph) -> None:
        self.node, self._graph = node, graph
        self._total, self._rows = 0.0, 0
        self._always: Array | None = None

    def add(self, values: Array, rows: int) -> None:
        """Values [rows, ...], samples first; those after `rows` are left out."""
        at_end = self._at_end(values[:rows])
        for row in at_end.reshape(rows, -1).mean(1):
            self._total += float(row)
        self._rows += rows
        if self.node.operator != "Softmax":
            unit = 1 if at_end.ndim > 3 else at_end.ndim - 1
            other = tuple(axis for axis in range(at_end.ndim) if axis != unit)
            always = np.asarray(at_end.all(axis=other))
            self._always = always if self._always is None else self._always & always

    def found(self) -> Saturation:
        """What was counted."""
        dead = None if self._always is None else float(self._always.mean())
        return Saturation(self._total / max(self._rows, 1), dead)

    def _at_end(self, y: Array) -> Array:
        """Where values are at an end; of a softmax one for each distribution."""
        operator = self.node.operator
        made: Array
        if operator in ("Relu", "ThresholdedRelu"):
            made = y == 0
        elif operator == "Tanh":
            made = np.abs(y) > 1 - NEAR
        elif operator == "Softmax":
            axis = int(self.node.attributes.get("axis", -1))
            made = y.max(axis=axis) > 1 - NEAR
        elif operator == "Clip":
            made = np.zeros(y.shape, bool)
            for bound in self._bounds(self._graph.constants):
                made |= y == np.asarray(bound, y.dtype)
        else:
            made = (y < NEAR) | (y > 1 - NEAR)
        return made.reshape(len(y), -1) if made.ndim < 2 else made

    def _bounds(self, constants: Mapping[str, Array]) -> list[Any]:
        """The bounds of a Clip that are known."""
        named = [self.node.attributes[k] for k in ("min", "max") if k in self.node.attributes]
        return named + [constants[name] for name in self.node.inputs[1:] if name in constants]
