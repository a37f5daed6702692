"""Integrated gradients in a compiled file: the model and its gradient at points of a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.compiler.forward_values import RenamedSymbols, Symbols
from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.ids import find_ids
from backtrace_onnx.model.topology import captured, renamed
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.ops.walks import IntegratedGradients
from backtrace_onnx.propagation.values import Values, before
from backtrace_onnx.structures.base import Channels

STEPS = 32
_PLACE, _WEIGHT, _RUN = "relevance/place", "relevance/weight", "point/"


class LineWriter:
    """Writes the mean slope on the line from a baseline, as a Scan over points.

    Args:
        ops: appends nodes to the file.
        proto: the model. graph: the same, as rules read it.
        values, before: its tensors, and those at the baseline.
        steps: Gauss-Legendre points.
        mode: its name, for what is said.

    Attributes:
        values: the tensors of the run at a point.
    """

    def __init__(
        self,
        ops: EmitOps,
        proto: onnx.ModelProto,
        graph: Graph,
        values: Symbols,
        before: Symbols,
        steps: int,
        mode: str,
    ) -> None:
        self._ops, self._graph, self._steps, self._mode = ops, graph, steps, mode
        self._moving = _moving(graph, mode)
        self._far = {n: ops.Sub(values.exact(n), before.exact(n)) for n in self._moving}
        names = {n: self._point(n, before) for n in self._moving}
        for node in proto.graph.node:
            if names.keys().isdisjoint((*node.input, *captured(node))):
                continue
            names.update({name: _RUN + name for name in node.output if name})
            copy = renamed(node, names)
            copy.name = _RUN + node.name
            ops.nodes.append(copy)
        self.values = RenamedSymbols(ops, graph, names)

    @classmethod
    def of(
        cls,
        method: Method,
        ops: EmitOps,
        proto: onnx.ModelProto,
        graph: Graph,
        values: Symbols,
        both: Values,
        tensors: Sequence[str],
    ) -> LineWriter | None:
        """What writes the points of a line, for the method that takes a mean over them.

        Args:
            both: the values, with those at the baseline.
            tensors: those whose relevance is wanted.

        Raises RequestError where these are no inputs.
        """
        walks = method.walks
        if not isinstance(walks, IntegratedGradients):
            return None
        if others := set(tensors) - set(graph.inputs):
            raise RequestError(
                f"mode {method.name!r} tells of the inputs only, not of {', '.join(sorted(others))}"
            )
        how = (before(both), walks.steps or STEPS, method.name)
        return cls(ops, proto, graph, values, *how)

    def _point(self, name: str, before: Symbols) -> str:
        ops = self._ops
        place = Symbol(ops, _PLACE)
        if self._graph.type(name).dtype != TensorProto.DOUBLE:
            place = ops.Cast(place, to=self._graph.type(name).dtype)
        moved = ops.Mul(self._far[name], place)
        return ops.output(ops.Add(before.exact(name), moved), _RUN + name)

    def close(self, carried: Mapping[str, Channels]) -> dict[str, Channels]:
        """The relevance of the inputs, of their slopes at a point; what hangs on the point becomes
        the body of a Scan that adds up.

        Raises RequestError where slopes reach an input between whose values there is nothing.
        """
        slopes = {name: m for name, (m,) in carried.items()}
        if others := sorted(slopes.keys() & set(self._graph.inputs) - set(self._moving)):
            raise RequestError(
                f"mode {self._mode!r}: input {others[0]!r} holds no floats, and there is nothing "
                "between them that a slope could be taken of; take mode attnlrp or lrp"
            )
        ops, weight = self._ops, Symbol(self._ops, _WEIGHT)
        sums = {name: f"relevance/sum/{name}" for name in self._moving if name in slopes}
        made = [
            ops.output(ops.Add(Symbol(ops, own), ops.Mul(slopes[name], weight)), f"{own}/next")
            for name, own in sums.items()
        ]
        inside = {_PLACE, _WEIGHT, *sums.values()}
        body, outside = list[onnx.NodeProto](), list[onnx.NodeProto]()
        for node in ops.nodes:
            hangs = not inside.isdisjoint((*node.input, *captured(node)))
            inside.update(node.output if hangs else ())
            (body if hangs else outside).append(node)
        ops.nodes[:] = outside
        ops.forget()
        means = self._scan(body, list(sums), list(sums.values()), made)
        found = dict(zip(sums, means, strict=True))
        far = {name: ops.Cast(self._far[name], to=ops.float_type) for name in found}
        return {name: [ops.Mul(far[name], mean)] for name, mean in found.items()}

    def _scan(
        self,
        body: Sequence[onnx.NodeProto],
        names: Sequence[str],
        sums: Sequence[str],
        made: Sequence[str],
    ) -> list[Value]:
        """The sums over all points."""
        ops, kind = self._ops, self._ops.float_type
        points, weights = np.polynomial.legendre.leggauss(self._steps)
        numbers = [(points + 1) / 2, (weights / 2).astype(ops.dtype)]
        shapes = [ops.Shape(self._far[name]) for name in names]
        given = [ops.Expand(ops.zero(), shape) for shape in shapes]
        steps = [
            helper.make_tensor_value_info(_PLACE, TensorProto.DOUBLE, []),
            helper.make_tensor_value_info(_WEIGHT, kind, []),
        ]
        graph = helper.make_graph(
            body,
            "at a point of the line",
            [*(helper.make_tensor_value_info(own, kind, None) for own in sums), *steps],
            [helper.make_tensor_value_info(name, kind, None) for name in made],
        )
        inputs = [ops.symbol(x).name for x in (*given, *numbers)]
        outputs = [f"relevance/mean/{name}" for name in names]
        ops.nodes.append(
            helper.make_node("Scan", inputs, outputs, "relevance/line", body=graph,
                             num_scan_inputs=len(steps))
        )  # fmt: skip
        return [Symbol(ops, name) for name in outputs]


def _moving(graph: Graph, mode: str) -> tuple[str, ...]:
    """The inputs that are numbers of any size. Raises RequestError where there are ids."""
    ids = [name for name in find_ids(graph) if name in graph.inputs]
    if ids:
        raise RequestError(
            f"mode {mode!r}: input {ids[0]!r} holds ids, between which there is nothing that a "
            "slope could be taken of; take mode attnlrp, lrp or gradient_x_input"
        )
    return tuple(name for name in graph.inputs if graph.type(name).is_float)


__all__ = ["STEPS", "LineWriter"]
