"""Frozen views of a model's graph, in topological order: what the rules see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from onnx import TensorProto

FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
)

_SHAPES = frozenset({"Shape", "Size"})
_RANDOM = ("Bernoulli", "Multinomial", "Random")

NO_TENSOR = -1
"""Element type of a sequence, map or optional."""

Shape = tuple[int | str | None, ...]


class SampleAxis(int):
    """The axis of a tensor along which samples lie.

    Attributes:
        inner: how many neighbours along the axis belong to one sample before the next one's begin;
            0: all of them.
        alone: whether the axis is known to hold nothing but samples.
        mixed: whether it is known to hold something else, too.
    """

    inner: int
    alone: bool
    mixed: bool

    # An int, so that whoever only wants the axis need not know more.
    def __new__(
        cls, axis: int, inner: int = 0, alone: bool = False, mixed: bool = False
    ) -> SampleAxis:
        """Axis number and how samples are merged in it."""
        made = super().__new__(cls, axis)
        made.inner, made.alone, made.mixed = inner, alone, mixed
        return made


@dataclass(frozen=True)
class TensorType:
    """Element type (TensorProto's enum, 0 unknown) and shape (None unknown) as far as inferred."""

    dtype: int = TensorProto.UNDEFINED
    shape: Shape | None = None

    @cached_property
    def is_float(self) -> bool:
        """Whether elements are floating point; an unknown type counts as such."""
        return self.dtype in FLOATS or self.dtype == TensorProto.UNDEFINED

    @property
    def rank(self) -> int | None:
        """Number of axes, if known."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True)
class Node:
    """One operator as the rules read it.

    Attributes:
        name: unique; the name in the file, or made from the output where the file has none.
        version: opset version of `domain` the model imports.
        inputs: tensor names, "" for an optional one left out.
        sources: names of the model's nodes it stands for (several when joined).
    """

    name: str
    domain: str
    op_type: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    @cached_property
    def operator(self) -> str:
        """`OpType`, or `domain::OpType` outside ai.onnx."""
        return f"{self.domain}::{self.op_type}" if self.domain else self.op_type


@dataclass(frozen=True)
class Computed:
    """A tensor that the rules read, though the model does not make it.

    Such as the output of a linear operator with the constant that another node adds to it later.

    Attributes:
        op_type, inputs: the elementwise operator it is computed with.
        like: a tensor of the model with the same type and shape.
    """

    op_type: str
    inputs: tuple[str, ...]
    like: str


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, and what is known of their tensors.

    Attributes:
        constants: value of every tensor that no graph input reaches.
        aliases: interior tensor of a joined node -> tensor whose relevance it shares.
        hidden: interior tensor without a relevance of its own -> the node it lies inside.
        samples: sample axis of the tensors where it is known.
        classes: axis along which a softmax or a choice goes that makes or reads a tensor.
        computed: how tensors come about that the model does not make.
        kept: tensors that nothing is read as one across, besides the outputs.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, np.ndarray]
    types: Mapping[str, TensorType]
    opsets: Mapping[str, int]
    aliases: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, SampleAxis] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    computed: Mapping[str, Computed] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()

    def with_computed(self, found: Mapping[str, Computed]) -> Graph:
        """The graph with more tensors that the model does not make."""
        types = {name: self.type(made.like) for name, made in found.items()}
        known = {name: self.samples.get(made.like) for name, made in found.items()}
        samples = {name: axis for name, axis in known.items() if axis is not None}
        return replace(
            self,
            types={**self.types, **types},
            samples={**self.samples, **samples},
            computed={**self.computed, **found},
        )

    def type(self, tensor: str) -> TensorType:
        """What is known of a tensor; constants are known exactly."""
        found = self.types.get(tensor)
        if found is not None:
            return found
        constant = self.constants.get(tensor)
        return TensorType(shape=None if constant is None else constant.shape)

    @cached_property
    def operators(self) -> frozenset[str]:
        """Operators of the nodes."""
        return frozenset(node.operator for node in self.nodes)

    @cached_property
    def producers(self) -> dict[str, Node]:
        """Node that makes each tensor."""
        return {out: node for node in self.nodes for out in node.outputs if out}

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """Nodes that read each tensor, in order."""
        uses: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(filter(None, node.inputs)):
                uses.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in uses.items()}

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position of the node that makes each tensor."""
        return {out: at for at, node in enumerate(self.nodes) for out in node.outputs if out}

    @cached_property
    def living(self) -> frozenset[int]:
        """Positions of the nodes that lead to an output or to a kept tensor."""
        wanted, found = {*self.kept, *self.outputs}, set()
        for at in reversed(range(len(self.nodes))):
            if wanted.intersection(self.nodes[at].outputs):
                wanted.update(self.nodes[at].inputs)
                found.add(at)
        return frozenset(found)

    def reads(self, node: Node) -> tuple[str, ...]:
        """Tensors whose values a node reads, each once, without constants."""
        if node.op_type in _SHAPES and not node.domain:
            return ()
        names = (name for name in node.inputs if name and name not in self.constants)
        return tuple(dict.fromkeys(names))

    @cached_property
    def readers(self) -> dict[str, frozenset[int]]:
        """Positions of the living nodes that read each tensor's values."""
        found: dict[str, list[int]] = {}
        for at in self.living:
            for name in self.reads(self.nodes[at]):
                found.setdefault(name, []).append(at)
        return {name: frozenset(positions) for name, positions in found.items()}

    @cached_property
    def shape_only(self) -> frozenset[str]:
        """Tensors that depend on no value: shapes, and what is computed from them and constants."""
        found: set[str] = set()
        for node in self.nodes:
            if node.domain or node.op_type.startswith(_RANDOM):
                continue
            given = [i for i in node.inputs if i and i not in self.constants]
            if node.op_type in _SHAPES or all(i in found for i in given):
                found.update(filter(None, node.outputs))
        return frozenset(found)

    @cached_property
    def tensors(self) -> frozenset[str]:
        """Every tensor name that relevance may be asked for."""
        made = {out for node in self.nodes for out in node.outputs if out}
        return frozenset((made - self.computed.keys()) | set(self.inputs) | set(self.aliases))

    def ancestors(self, tensor: str) -> Iterator[Node]:
        """Nodes that `tensor` depends on, last first."""
        wanted = {tensor}
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                wanted.update(node.inputs)
                yield node
