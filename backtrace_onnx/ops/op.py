"""A node as its rule sees it."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.graph.graph import Graph, Node, TensorType


@dataclass(frozen=True)
class Op:
    """A node as its rule sees it: attributes and what is known of inputs before anything runs.

    Attributes:
        carriers: tensors that take relevance.
        ids: tensors by which tables are looked up, and what these are computed from.
    """

    node: Node
    graph: Graph
    carriers: Set[str]
    ids: Set[str] = frozenset()

    @property
    def version(self) -> int:
        """Opset version of the operator's domain."""
        return self.node.version

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value (strings decoded, lists as tuples), or `default`."""
        return self.node.attributes.get(name, default)

    def has(self, i: int) -> bool:
        """Whether input `i` is given."""
        return i < len(self.node.inputs) and self.node.inputs[i] != ""

    def names(self, i: int) -> bool:
        """Whether the node names output `i`.

        For the text of an expansion, outputs that nobody reads have no name: it need not make them.
        """
        return i < len(self.node.outputs) and self.node.outputs[i] != ""

    def constant(self, i: int) -> np.ndarray | None:
        """Value of input `i` if it is a constant, else None."""
        return self.graph.constants.get(self.node.inputs[i]) if self.has(i) else None

    def fixed(self, i: int) -> np.ndarray:
        """Input `i`, a constant. Raises RuleError where it is computed or left out."""
        array = self.constant(i)
        if array is None:
            name = repr(self.node.inputs[i]) if self.has(i) else str(i)
            raise RuleError(
                f"its input {name} is computed while the model runs, and must be a constant; fold "
                "it first (for example with onnxslim)"
            )
        return array

    def fixed_or_none(self, i: int) -> np.ndarray | None:
        """Input `i`, a constant; None where left out. Raises RuleError where it is computed."""
        return self.fixed(i) if self.has(i) else None

    def attributes(self, *names: str) -> dict[str, Any]:
        """Attributes of these names; None where one is not given."""
        return {name: self.attribute(name) for name in names}

    def place(self, x: Any) -> int:
        """Which of the node's inputs a symbol is."""
        return self.node.inputs.index(x.name)

    def size(self, i: int, axis: int = -1) -> int:
        """The size of an axis of input `i`. Raises RuleError where it is not known."""
        found = self.known_size(i, axis)
        if found is None:
            raise RuleError(f"the shape of its input {self.node.inputs[i]!r} is not known")
        return found

    def known_size(self, i: int, axis: int = -1) -> int | None:
        """The size of an axis of input `i`, if known."""
        shape = self.type(i).shape
        found = shape[axis] if shape else None
        return found if isinstance(found, int) else None

    def carries(self, i: int) -> bool:
        """Whether input `i` takes relevance: it depends on a graph input through data."""
        return self.has(i) and self.node.inputs[i] in self.carriers

    @property
    def makes_ids(self) -> bool:
        """Whether the node computes ids: what a table is looked up by, or comes from
        (`graph.ids`).
        """
        return not self.ids.isdisjoint(self.node.outputs)

    def type(self, i: int) -> TensorType:
        """What is known of input `i`."""
        return self.graph.type(self.node.inputs[i])

    def output_type(self, i: int = 0) -> TensorType:
        """What is known of output `i`."""
        return self.graph.type(self.node.outputs[i])

    def rank(self, i: int) -> int:
        """Number of axes of input `i`. Raises RuleError where it is not known."""
        rank = self.type(i).rank
        if rank is None:
            where = f"{self.node.operator} node {self.node.name!r}"
            raise RuleError(
                f"{where}: the rank of its input {i} is not known; declare the shapes of the "
                "model's inputs"
            )
        return rank

    def axes(self, default: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        """`axes` as attribute or constant second input; `default` where left out."""
        given = self.attribute("axes")
        if given is None and self.has(1):
            given = self.constant(1)
            if given is None:
                raise RuleError(
                    f"{self.node.operator} node {self.node.name!r}: its axes are computed while "
                    "the model runs; fold them to a constant first (for example with onnxslim)"
                )
        return default if given is None else tuple(int(a) for a in np.atleast_1d(given))
