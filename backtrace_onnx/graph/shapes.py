"""The shapes that a model computes at run time, as far as they are known before.

Shape inference gives up where a shape is cut, joined and cast on its way to a Reshape or Expand.
Here its entries are followed one by one: a number, a symbol, or None where nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import reduce
from math import prod

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx.graph.graph import Shape, TensorType
from backtrace_onnx.graph.shape_arithmetic import ARITHMETIC, reckoned

_LONGEST = 16
_END = 10**9  # exporters cut there to say "to the end"
_SAME = frozenset({"Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape"})
ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Where", "Max", "Min", "Sum", "Mean", "Pow"})
_UNCHANGED = frozenset(  # inference says nothing of these
    [
        ("", "GroupNormalization"),
        ("", "MeanVarianceNormalization"),
        ("ai.onnx.ml", "Imputer"),
        ("ai.onnx.ml", "Normalizer"),
    ]
)
_INTEGERS = frozenset({TensorProto.INT32, TensorProto.INT64})


def computed_shapes(graph: onnx.GraphProto, types: Mapping[str, TensorType]) -> dict[str, Shape]:
    """Shapes of the outputs of Reshape, Expand and Slice that say more than `types` does.

    Their symbols are those of the graph's inputs: others mean nothing outside one inference. What
    such a one turns out to be holds for all tensors, so that chains of nodes need one round only.
    """
    symbols = {n for x in graph.input for n in types[x.name].shape or () if isinstance(n, str)}
    vectors, known = _Vectors(types), _Symbols(types, symbols)
    found: dict[str, Shape] = {}
    for tensor in graph.initializer:
        vectors.constant(tensor.name, tensor)
    for node in graph.node:
        vectors.follow(node)
        shaped = _SHAPED.get(node.op_type)
        shape = None
        if node.op_type in ELEMENTWISE:
            shape = _joined([known.shape(name) for name in node.input])
        elif (node.domain, node.op_type) in _UNCHANGED:
            shape = known.shape(node.input[0])
        elif shaped is not None:
            steering = [vectors.known.get(name) for name in node.input[1:]]
            shape = shaped(node, known.shape(node.input[0]), steering)
        if shape is None:
            continue
        shape = _meaning(shape, symbols)
        before = known.shape(node.output[0])
        if before is None or _says_more(_meaning(before, symbols), shape):
            found[node.output[0]] = shape
            known.learn(node.output[0], shape)
    return found


class _Symbols:
    """What the symbols that inference made up turn out to be."""

    def __init__(self, types: Mapping[str, TensorType], given: Set[str]) -> None:
        self._types, self._given = types, given
        self._same: dict[str, int | str] = {}
        self._learnt: dict[str, Shape] = {}

    def shape(self, name: str) -> Shape | None:
        """A tensor's shape, as far as it is known by now."""
        shape = self._learnt.get(name, self._types.get(name, TensorType()).shape)
        if shape is None or not self._same:
            return shape
        return tuple(self._same.get(n, n) if isinstance(n, str) else n for n in shape)

    def learn(self, name: str, shape: Shape) -> None:
        """A tensor has this shape."""
        before = self._types.get(name, TensorType()).shape
        self._learnt[name] = shape
        for old, new in zip(before or (), shape, strict=False):
            if isinstance(old, str) and old not in self._given and new is not None:
                self._same[old] = new


def computed_numbers(
    graph: onnx.GraphProto, types: Mapping[str, TensorType]
) -> dict[str, npt.NDArray[np.int64]]:
    """Value of every integer number and vector that follows from known shapes."""
    vectors = _Vectors(types)
    for tensor in graph.initializer:
        vectors.constant(tensor.name, tensor)
    for node in graph.node:
        vectors.follow(node)
    found = {name: (_numbers(entries), types.get(name)) for name, entries in vectors.known.items()}
    return {
        name: np.array(numbers, np.int64).reshape([-1] * kind.rank)
        for name, (numbers, kind) in found.items()
        if numbers is not None and kind is not None and kind.rank in (0, 1)
    }


def _meaning(shape: Shape, symbols: Set[str]) -> Shape:
    return tuple(n if isinstance(n, int) or n in symbols else None for n in shape)


class _Vectors:
    """Entries of the integer vectors and numbers met so far; a number is a vector of one."""

    def __init__(self, types: Mapping[str, TensorType]) -> None:
        self.types = types
        self.known: dict[str, Shape] = {}

    def constant(self, name: str, tensor: TensorProto) -> None:
        if tensor.data_type not in _INTEGERS or len(tensor.dims) > 1 or sum(tensor.dims) > _LONGEST:
            return
        if tensor.data_location != TensorProto.EXTERNAL:
            self.known[name] = tuple(int(n) for n in numpy_helper.to_array(tensor).ravel())

    def follow(self, node: onnx.NodeProto) -> None:
        """Note the entries of a node's output, if it makes such a vector."""
        given = [self.known.get(name) for name in node.input]
        made: Shape | None = None
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    self.constant(node.output[0], attribute.t)
        elif node.op_type == "Shape":
            shape = self.types.get(node.input[0], TensorType()).shape
            bounds = [_attribute(node, name) for name in ("start", "end")]
            made = None if shape is None else shape[slice(*bounds)]
        elif node.op_type == "Concat" and None not in given:
            made = tuple(n for entries in given for n in entries or ())
        elif given and given[0] is not None and self._is_flat(node.output[0]):
            made = _made(node, given[0], given[1:])
        if made is not None:
            self.known[node.output[0]] = made

    def _is_flat(self, name: str) -> bool:
        rank = self.types.get(name, TensorType()).rank
        return rank is None or rank < 2


