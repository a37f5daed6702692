"""Forward runs of parts: what a walk asks for inside of them, whole or some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from backtrace_onnx.graph.cutting import cut_between
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.row_axes import Rows
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.sessions import CPU, Runtime, free_memory
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.propagation.parts import Part, WalkParts
from backtrace_onnx.propagation.trace import (
    SHAPE_SUFFIX,
    TracedValues,
    asking_session,
    fetched_names,
    refusing,
)
from backtrace_onnx.propagation.traced_tensors import TracedTensors
from backtrace_onnx.propagation.values import Values

Array = npt.NDArray[Any]
AT_ONCE = 1 << 26  # bytes of the largest tensor, for one sample, that are held of a part in rows


class InnerValues:
    """Values of a part's run, and for all that it was not asked for those around it.

    Attributes:
        squares: by tensor `Ops.squares` of all of it, where only rows are here.
    """

    def __init__(
        self,
        arrays: dict[str, Array],
        dtype: npt.DTypeLike,
        around: Values,
        squares: Mapping[str, Array] | None = None,
    ) -> None:
        own = TracedValues(arrays, dtype)
        self._of = {name.removesuffix(SHAPE_SUFFIX): own for name in arrays}
        self._own, self._around, self._squares = own, around, squares or {}

    def value(self, name: str) -> Value:
        """A tensor's value; floats in the dtype of the relevance."""
        return self._of.get(name, self._around).value(name)

    def exact(self, name: str) -> Value:
        """A tensor's value in its own dtype."""
        return self._of.get(name, self._around).exact(name)

    def shape(self, name: str) -> Value:
        """A tensor's shape, int64[rank]."""
        return self._of.get(name, self._around).shape(name)

    def squares(self, name: str) -> Value | None:
        """`Ops.squares` of a tensor, where only rows of it are here."""
        return self._squares.get(name)

    def release(self, names: Sequence[str]) -> None:
        """Forget what no earlier node reads."""
        self._own.release(names)
        self._around.release([name for name in names if name not in self._of])


@dataclass(frozen=True)
class Block:
    """Some rows of a part.

    Attributes:
        first, last: which rows these are, the last not among them. count: of how many.
        cut: where the rows lie in the tensors that have them.
    """

    first: int
    last: int
    count: int
    cut: Mapping[str, Rows]

    def take(self, name: str, x: Array) -> Array:
        """The rows of an array that is shaped like a tensor; all of it where it has none."""
        if name not in self.cut:
            return x
        rows = self._grouped(x, self.cut[name])[:, :, self.first : self.last]
        axis, shape = self.cut[name].axis, list(x.shape)
        shape[axis] = shape[axis] // self.count * (self.last - self.first)
        return np.ascontiguousarray(rows).reshape(shape)

    def of_all(self, name: str, rows: Array) -> Array:
        """Room for all rows of a tensor, of which these are some."""
        shape, axis = list(rows.shape), self.cut[name].axis
        shape[axis] = shape[axis] // (self.last - self.first) * self.count
        return np.empty(shape, rows.dtype)

    def put(self, name: str, rows: Array, whole: Array) -> None:
        """Put the rows of a tensor into the whole of it; add what belongs to all rows."""
        if name in self.cut:
            place = self._grouped(whole, self.cut[name])[:, :, self.first : self.last]
            place[:] = rows.reshape(place.shape)
        else:
            whole += rows

    def _grouped(self, x: Array, rows: Rows) -> Array:
        """The array as [what lies before, groups, rows, what lies behind]."""
        before, behind = prod(x.shape[: rows.axis]), prod(x.shape[rows.axis + 1 :])
        return x.reshape(before, rows.groups, self.count, behind)


