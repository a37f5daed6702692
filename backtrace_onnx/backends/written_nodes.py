"""What the nodes of a file tell of its tensors: what they are made of, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
from onnx import NodeProto, helper

Constants = Mapping[str, npt.NDArray[Any]]


class WrittenNodes:
    """The nodes of a model, and those that are written behind it.

    Args:
        model: its nodes.
        constants: what they read that is known, by name.
    """

    def __init__(self, model: Sequence[NodeProto] = (), constants: Constants | None = None) -> None:
        self._constants: Constants = constants or {}
        self._makers: dict[str, NodeProto] = {}
        self._products: dict[tuple[str, str], str] = {}
        self._multiples: dict[str, tuple[str, float]] = {}
        self._read = 0
        self._note(model)
        for node in model:
            of = self._scaled(node, self._constants)
            if of is not None:
                self._multiples.setdefault(of[0], (node.output[0], of[1]))

    def follow(self, written: Sequence[NodeProto]) -> None:
        """Take note of what was written since the last time."""
        if len(written) < self._read:  # some became a body
            self._read = 0
        self._note(written[self._read :])
        self._read = len(written)

    def is_made_by(self, name: str, op_type: str) -> bool:
        """Whether this operator makes a tensor."""
        return name in self._makers and self._makers[name].op_type == op_type

    def multiple(self, name: str) -> tuple[str, float]:
        """A tensor that the model makes of one by a factor, if it does; and the factor."""
        return self._multiples.get(name, (name, 1.0))

    def unscaled(self, name: str, constants: Constants) -> tuple[str, float]:
        """The tensor of which one was made by a factor, if it was; and the factor.

        Args:
            constants: those that were written.
        """
        maker = self._makers.get(name)
        of = None if maker is None else self._scaled(maker, {**self._constants, **constants})
        return of or (name, 1.0)

    def product_before(self, m: str, y: str, axis: int) -> tuple[str, str] | None:
        """(g, o) whose products add up along the last axis to what those of m and y do there.

        Where m = g V^T and the product o = y V was made, sum(m y) = sum(g o). None where it is not
        so, or `axis` is another one.
        """
        if not self.is_made_by(m, "MatMul"):
            return None
        g, turned = self._makers[m].input
        if not self.is_made_by(turned, "Transpose"):
            return None
        turn = self._makers[turned]
        perm = next((helper.get_attribute_value(a) for a in turn.attribute), None)
        rank = len(perm or ())
        if perm != [*range(rank - 2), rank - 1, rank - 2] or axis not in (-1, rank - 1):
            return None
        product = self._products.get((y, turn.input[0]))
        return None if product is None else (g, product)

    def _note(self, nodes: Sequence[NodeProto]) -> None:
        for node in nodes:
            self._makers.update(dict.fromkeys(node.output, node))
            if node.op_type == "MatMul":
                self._products[node.input[0], node.input[1]] = node.output[0]

    def _scaled(self, node: NodeProto, constants: Constants) -> tuple[str, float] | None:
        """What a node multiplies by one number, and this; None where it does something else."""
        if node.op_type not in ("Mul", "Div") or node.domain:
            return None
        for i, name in enumerate(node.input):
            by = constants.get(name)
            if by is None or by.size != 1 or by.ndim > 1 or (node.op_type == "Div" and i == 0):
                continue
            factor = float(by.reshape(()))
            factor = factor if node.op_type == "Mul" else 1 / factor if factor else 0.0
            return (node.input[1 - i], factor) if factor else None
        return None


__all__ = ["WrittenNodes"]
