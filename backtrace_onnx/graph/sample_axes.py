"""Along which axis of every tensor the samples of a batch lie, and how they are merged in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from backtrace_onnx.graph.graph import Graph, SampleAxis, TensorType
from backtrace_onnx.graph.inference import SAMPLES, infer_types
from backtrace_onnx.graph.merged_axes import meet, merge
from backtrace_onnx.graph.sample_symbols import sample_symbols
from backtrace_onnx.graph.shapes import ELEMENTWISE

_RESHAPING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_DATA_SIZED = frozenset({"NonMaxSuppression", "NonZero", "Compress", "Unique", "TopK"})
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_ROUNDS = 32  # merges one after another; later ones are taken for sample-major


class SampleAxes:
    """Looks up the axis of a tensor along which samples lie: `axes(name)`.

    Where nothing is known it is the first axis, sample after sample; vectors and numbers have none.
    """

    def __init__(self, graph: Graph, known: Mapping[str, SampleAxis] | None = None) -> None:
        """`known` holds what is known of the explained output; it goes above what the graph
        tells.
        """
        self._graph = graph
        followed, known = graph.samples, known or {}
        if not all(_followed(graph, name, axis) for name, axis in known.items()):
            # the output may count other samples than those that were followed
            followed = {n: SampleAxis(a, a.inner, mixed=a.mixed) for n, a in followed.items()}
        self._known: dict[str, SampleAxis | None] = {**followed, **known}

    def __call__(self, tensor: str) -> SampleAxis | None:
        """Sample axis of a tensor, None if it has none."""
        if tensor not in self._known:
            shape = self._graph.type(tensor).shape
            first = shape is None or len(shape) > 1
            self._known[tensor] = SampleAxis(0) if first else None
        return self._known[tensor]


def _followed(graph: Graph, output: str, axis: SampleAxis) -> bool:
    """Whether an output's samples are the ones that the graph leads there from its inputs."""
    found = graph.samples.get(output)
    if found is None or not found.alone or found != axis:
        return False
    shapes = ((graph.samples.get(name), graph.type(name).shape) for name in graph.inputs)
    return len({shape[a] for a, shape in shapes if a is not None and shape}) < 2


def data_sized(graph: Graph, tensor: str) -> bool:
    """Whether values decide how long the first axis of a tensor is.

    What lies along it are detections or hits then (NonMaxSuppression, NonZero), not samples.
    """
    first, *_ = graph.type(tensor).shape or (None,)
    nodes = ((node.op_type, node.inputs, node.outputs) for node in graph.nodes)
    return isinstance(first, str) and first in _data_symbols(nodes, graph.types)


def _data_symbols(
    nodes: Iterable[tuple[str, Iterable[str], Iterable[str]]], types: Mapping[str, TensorType]
) -> set[str]:
    """Symbols of sizes that come about at an operator whose values decide them."""
    found: set[str] = set()
    for op_type, inputs, outputs in nodes:
        if op_type in _DATA_SIZED:
            found |= _symbols(outputs, types) - _symbols(inputs, types)
    return found


def _symbols(names: Iterable[str], types: Mapping[str, TensorType]) -> set[str]:
    shapes = (types.get(name, TensorType()).shape or () for name in names)
    return {n for shape in shapes for n in shape if isinstance(n, str)}


def find_samples(
    proto: onnx.ModelProto, types: Mapping[str, TensorType], inputs: Sequence[str]
) -> dict[str, SampleAxis]:
    """Sample axis of every tensor that shape inference, helped across reshapes, leads to.

    Where no size is open, the first axis of the inputs (the second, where it is steps that a
    recurrent cell reads first) is taken for the batch, and followed as if it were open.
    """
    search = _SymbolSearch(proto, dict(types))
    shapes = [search.types.get(name, TensorType()).shape or () for name in inputs]
    outputs = (search.types.get(o.name, TensorType()) for o in proto.graph.output)
    output = next((kind.shape for kind in outputs if kind.is_float and kind.shape), ())
    symbols = sample_symbols(shapes, output, search.steps, search.batches)
    if not symbols:
        search.open(inputs)
        symbols = {SAMPLES}
    search.symbols.update(dict.fromkeys(symbols, SampleAxis(0, alone=True)))
    for _ in range(_ROUNDS):
        merged = search.merged() or search.met()
        if not merged:
            break
        search.cut(merged)
    return search.inherited()


