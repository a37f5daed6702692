"""What a compiled file starts from: the entry it is asked for, or a start that it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.compiler.target_input import PAIRS, TARGET, largest, target_dims
from backtrace_onnx.errors import CompileError
from backtrace_onnx.graph.graph import Graph, TensorType
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.ops.vocabulary import Value, ints
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.entries import TASKS
from backtrace_onnx.targets.language_models import Tokens, find_tokens
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.sites import CONTRAST, Site
from backtrace_onnx.targets.start import Options as StartOptions
from backtrace_onnx.targets.start import raising, start_text

if TYPE_CHECKING:
    from backtrace_onnx.compiler.writer import Options

_ALL = np.iinfo(np.int64).max
_LEAST = -3.0e38
_LARGEST = frozenset({"classification", "bbox"})  # tasks whose open target is the largest entry


class StartWriter:
    """Writes the start behind the model, and the inputs that steer it.

    Attributes:
        inputs: those that the file has beside the model's.
        plan: that of the walk, once the start is written.
    """

    def __init__(
        self,
        ops: EmitOps,
        values: Symbols,
        graph: Graph,
        options: Options,
        axes: OutputAxes,
        samples: SampleAxes,
        site: Site,
        taken: Callable[[str], bool],
    ) -> None:
        """`taken` tells whether the model has a tensor of a name."""
        self.ops, self.values, self.graph, self.taken = ops, values, graph, taken
        self.options, self.axes, self.samples, self.site = options, axes, samples, site
        self.plan = site.whole
        self.inputs: list[onnx.ValueInfoProto] = []

    def write(self) -> Channels:
        """The start at the output, one symbol per channel."""
        options, kind = self.options, self.graph.type(self.options.output)
        channels = options.policy.channels
        self.plan = self.site.plan(self.ops, None, self.samples, self.axes)
        if options.task in ("start", CONTRAST):
            names = ["start", "start_negative"][:channels]
            return [self._input(name, kind.shape) for name in names]
        y = self.values.value(options.output)
        text, raises = start_text(options.task, channels, self._how(kind)), self._raises()
        read = self.site.read(self.ops, self.values, self.samples)
        scores, sides = (None if x is None else self._rows(x) for x in read)
        rows, target = self._rows(y), self._target(kind)
        if options.task in PAIRS and target is not None:
            target = self._placed(target, y)
        elif options.task in _LARGEST and target is not None:
            target = self._among_tokens(target, y)
        parts = text(self.ops, rows, target, scores, sides)
        if raises:
            constant = raising(options.task, self._how(kind))(self.ops, rows, target, scores)
            self.plan = self.site.plan(self.ops, constant, self.samples, self.axes)
        return [self._in_place(part, y) for part in parts]

    def _raises(self) -> bool:
        return self.site.raises(self.samples, self.axes)

    def _how(self, kind: TensorType) -> StartOptions:
        single = self.axes.single(kind.shape) if kind.shape is not None else False
        single = single if self.options.single is None else self.options.single
        how = StartOptions(
            self.options.threshold,
            self.options.scaler,
            single,
            self.axes.class_axis,
            self.axes.columns,
            pairs=self.options.task in TASKS,
        )
        alone = single and kind.shape is not None and self.axes.alone(kind.shape)
        return self.site.options(how, alone=alone, raises=self._raises())

    def _rows(self, y: Value) -> Value:
        """The output as [samples, ...] (`OutputAxes.rows`)."""
        axis, rank = self.axes.samples, self.axes.rank or 0
        if axis is None:
            return self.ops.Unsqueeze(y, ints(0)) if rank else self.ops.Reshape(y, ints(1, 1))
        if rank == 1:
            return self.ops.Unsqueeze(y, ints(1))
        return self.ops.Transpose(y, perm=_to_front(axis, rank)) if axis else y

    def _in_place(self, part: Value, y: Value) -> Value:
        """What `_rows` made, in the output's own shape (`OutputAxes.back`)."""
        axis, rank = self.axes.samples, self.axes.rank or 0
        if not axis:
            return self.ops.Reshape(part, self.ops.Shape(y))
        return self.ops.Transpose(part, perm=np.argsort(_to_front(axis, rank)).tolist())

    def _target(self, kind: TensorType) -> Value | None:
        asked, task = self.options.asked, self.options.task
        if task == "segmentation" and not asked.fixed:
            return None
        if asked.fixed is not None:
            binary = self._how(kind).binary
            return asked.constant(task, kind.shape, self.axes.samples, binary=binary)
        name = self._free(TARGET)
        dims = target_dims(task)
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, dims))
        if asked.default:
            self.ops.constants[name] = largest(task)
        return Symbol(self.ops, name)

    def _placed(self, target: Value, y: Value) -> Value:
        """Targets whose negative positions count from the end of each text, as those of `y`."""
        tokens = find_tokens(self.graph, self.options.output)
        ends = None if tokens is None else self._ends(tokens, self.ops.Shape(y, start=1, end=2))
        if ends is None:
            return target
        e = self.ops
        place, token = (e.Squeeze(p, ints(2)) for p in e.split(target, [ints(1), ints(1)], 2))
        place = e.Where(e.Less(place, np.int64(0)), e.Add(place, ends), place)
        pair = (e.Unsqueeze(part, ints(2)) for part in (place, e.Expand(token, e.Shape(place))))
        return e.Concat(*pair, axis=2)

    def _among_tokens(self, target: Value, y: Value) -> Value:
        """Targets of [samples, tokens, classes] that are open, at the best position of a token."""
        kind, e = self.graph.type(self.options.output), self.ops
        tokens = find_tokens(self.graph, self.options.output)
        if tokens is None or self.axes.samples != 0 or kind.rank != 3:
            return target
        count = e.Shape(y, start=1, end=2)
        ends = self._ends(tokens, count)
        if ends is None:
            return target
        real = e.Less(e.Range(np.int64(0), e.Squeeze(count), np.int64(1)), ends)
        if tokens.mask is not None:
            present = self._mask(tokens.mask, count)
            some = e.ReduceMax(e.Cast(present, to=TensorProto.INT64), ints(1), keepdims=1)
            real = e.Or(present, e.Equal(some, np.int64(0)))
        own = e.Where(e.Unsqueeze(real, ints(2)), y, e.scalar(_LEAST))
        best = e.ArgMax(e.Reshape(own, ints(0, -1)), axis=1, keepdims=0)
        return e.Where(e.Less(target, np.int64(0)), best, target)

    def _mask(self, name: str, count: Value) -> Value:
        """Boolean [samples, count]: the mask of the last positions."""
        mask = self.ops.Slice(self.values.exact(name), self.ops.Neg(count), ints(_ALL), ints(1))
        return self.ops.Cast(mask, to=TensorProto.BOOL)

    def _ends(self, tokens: Tokens, count: Value) -> Value | None:
        """int64[samples, 1], the place after each text's last token (`Tokens.ends`)."""
        e = self.ops
        if tokens.mask is not None:
            one = np.int64(1)
            places = e.Range(one, e.Add(e.Squeeze(count), one), one)
            present = e.Cast(self._mask(tokens.mask, count), to=TensorProto.INT64)
            found = e.ReduceMax(e.Mul(present, places), ints(1), keepdims=1)
        elif tokens.lengths is not None:
            lengths = e.Cast(self.values.exact(tokens.lengths), to=TensorProto.INT64)
            found = e.Reshape(lengths, ints(-1, 1))
        else:
            return None
        outside = e.Or(e.Less(found, np.int64(1)), e.Greater(found, count))
        return e.Where(outside, count, found)

    def _input(self, name: str, shape: Any) -> Symbol:
        name = self._free(name)
        element = self.ops.float_type
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return Symbol(self.ops, name)

    def _free(self, name: str) -> str:
        if self.taken(name):
            raise CompileError(f"the model has a tensor named {name!r} already; rename it first")
        return name


class Symbols:
    """Values of the forward run, as tensors of the graph."""

    def __init__(self, ops: EmitOps, graph: Graph) -> None:
        self._ops, self._graph = ops, graph

    def value(self, name: str) -> Value:
        """The tensor; floats cast to the dtype of the relevance where they have another."""
        kind = self._graph.type(name)
        symbol = Symbol(self._ops, name)
        if kind.is_float and kind.dtype not in (TensorProto.UNDEFINED, self._ops.float_type):
            return self._ops.Cast(symbol, to=self._ops.float_type)
        return symbol

    def exact(self, name: str) -> Value:
        """The tensor, not cast."""
        return Symbol(self._ops, name)

    def shape(self, name: str) -> Value:
        """Shape of the tensor; a constant where it is known."""
        shape = self._graph.type(name).shape
        if shape is not None and all(isinstance(n, int) for n in shape):
            return np.array(shape, np.int64)
        return self._ops.Shape(Symbol(self._ops, name))

    def release(self, names: Sequence[str]) -> None:
        """Nothing to forget."""


def _to_front(axis: int, rank: int) -> list[int]:
    return [axis, *(i for i in range(rank) if i != axis)]
