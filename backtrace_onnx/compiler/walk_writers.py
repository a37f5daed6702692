"""What a compiled file makes of walks: the report of one, or the sum of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx
from onnx import helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.compiler.forward_values import Symbols
from backtrace_onnx.compiler.point_lists import PointList
from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.model.topology import captured, living
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.propagation.moving import Moving
from backtrace_onnx.propagation.reverse_walk import Walked
from backtrace_onnx.structures.base import Channels

Reported = Mapping[str, Channels]


class WalkWriter:
    """A walk of its own.

    Attributes:
        method: by which the file walks. values: those of the walk.
        keep: tensors that the walk is to keep beside those asked for.
    """

    keep: frozenset[str] = frozenset()

    def __init__(self, method: Method, values: Any) -> None:
        self.method, self.values = method, values

    def close(self, walked: Walked) -> Reported:
        """What is told of tensors."""
        return walked.reported(self.method)


class PointWriter(WalkWriter):
    """Walks at a list of points: what hangs on the point becomes the body of a Scan that adds up.

    Args:
        ops: appends nodes to the file.
        graph: the model, as rules read it. own: its tensors.
        points: where it is walked.
    """

    def __init__(
        self,
        method: Method,
        ops: EmitOps,
        graph: Graph,
        own: Symbols,
        points: PointList,
        moving: Moving,
    ) -> None:
        super().__init__(replace(method, spans=True), points.values())
        self._ops, self._graph, self._own = ops, graph, own
        self._points, self._moving = points, moving

    def close(self, walked: Walked) -> Reported:
        """The sums over all points.

        Raises RequestError where slopes reach an input between whose values there is nothing.
        """
        if others := sorted(walked.carried.keys() & set(self._moving.stuck)):
            raise RequestError(
                f"mode {self.method.name!r}: input {others[0]!r} holds no floats, and nothing that "
                "floats are looked up by: there is nothing between them that a slope could be "
                "taken of; take mode attnlrp or lrp"
            )
        ops, weight = self._ops, self._points.weight
        told = {name: r for name, (r,) in walked.reported(self.method).items()}
        sums = {name: f"relevance/sum/{name}" for name in told}
        made = []
        for name, own in sums.items():
            part = told[name] if weight == 1 else ops.Mul(told[name], ops.scalar(weight))
            made.append(ops.output(ops.Add(Symbol(ops, own), part), f"{own}/next"))
        body = self._body({*self._points.stacked, *sums.values()}, made)
        return dict(zip(sums, self._scan(body, sums, made), strict=True))

    def _body(self, inside: set[str], made: Sequence[str]) -> list[onnx.NodeProto]:
        """Take the nodes that hang on a point out of the file."""
        body, outside = list[onnx.NodeProto](), list[onnx.NodeProto]()
        for node in self._ops.nodes:
            hangs = not inside.isdisjoint((*node.input, *captured(node)))
            inside.update(node.output if hangs else ())
            (body if hangs else outside).append(node)
        self._ops.nodes[:] = outside
        self._ops.forget()
        return living(body, set(made))

    def _scan(
        self, body: Sequence[onnx.NodeProto], sums: Mapping[str, str], made: Sequence[str]
    ) -> list[Channels]:
        ops, kind, stacked = self._ops, self._ops.float_type, self._points.stacked
        given = [ops.Expand(ops.zero(), self._shape(name)) for name in sums]
        rows = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape[1:]
            )
            for name, x in stacked.items()
        ]
        graph = helper.make_graph(
            body,
            "at a point",
            [*(helper.make_tensor_value_info(own, kind, None) for own in sums.values()), *rows],
            [helper.make_tensor_value_info(name, kind, None) for name in made],
        )
        inputs = [ops.symbol(x).name for x in (*given, *stacked.values())]
        outputs = [f"relevance/mean/{name}" for name in sums]
        ops.nodes.append(
            helper.make_node("Scan", inputs, outputs, "relevance/points", body=graph,
                             num_scan_inputs=len(stacked))
        )  # fmt: skip
        return [[Symbol(ops, name)] for name in outputs]

    def _shape(self, name: str) -> Value:
        while name in self._graph.computed:
            name = self._graph.computed[name].like
        return self._own.shape(name)


__all__ = ["PointWriter", "Reported", "WalkWriter"]