class PartRuns:
    """Runs a model in parts, and the parts again when a walk comes to them.

    Args:
        graph: as rules read it.
        extra: more tensors that `run` returns.
    """

    def __init__(
        self,
        parts: WalkParts,
        model: Model,
        graph: Graph,
        extra: Collection[str] = (),
        runtime: Runtime = CPU,
    ) -> None:
        self.parts, self._model, self._graph, self._runtime = parts, model, graph, runtime
        self._returned = parts.kept.union(extra, graph.outputs) - {*graph.inputs, *graph.constants}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs and what a walk begins with, by name.

        No tensor is whole that is cut into rows, so that this takes less memory than the model.
        Raises InputError where the model cannot run on these.
        """
        known = dict(feeds)
        with refusing(feeds, self._graph):
            for part in self.parts.members:
                for inner in part.members:
                    if isinstance(inner, Part):
                        given = {**known, **self._made(inner.given, known)}
                        known[inner.output] = self._in_rows(inner, given)
                made = {name for node in part.nodes for name in node.outputs}
                known |= self._made(made & self._returned, known)
            known |= self._made(self._returned, known)
        free_memory()
        return known

    def whole(self, part: Part, around: Values, dtype: npt.DTypeLike) -> InnerValues:
        """Values of a part that is walked at once."""
        return InnerValues(self._runner(part.given, part.asked)(around.exact), dtype, around)

    def blocks(
        self, part: Part, around: Values, ops: Ops, axes: Callable[[str], int | None]
    ) -> Iterator[tuple[Block, InnerValues]]:
        """Rows of a part that is cut, and their values."""
        squares: dict[str, Array] = {}
        if part.output in part.stabilised:
            squares[part.output] = ops.squares(around.value(part.output), axes(part.output))
        if inner := part.stabilised - {part.output}:
            for _, found in self._rows(part, TracedTensors(inner, frozenset()), around.exact):
                values = InnerValues(found, ops.dtype, around)
                for name in inner:
                    more = ops.squares(values.value(name), axes(name))
                    squares[name] = squares[name] + more if name in squares else more
        for block, found in self._rows(part, part.asked, around.exact, part.output):
            yield block, InnerValues(found, ops.dtype, around, squares)

    def _made(self, asked: Collection[str], known: Mapping[str, Array]) -> dict[str, Array]:
        """Tensors that are not known, computed of those that are."""
        lacking = TracedTensors(frozenset(asked) - known.keys(), frozenset())
        return self._runner(known, lacking)(known.__getitem__)

    def _in_rows(self, part: Part, given: Mapping[str, Array]) -> Array:
        """The output of a part that is cut."""
        whole = None
        asked = TracedTensors(frozenset({part.output}), frozenset())
        for block, found in self._rows(part, asked, given.__getitem__):
            rows = found[part.output]
            whole = block.of_all(part.output, rows) if whole is None else whole
            block.put(part.output, rows, whole)
        assert whole is not None
        return whole

    def _rows(
        self, part: Part, asked: TracedTensors, value: Callable[[str], Array], *more: str
    ) -> Iterator[tuple[Block, dict[str, Array]]]:
        """Rows of a part, and of the tensors around it and asked for what belongs to them."""
        run, around = self._runner(part.given, asked), (*part.given, *more)
        shapes = {name: value(name).shape for name in around if name in part.rows}
        for block in _blocks(part, shapes):
            own = {name: block.take(name, value(name)) for name in around if name in block.cut}
            yield (
                block,
                {**own, **run(lambda name, own=own: own[name] if name in own else value(name))},
            )

    def _runner(
        self, given: Collection[str], asked: TracedTensors
    ) -> Callable[..., dict[str, Array]]:
        """Computes what is asked for, of given values that are looked up by name."""
        if not asked.names:
            return lambda value: {}
        types, outputs = self._graph.type, self._graph.outputs
        model = cut_between(self._model, given, asked.names, self._graph)
        half = [
            n for n in asked.values if types(n).dtype == TensorProto.FLOAT16 and n not in outputs
        ]
        session = asking_session(model, asked.values, asked.shapes, half, self._runtime)
        fetched = fetched_names(asked.values, asked.shapes, half)
        dtypes = {
            x.name: helper.tensor_dtype_to_np_dtype(types(x.name).dtype)
            for x in session.get_inputs()
        }

        def run(value: Callable[[str], Array]) -> dict[str, Array]:
            feeds = {n: np.asarray(value(n)).astype(kind, copy=False) for n, kind in dtypes.items()}
            return dict(zip(fetched, session.run(list(fetched.values()), feeds), strict=True))

        return run


def _blocks(part: Part, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Block]:
    """All rows of a part, as many at once as memory is meant for.

    `shapes`: of the tensors around it that may have rows; of one that does not it is 1 long there.
    """
    lengths = {n: shape[part.rows[n].axis] // part.rows[n].groups for n, shape in shapes.items()}
    count = max(lengths.values())
    cut = {name: part.rows[name] for name, length in lengths.items() if length == count}
    cut[part.output] = part.rows[part.output]
    size = max(1, AT_ONCE * count // max(1, part.largest))
    for first in range(0, count, size):
        yield Block(first, min(first + size, count), count, cut)


__all__ = ["AT_ONCE", "Block", "InnerValues", "PartRuns"]
