"""A node inside of a region, as its structure sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.sharing import PLAIN, Sharing
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.inner_step import InnerStep


class Surrounding(Protocol):
    """What a node is told of the region around it."""

    @property
    def kind(self) -> str:
        """What sort of function it is."""

    @property
    def constants(self) -> Mapping[str, npt.NDArray[Any]]:
        """What its nodes read of the model's constants."""

    @property
    def carriers(self) -> frozenset[str]:
        """Tensors that depend on its input."""

    @property
    def statistics(self) -> frozenset[str]:
        """Tensors that are less than one number for each of its input."""


class RegionStep(InnerStep):
    """A node inside of a region, as its structure sees it."""

    def __init__(
        self,
        node: Node,
        ops: Ops,
        method: Method,
        values: Mapping[str, Value],
        outgoing: Sequence[Channels | None],
        region: Surrounding,
    ) -> None:
        super().__init__(node, ops, method, outgoing)
        self._values, self._region = values, region

    @property
    def sharing(self) -> Sharing:
        """The adjoint hands slopes on."""
        return PLAIN

    def stabilised(self) -> Value:
        return self.r[0]

    def weighed(self, i: int) -> Value:
        return self.condition(i)

    def condition(self, i: int) -> Value:
        return self._values[self.node.inputs[i]]

    def tensor(self, name: str) -> Value:
        return self._values[name]

    def shape(self, i: int) -> Value:
        return self.ops.Shape(self.condition(i))

    def carries(self, i: int) -> bool:
        return self.node.inputs[i] in self._region.carriers

    def is_constant(self, i: int) -> bool:
        return self.node.inputs[i] in self._region.constants

    def is_gate(self, i: int) -> bool:
        """A statistic that multiplies or divides is held where the method holds statistics."""
        name = self.node.inputs[i]
        return (
            self.holds and self._region.kind == "normalisation" and name in self._region.statistics
        )

    def infinite(self, i: int) -> bool:
        array = self._region.constants.get(self.node.inputs[i])
        return array is not None and array.dtype.kind == "f" and bool(np.isinf(array).any())

    def sample_axis(self, tensor: str | None = None) -> int | None:
        return None

    def book(self, kind: str, channel: int, total: Value | None) -> None:
        """The whole region is booked at once."""


__all__ = ["RegionStep"]
