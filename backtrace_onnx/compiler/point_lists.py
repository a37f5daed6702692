"""Points at which a compiled file walks back: on a line, on lines from a background, with noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.compiler.forward_values import RenamedSymbols, Symbols
from backtrace_onnx.compiler.model_copy import copy_model
from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.methods.line_parts import LineParts
from backtrace_onnx.ops.vocabulary import Value, ints
from backtrace_onnx.ops.walks import SmoothGrad
from backtrace_onnx.propagation.moving import Moving
from backtrace_onnx.propagation.values import SpannedValues

Array = npt.NDArray[Any]
PLACE, LOW, HIGH = "relevance/place", "relevance/low", "relevance/high"
_ROW, _NOISE = "relevance/row", "relevance/noise"


class PointList:
    """A list of points, and the values of a walk at the one of a step of a Scan.

    Args:
        ops: appends nodes to the file.
        proto: the model. graph: the same, as rules read it.
        values: its tensors.
        moving: those that are others at a point.
        free: returns a name, or raises where it is taken.

    Attributes:
        stacked: what is read of each point, by the name of its row: an array of points.
        weight: of the reports of a point in their sum.
    """

    stacked: dict[str, Array]
    weight: float = 1.0

    def __init__(
        self,
        ops: EmitOps,
        proto: onnx.ModelProto,
        graph: Graph,
        values: Symbols,
        moving: Moving,
        free: Callable[[str], str],
    ) -> None:
        self._ops, self._proto, self._graph, self._free = ops, proto, graph, free
        self._own, self._moving = values, moving

    def values(self) -> SpannedValues:
        """Those of a walk at the point."""
        raise NotImplementedError

    def _run(self, prefix: str, given: Mapping[str, Value]) -> RenamedSymbols:
        """The model where these are given."""
        ops, free = self._ops, self._free
        names = {name: ops.output(x, free(prefix + name)) for name, x in given.items()}
        return copy_model(ops, self._proto, self._graph, names, prefix, free)

    def _cast(self, x: Value, like: str) -> Value:
        kind = self._graph.type(like).dtype
        return x if kind == TensorProto.DOUBLE else self._ops.Cast(x, to=kind)


class Line(PointList):
    """Points on the line from a baseline to the sample, with the parts of it they stand for.

    Args:
        parts: of the line.
        before: makes the tensors at the baseline.
    """

    def __init__(self, *given: Any, parts: LineParts, before: Callable[[], Symbols]) -> None:
        super().__init__(*given)
        self._before = before
        self.stacked = {PLACE: parts.places, LOW: parts.lows, HIGH: parts.highs}

    def values(self) -> SpannedValues:
        """At the place, weighed by what changes from the low end of its part to the high one."""
        ops, own, before = self._ops, self._own, self._before()
        far = {n: ops.Sub(own.exact(n), before.exact(n)) for n in self._moving.every}
        place, low, high = (Symbol(ops, name) for name in (PLACE, LOW, HIGH))

        def at(prefix: str, u: Value) -> RenamedSymbols:
            moved = {
                n: ops.Add(before.exact(n), ops.Mul(d, self._cast(u, n))) for n, d in far.items()
            }
            return self._run(prefix, moved)

        width = ops.Sub(high, low)
        changes = {
            n: ops.Cast(ops.Mul(d, self._cast(width, n)), to=ops.float_type) for n, d in far.items()
        }
        return SpannedValues(at("point/", place), at("high/", high), at("low/", low), changes)


class BackgroundLines(Line):
    """The same on lines from the rows of a background, which are constants of the file.

    Args:
        rows: by input, [rows, ...], with the sample axis kept.
        drawn: the row of each part.
    """

    def __init__(
        self, *given: Any, parts: LineParts, rows: Mapping[str, Array], drawn: Sequence[int]
    ) -> None:
        super().__init__(*given, parts=parts, before=self._drawn)
        self._rows = rows
        self.stacked[_ROW] = np.array(drawn, np.int64)

    def _drawn(self) -> RenamedSymbols:
        """The tensors at the row."""
        ops, row = self._ops, Symbol(self._ops, _ROW)
        found: dict[str, Value] = {}
        for name, rows in self._rows.items():
            ops.constants[table := self._free(f"background/of/{name}")] = rows
            one = ops.Gather(Symbol(ops, table), row, axis=0)
            found[name] = ops.Expand(one, ops.Shape(self._own.exact(name)))
        return self._run("background/", found)


class Noise(PointList):
    """The sample with noise of its own range's size, drawn as the file is written."""

    def __init__(self, *given: Any, how: SmoothGrad, mode: str) -> None:
        super().__init__(*given)
        self._how, self._axes = how, SampleAxes(self._graph)
        self.weight = 1 / how.samples
        shapes = {name: self._shape(name, mode) for name in self._moving.every}
        rng = np.random.default_rng(how.seed)
        drawn: dict[str, list[Array]] = {name: [] for name in shapes}
        for _ in range(how.samples):
            for name, shape in shapes.items():
                drawn[name].append(how.noise * rng.standard_normal(shape))
        self.stacked = {f"{_NOISE}/{name}": np.stack(own) for name, own in drawn.items()}

    def _shape(self, name: str, mode: str) -> list[int]:
        """The shape of a sample, the same noise being every sample's."""
        shape, axis = self._graph.type(name).shape, self._axes(name)
        own = [1 if i == axis else n for i, n in enumerate(shape or ())]
        fixed = [n for n in own if isinstance(n, int)]
        if shape is None or len(fixed) < len(own):
            raise RequestError(
                f"mode {mode!r}: noise is drawn as the file is written, and the sizes of "
                f"{name!r}, {shape}, are known only when it runs; fix those beside the number of "
                "samples (python -m onnxruntime.tools.make_dynamic_shape_fixed), or compile mode "
                "gradient, and take the mean of what it returns for inputs with noise"
            )
        return fixed

    def values(self) -> SpannedValues:
        """At the sample with noise, weighed by the sample's own values."""
        ops, own = self._ops, self._own
        moved = {}
        for name in self._moving.every:
            noise = ops.Mul(self._range(name), Symbol(ops, f"{_NOISE}/{name}"))
            wide = ops.Cast(own.exact(name), to=TensorProto.DOUBLE)
            moved[name] = self._cast(ops.Add(wide, noise), name)
        return SpannedValues(self._run("point/", moved), own, None)

    def _range(self, name: str) -> Value:
        """The range of each sample's values, or the size of one that has no other; in doubles."""
        ops, axis = self._ops, self._axes(name)
        x = ops.Cast(self._own.exact(name), to=TensorProto.DOUBLE)
        over = [i for i in range(self._graph.type(name).rank or 0) if i != axis]
        if not over:
            return ops.Abs(x)
        missing, least = ops.IsNaN(x), np.array(-np.inf)
        high = ops.ReduceMax(ops.Where(missing, least, x), ints(*over), keepdims=1)
        low = ops.ReduceMax(ops.Where(missing, least, ops.Neg(x)), ints(*over), keepdims=1)
        span = ops.Add(high, low)
        return ops.Where(ops.Greater(span, np.array(0.0)), span, ops.Abs(high))


__all__ = ["BackgroundLines", "Line", "Noise", "PointList"]
