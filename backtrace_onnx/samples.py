"""Along which axis of every tensor the samples of a batch lie, and how they are merged in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from backtrace_onnx.graph import Graph, SampleAxis, Shape, TensorType
from backtrace_onnx.infer import SAMPLES, infer_types

_RESHAPING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_ROUNDS = 32  # merges one after another; later ones are taken for sample-major


class SampleAxes:
    """Axis of the samples, by tensor.

    Where it is not known it is taken to be the first, sample by sample; vectors have none.

    Attributes:
        known: whether the model's batch is open, so that shapes tell where its samples go.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.known = bool(graph.samples)

    def __call__(self, tensor: str) -> SampleAxis | None:
        """Sample axis of a tensor, None if it has none."""
        found = self._graph.samples.get(tensor)
        if found is not None:
            return found
        shape = self._graph.type(tensor).shape
        return SampleAxis(0) if shape is None or len(shape) > 1 else None

    def apart(self, tensor: str) -> int | None:
        """The axis along which an output's samples can be told apart; None: it is one sample."""
        axis = self(tensor)
        return None if axis is None or (axis and not axis.alone) else int(axis)

    def count(self, tensor: str, shape: tuple[int, ...]) -> int:
        """Number of samples in an output of that shape."""
        axis = self.apart(tensor)
        return 1 if axis is None or axis >= len(shape) else shape[axis]

    def first(self, tensor: str, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An output as [samples, ...], with two axes at least."""
        axis, count = self.apart(tensor), self.count(tensor, y.shape)
        moved = y if axis is None or axis >= y.ndim else np.moveaxis(y, axis, 0)
        return moved if moved.ndim > 1 and len(moved) == count else moved.reshape(count, -1)

    def back(self, tensor: str, y: npt.NDArray[Any], shape: Sequence[int]) -> npt.NDArray[Any]:
        """What `first` made, in the output's own shape."""
        axis = self.apart(tensor)
        if not axis or axis >= len(shape):
            return y.reshape(shape)
        moved = y.reshape(shape[axis], *shape[:axis], *shape[axis + 1 :])
        return np.ascontiguousarray(np.moveaxis(moved, 0, axis))


def find_samples(
    proto: onnx.ModelProto, types: Mapping[str, TensorType], inputs: Sequence[str]
) -> dict[str, SampleAxis]:
    """Sample axis of every tensor that shape inference, helped across reshapes, leads to."""
    search = _Search(proto, dict(types))
    symbols = _open_symbols(search, inputs)
    if not symbols:
        return {}
    search.symbols.update(dict.fromkeys(symbols, SampleAxis(0, alone=True)))
    for _ in range(_ROUNDS):
        merged = search.merged()
        if not merged:
            break
        search.cut(merged)
    return search.inherited()


@dataclass
class _Search:
    """A copy of the graph in which a symbol stands for every way of merging samples.

    Attributes:
        symbols: how samples lie in an axis with that symbol; the axis number says nothing.
    """

    proto: onnx.ModelProto
    types: dict[str, TensorType]
    symbols: dict[str, SampleAxis] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    owned: bool = False

    def axis(self, tensor: str) -> SampleAxis | None:
        """Where the samples lie, if a symbol tells."""
        for axis, n in enumerate(self.types.get(tensor, TensorType()).shape or ()):
            if isinstance(n, str) and n in self.symbols:
                kind = self.symbols[n]
                return SampleAxis(axis, kind.inner, kind.alone)
        return None

    def merged(self) -> dict[str, SampleAxis]:
        """Outputs of reshapes that inference does not see through, and their sample axis."""
        found: dict[str, SampleAxis] = {}
        for node in self.proto.graph.node:
            if node.op_type not in _RESHAPING or node.output[0] in self.given_up:
                continue
            before, after = (
                self.types.get(x, TensorType()) for x in (node.input[0], node.output[0])
            )
            axis = self.axis(node.input[0])
            if axis is None or not after.shape or self.axis(node.output[0]) is not None:
                continue
            made = merge(before.shape or (), axis, after.shape)
            if made is None:
                self.given_up.add(node.output[0])
            else:
                found[node.output[0]] = made
        return found

    def cut(self, merged: Mapping[str, SampleAxis]) -> None:
        """Make these tensors inputs with a symbol of their own, and infer again."""
        self.own()
        graph = self.proto.graph
        nodes = [node for node in graph.node if node.output[0] not in merged]
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
        for name, axis in merged.items():
            symbol = f"{SAMPLES}:{axis.inner}"
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
        for node in self.proto.graph.node:
            for out in node.output:
                shape = self.types.get(out, TensorType()).shape
                if out in found or not shape:
                    continue
                axes = (found[i] for i in node.input if i in found and self._rank(i) == len(shape))
                axis = next(axes, None)
                if axis is not None and not isinstance(shape[axis], int):
                    found[out] = SampleAxis(axis, axis.inner)
        return found

    def _rank(self, tensor: str) -> int | None:
        return self.types.get(tensor, TensorType()).rank


def merge(before: Shape, axis: SampleAxis, after: Shape) -> SampleAxis | None:
    """Where samples lie after a reshape; None where that cannot be told.

    Element f of a tensor belongs to sample (f // stride) % samples, and a reshape keeps the stride.
    """
    if all(n == 1 for n in before[:axis]) and axis.inner == 0:
        first = next((i for i, n in enumerate(after) if n != 1), 0)
        return SampleAxis(first)
    follow = before[axis + 1 :]
    if not all(isinstance(n, int) for n in follow):
        return None
    stride = prod(int(n) for n in follow if n is not None) * (axis.inner or 1)
    if sum(not isinstance(n, int) for n in after) > 1 or not (axis.inner or axis.alone):
        return None
    return _axis_of_stride(after, stride)


def _axis_of_stride(shape: Shape, stride: int) -> SampleAxis | None:
    """The axis in which neighbours `stride` elements apart lie, and their distance in it."""
    step = 1
    for axis in reversed(range(len(shape))):
        size = shape[axis]
        if isinstance(size, int) and size and stride % (step * size) == 0 and axis:
            step *= size
            continue
        return SampleAxis(axis, stride // step) if stride % step == 0 else None
    return None


def _open_symbols(search: _Search, inputs: Iterable[str]) -> set[str]:
    """Symbols that stand for the number of samples: the output's, or the inputs' first ones."""
    shapes = [search.types.get(name, TensorType()).shape or () for name in inputs]
    known = {n for shape in shapes for n in shape if isinstance(n, str)}
    outputs = (search.types.get(o.name, TensorType()) for o in search.proto.graph.output)
    shape = next((kind.shape for kind in outputs if kind.is_float and kind.shape), ())
    shared = [n for n in shape if isinstance(n, str) and n in known]
    named = [n for n in shared if "batch" in n.lower()]
    first = {shape[0] for shape in shapes if shape and isinstance(shape[0], str)}
    lost = any(not isinstance(n, int) and n not in known for n in shape)  # on the way there
    lost = lost and not first.intersection(shared)
    return set((named or shared)[:1]) if shared and (named or not lost) else first


__all__ = ["SampleAxes", "SampleAxis", "find_samples", "merge"]