def _made(node: onnx.NodeProto, entries: Shape, rest: Sequence[Shape | None]) -> Shape | None:
    if node.op_type in _SAME:
        return entries
    numbers = [_numbers(other) for other in rest]
    if node.op_type in ARITHMETIC:
        return reckoned(node.op_type, _numbers(entries), numbers[0])
    if node.op_type == "Gather" and numbers[0] is not None:
        inside = all(-len(entries) <= i < len(entries) for i in numbers[0])
        return tuple(entries[i] for i in numbers[0]) if inside else None
    if node.op_type == "Slice" and len(numbers) > 1:
        return _sliced(entries, numbers)
    return None


def _sliced(entries: Shape, numbers: Sequence[tuple[int, ...] | None]) -> Shape | None:
    """Starts, ends and, if there are any, axes and steps, each of one number."""
    bounds = [(1,) if n is None and i == 3 else n for i, n in enumerate(numbers) if i != 2]
    if any(n is None or len(n) != 1 for n in bounds):
        return None
    start, end, *step = (n[0] for n in bounds if n)
    return entries[slice(start, end, *step)]


def _numbers(entries: Shape | None) -> tuple[int, ...] | None:
    """The entries if all are numbers."""
    if entries is None:
        return None
    numbers = tuple(n for n in entries if isinstance(n, int))
    return numbers if len(numbers) == len(entries) else None


def _attribute(node: onnx.NodeProto, name: str) -> int | None:
    return next((a.i for a in node.attribute if a.name == name), None)


def _reshaped(
    node: onnx.NodeProto, before: Shape | None, steering: Sequence[Shape | None]
) -> Shape | None:
    """The shape asked for; 0 copies an axis, -1 takes what is left."""
    entries = steering[0] if steering else None
    if entries is None:
        return None
    if not _attribute(node, "allowzero"):
        copied = (*(before or ()), *[None] * len(entries))
        entries = tuple(copied[axis] if n == 0 else n for axis, n in enumerate(entries))
    left = None if before is None else _left(before, [n for n in entries if n != -1])
    return tuple(left if n == -1 else n for n in entries)


def _left(before: Shape, others: Sequence[int | str | None]) -> int | str | None:
    """What remains of a shape's product when the other axes are taken out of it."""
    open_axes = [n for n in before if not isinstance(n, int)]
    for n in others:
        if isinstance(n, int):
            continue
        if n is None or n not in open_axes:
            return None
        open_axes.remove(n)
    whole = prod(n for n in before if isinstance(n, int))
    taken = prod(n for n in others if isinstance(n, int))
    if not taken or whole % taken or len(open_axes) > 1:
        return None
    if not open_axes:
        return whole // taken
    return open_axes[0] if whole == taken else None


def _expanded(
    node: onnx.NodeProto, before: Shape | None, steering: Sequence[Shape | None]
) -> Shape | None:
    """The shape that both broadcast to."""
    entries = steering[0] if steering else None
    if before is None or entries is None:
        return None
    return _joined([before, entries])


def _joined(shapes: Sequence[Shape | None]) -> Shape | None:
    """The shape that all broadcast to."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes) or not known:
        return None
    rank = max(map(len, known))
    aligned = [(1,) * (rank - len(shape)) + tuple(shape) for shape in known]
    return tuple(reduce(_broadcast, sizes) for sizes in zip(*aligned, strict=True))


def _broadcast(a: int | str | None, b: int | str | None) -> int | str | None:
    if a == 1:
        return b
    if b == 1 or isinstance(a, int):
        return a
    return b if isinstance(b, int) or a == b else None


def _cut(
    node: onnx.NodeProto, before: Shape | None, steering: Sequence[Shape | None]
) -> Shape | None:
    """An open axis stays what it is where nothing is cut off."""
    numbers = [_numbers(entries) for entries in steering]
    if before is None or len(numbers) < 2 or numbers[0] is None or numbers[1] is None:
        return None
    count = len(numbers[0])
    axes = numbers[2] if len(numbers) > 2 else tuple(range(count))
    steps = numbers[3] if len(numbers) > 3 else (1,) * count
    if axes is None or steps is None:
        return None
    shape = list(before)
    for axis, *bounds in zip(axes, numbers[0], numbers[1], steps, strict=True):
        n = shape[axis]
        if isinstance(n, int):
            shape[axis] = len(range(*slice(*bounds).indices(n)))
        elif bounds[0] or bounds[1] < _END or bounds[2] != 1:
            shape[axis] = None
    return tuple(shape)


_SHAPED: dict[
    str, Callable[[onnx.NodeProto, Shape | None, Sequence[Shape | None]], Shape | None]
] = {"Reshape": _reshaped, "Expand": _expanded, "Slice": _cut}


def _says_more(before: Shape, shape: Shape) -> bool:
    """Whether it names an axis that was not known."""
    pairs = zip(before, shape, strict=False)
    return len(before) == len(shape) and any(a is None and b is not None for a, b in pairs)


def declare(
    graph: onnx.GraphProto, types: Mapping[str, TensorType], shapes: Mapping[str, Shape]
) -> None:
    """Declare shapes, so that inference goes on from them."""
    outputs = {value.name: value for value in graph.output}
    inner = {value.name: value for value in graph.value_info}
    first = {name: node.input[0] for node in graph.node for name in node.output if node.input}
    for name, shape in shapes.items():
        like = name  # the tensor itself, or what it is made of where only that type is known
        while like in first and not types.get(like, TensorType()).dtype:
            like = first[like]
        made = helper.make_tensor_value_info(name, types[like].dtype, shape)
        present = outputs.get(name) or inner.get(name)
        if present is None:
            graph.value_info.append(made)
        else:
            present.CopyFrom(made)
