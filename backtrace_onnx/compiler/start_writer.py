"""What a compiled file starts from: the entry it is asked for, or a start that it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.compiler.forward_values import Symbols
from backtrace_onnx.compiler.target_axis import ROW, TARGETS, TargetAxis
from backtrace_onnx.compiler.target_input import (
    PAIRS,
    TARGET,
    TargetInput,
    largest,
    target_dims,
)
from backtrace_onnx.compiler.target_limits import held
from backtrace_onnx.errors import CompileError, RequestError
from backtrace_onnx.graph.graph import TensorType
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.ops.vocabulary import Value, ints
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.entries import TASKS
from backtrace_onnx.targets.language_models import Tokens, find_tokens
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.question import OWN_START, Question
from backtrace_onnx.targets.start import StartSettings, raising, start_text
from backtrace_onnx.targets.start_site import CHOSEN, CONTRAST, StartSite

_ALL = np.iinfo(np.int64).max
_LEAST = -3.0e38
_LARGEST = frozenset({"classification", "bbox"})  # tasks whose open target is the largest entry


class StartWriter:
    """Writes the start behind the model, and the inputs that steer it.

    Args:
        ops: appends nodes to the file.
        values: the tensors of the forward run.
        question: what the file explains.
        target: how the file is told which entry.
        axes, samples: where the samples of the output, and of any tensor, lie.
        single: whether every entry of the output has one class.
        site: where relevance starts.
        taken: whether the model has a tensor of a name.

    Attributes:
        inputs: those that the file has beside the model's.
        plan: that of the walk, once the start is written.
        axis: that of the targets, where the file takes several.
    """

    def __init__(
        self,
        ops: EmitOps,
        values: Symbols,
        question: Question,
        target: TargetInput,
        axes: OutputAxes,
        samples: SampleAxes,
        site: StartSite,
        taken: Callable[[str], bool],
        *,
        single: bool | None = None,
    ) -> None:
        self.ops, self.values, self.taken = ops, values, taken
        self.question, self.target, self.site = question, target, site
        self.axes, self.samples, self.single = axes, samples, single
        self.plan = site.whole
        self.graph = site.whole.graph
        self.inputs: list[onnx.ValueInfoProto] = []
        self.axis: TargetAxis | None = None

    def write(self) -> Channels:
        """Write the start; returns relevance at the output as one symbol for each channel."""
        question, kind = self.question, self.graph.type(self.question.output)
        channels = question.policy.channels
        self.plan = self.site.plan(self.ops, None, self.samples, self.axes)
        if question.task in (OWN_START, CONTRAST, CHOSEN):
            names = ["start", "start_negative"][:channels]
            return [self._input(name, kind.shape) for name in names]
        y = self.values.value(question.output)
        how, raises = self._how(kind), self._raises()
        read = self.site.read(self.ops, self.values, self.samples)
        scores, sides = (None if x is None else self._rows(x) for x in read)
        rows, target = self._rows(y), self._target(kind)
        if question.task in PAIRS and target is not None:
            target = self._placed(target, y)
        elif question.task in _LARGEST and target is not None:
            target = self._among_tokens(target, y)
        if target is not None and self.target.fixed != ():
            with self.ops.scope("target_in_range"):
                target, how = held(self.ops, question.task, rows, target, how)
        text = start_text(question.task, channels, how)
        parts = text(self.ops, rows, target, scores, sides)
        if raises:
            constant = raising(question.task, how)(self.ops, rows, target, scores)
            self.plan = self.site.plan(self.ops, constant, self.samples, self.axes)
        return [self._in_place(part, y) for part in parts]

    def _raises(self) -> bool:
        return self.site.raises(self.samples, self.axes)

    def _how(self, kind: TensorType) -> StartSettings:
        single = self.axes.single(kind.shape) if kind.shape is not None else False
        single = single if self.single is None else self.single
        how = StartSettings(
            self.question.threshold,
            self.question.scaler,
            single,
            self.axes.class_axis,
            self.axes.columns,
            pairs=self.question.task in TASKS,
        )
        alone = single and kind.shape is not None and self.axes.alone(kind.shape)
        return self.site.options(how, alone=alone, raises=self._raises())

    def _rows(self, y: Value) -> Value:
        """The output as [samples, ...] (`OutputAxes.rows`)."""
        axis, rank = self.axes.samples, self.axes.rank or 0
        y = self.ops.Unsqueeze(y, ints(-1)) if self.axes.are_single else y
        rank += self.axes.are_single
        if axis is None:
            return self.ops.Unsqueeze(y, ints(0)) if rank else self.ops.Reshape(y, ints(1, 1))
        if rank == 1:
            return self.ops.Unsqueeze(y, ints(1))
        return self.ops.Transpose(y, perm=_to_front(axis, rank)) if axis else y

    def _in_place(self, part: Value, y: Value) -> Value:
        """What `_rows` made, in the output's own shape (`OutputAxes.back`)."""
        axis, rank = self.axes.samples, self.axes.rank or 0
        part = self.ops.Squeeze(part, ints(-1)) if axis and self.axes.are_single else part
        if not axis:
            return self.ops.Reshape(part, self.ops.Shape(y))
        return self.ops.Transpose(part, perm=np.argsort(_to_front(axis, rank)).tolist())

    def _target(self, kind: TensorType) -> Value | None:
        given, task = self.target, self.question.task
        if task == "segmentation" and given.several:
            raise RequestError("segmentation explains what is over the threshold, no targets")
        if task == "segmentation" and not given.fixed:
            return None
        if given.fixed is not None:
            binary = self._how(kind).binary
            return given.constant(task, kind.shape, self.axes.samples, binary=binary)
        dims = target_dims(task)
        if given.several:
            self.free(TARGETS)
            self.axis = TargetAxis(tuple(dims))
            self.inputs.append(self.axis.input())
            return Symbol(self.ops, ROW)
        name = self.free(TARGET)
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, dims))
        if given.optional:
            self.ops.constants[name] = largest(task)
        return Symbol(self.ops, name)

    def _placed(self, target: Value, y: Value) -> Value:
        """Targets whose negative positions count from the end of each text, as those of `y`."""
        tokens = find_tokens(self.graph, self.question.output)
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
        kind, e = self.graph.type(self.question.output), self.ops
        tokens = find_tokens(self.graph, self.question.output)
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
        name = self.free(name)
        element = self.ops.float_type
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return Symbol(self.ops, name)

    def free(self, name: str) -> str:
        """The name. Raises CompileError where the model has a tensor of it."""
        if self.taken(name):
            raise CompileError(f"the model has a tensor named {name!r} already; rename it first")
        return name


def _to_front(axis: int, rank: int) -> list[int]:
    return [axis, *(i for i in range(rank) if i != axis)]