@dataclass
class _SymbolSearch:
    """A copy of the graph in which a symbol stands for every way of merging samples.

    Attributes:
        symbols: how samples lie in an axis with that symbol; the axis number says nothing.
    """

    proto: onnx.ModelProto
    types: dict[str, TensorType]
    symbols: dict[str, SampleAxis] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    owned: bool = False

    def __post_init__(self) -> None:
        """Keep what was inferred first."""
        self.declared = dict(self.types)

    def axis(self, tensor: str) -> SampleAxis | None:
        """Where the samples lie, if a symbol tells."""
        for axis, n in enumerate(self.types.get(tensor, TensorType()).shape or ()):
            if isinstance(n, str) and n in self.symbols:
                kind = self.symbols[n]
                return SampleAxis(axis, kind.inner, kind.alone, kind.mixed)
        return None

    def merged(self) -> dict[str, SampleAxis]:
        """Outputs of reshapes that inference does not see through, and their sample axis."""
        found: dict[str, SampleAxis] = {}
        for node in self.proto.graph.node:
            if node.op_type not in _RESHAPING or node.output[0] in self.given_up:
                continue
            ends = (node.input[0], node.output[0])
            before, after = (self.types.get(x, TensorType()) for x in ends)
            axis = self.axis(node.input[0])
            if axis is None or not after.shape or self.axis(node.output[0]) is not None:
                continue
            made = merge(before.shape or (), axis, after.shape)
            if made is None:
                self.given_up.add(node.output[0])
            else:
                found[node.output[0]] = made
        return found

    def met(self) -> dict[str, SampleAxis]:
        """Outputs of sums and products of what is and is not merged, and their sample axis."""
        found: dict[str, SampleAxis] = {}
        for node in self.proto.graph.node:
            if node.op_type in ELEMENTWISE and self.axis(node.output[0]) is None:
                axes = ((self.axis(name), self._rank(name)) for name in node.input)
                axis = meet([(a, r) for a, r in axes if a is not None], self._rank(node.output[0]))
                found |= {node.output[0]: axis} if axis is not None else {}
        return found

    def open(self, inputs: Sequence[str]) -> None:
        """Give the fixed batch a symbol, SAMPLES, and infer again; a batch of 1 needs none."""
        self.own()
        firsts = {shape[0] for name in inputs if (shape := self.declared[name].shape)}
        if not firsts & self.steps:
            self._open_axis(inputs, 0)
        if firsts & self.steps or SAMPLES in self.steps:
            self._open_axis(inputs, 1)
            if SAMPLES not in self.batches:  # the model makes the axis of its one sample itself
                self.types = dict(self.declared)

    def _open_axis(self, inputs: Sequence[str], axis: int) -> None:
        """Name this axis of the inputs where it is as long as that of the first."""
        shapes = {n: s for n in inputs if len(s := self.declared[n].shape or ()) > 1}
        size = next((shape[axis] for shape in shapes.values()), None)
        if not isinstance(size, int) or (size == 1 and axis == 0):
            return
        for value in self.proto.graph.input:
            dims = value.type.tensor_type.shape.dim
            for at, n in enumerate(shapes.get(value.name, ())):
                if isinstance(n, int):
                    dims[at].dim_value = n
                if at == axis and n == size:
                    dims[at].dim_param = SAMPLES
        self.types = infer_types(self.proto)

    @property
    def steps(self) -> set[str]:
        """Symbols of the axis along which recurrent cells take their steps."""
        return self._read(0)

    @property
    def batches(self) -> set[str]:
        """Symbols of the axis that recurrent cells take for the samples."""
        return self._read(1)

    def _read(self, axis: int) -> set[str]:
        cells = (n for n in self.proto.graph.node if n.op_type in _RECURRENT and not _layout(n))
        shapes = (self.types.get(n.input[0], TensorType()).shape or () for n in cells)
        sizes = (shape[axis] for shape in shapes if len(shape) > axis)
        return {n for n in sizes if isinstance(n, str)}

    def cut(self, merged: Mapping[str, SampleAxis]) -> None:
        """Make these tensors inputs with a symbol of their own, and infer again."""
        self.own()
        graph = self.proto.graph
        nodes = [node for node in graph.node if node.output[0] not in merged]
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
        for name, axis in merged.items():
            symbol = f"{SAMPLES}:{axis.inner}:{axis.alone}:{axis.mixed}"
            self.symbols[symbol] = axis
            shape = list(self.types[name].shape or ())
            shape[axis] = symbol
            value = onnx.helper.make_tensor_value_info(name, self.types[name].dtype or 1, shape)
            graph.input.append(value)
        self.types.update(infer_types(self.proto))

    def own(self) -> None:
        """Change a copy only, without what it says of inner tensors."""
        if not self.owned:
            copy = onnx.ModelProto()
            copy.CopyFrom(self.proto)
            self.proto, self.owned = copy, True
        outputs = [onnx.ValueInfoProto(name=o.name) for o in self.proto.graph.output]
        del self.proto.graph.value_info[:], self.proto.graph.output[:]
        self.proto.graph.output.extend(outputs)

    def inherited(self) -> dict[str, SampleAxis]:
        """The axis of every tensor; where inference lost it, that of an input of the same rank."""
        names = [*self.types, *(out for node in self.proto.graph.node for out in node.output)]
        found = {name: axis for name in names if (axis := self.axis(name)) is not None}
        nodes = ((n.op_type, n.input, n.output) for n in self.proto.graph.node)
        sized = _data_symbols(nodes, self.types)
        for node in self.proto.graph.node:
            for out in node.output:
                shape = self.types.get(out, TensorType()).shape
                row = found.get(node.input[0]) if node.input and _keeps_rows(node) else None
                if out not in found and row == 0 and row is not None and not (shape and shape[0]):
                    found[out] = SampleAxis(0, row.inner, mixed=row.mixed)
                if out in found or not shape:
                    continue
                axes = (found[i] for i in node.input if i in found and self._rank(i) == len(shape))
                axis = _turned(node, next(axes, None), len(shape))
                if (
                    axis is not None
                    and not isinstance(shape[axis], int)
                    and shape[axis] not in sized
                ):
                    found[out] = SampleAxis(axis, axis.inner, mixed=axis.mixed)
        return found

    def _rank(self, tensor: str) -> int | None:
        return self.types.get(tensor, TensorType()).rank


def _turned(node: onnx.NodeProto, axis: SampleAxis | None, rank: int) -> SampleAxis | None:
    """Where an axis of a node's input lies in what it makes, of as many axes."""
    if axis is None or node.op_type != "Transpose":
        return axis
    orders = (list(given.ints) for given in node.attribute if given.name == "perm")
    order = next(orders, list(range(rank))[::-1])
    return SampleAxis(order.index(axis), axis.inner, mixed=axis.mixed)


def _keeps_rows(node: onnx.NodeProto) -> bool:
    """Whether a node makes a row of each, though inference does not say so."""
    return node.domain == "ai.onnx.ml" or node.op_type in ("Cast", "Identity")


def _layout(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "layout"), 0)


__all__ = ["SampleAxes", "SampleAxis", "find_samples"]
