"""Loops that stop: after one iteration more than could be written out, and all others with them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx.control.straight_model import NODE_LIMIT, size_of
from backtrace_onnx.model.topology import subgraphs

_SCAN_WITHOUT_BATCH = 9
Nodes = list[onnx.NodeProto]


class Limits:
    """Copies nodes so that no Loop in them runs on for ever.

    Whether a loop had to be stopped in a graph is told by a tensor in it, here called `over`. What
    has the graph for its body hands that on: an If as one more output, a Loop as a row of them, a
    Scan as one more state. Where it is true no other loop begins. The rows, one for each iteration,
    are the last output of a Loop.

    Args:
        opset: of ai.onnx.
    """

    def __init__(self, opset: int) -> None:
        self._numbers = count()
        self._handing = {"If", "Loop"} | ({"Scan"} if opset >= _SCAN_WITHOUT_BATCH else set())

    def limited(self, nodes: Iterable[onnx.NodeProto], before: str = "") -> tuple[Nodes, str]:
        """Copies of the nodes of a graph that stop, and its `over`; "" where it has no loop.

        `before` names a tensor that says whether loops had to be stopped already, outside.
        """
        made: Nodes = []
        over = ""
        for node in nodes:
            if not any(subgraphs(node)):
                made.append(node)
                continue
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            mine = self._limit_node(made, copy, self._either(made, before, over))
            over = self._either(made, over, mine)
        return made, over

    def stop(self, body: onnx.GraphProto, most: int | None = None) -> str:
        """Change the body of a Loop so that it ends where one in it was stopped; its `over`.

        Where `most` is given, it ends at that iteration, too.
        """
        nodes, over = self.limited(body.node)
        if most is not None:
            limit = self._constant(nodes, np.int64(most))
            ended = self._add(nodes, "Equal", body.input[0].name, limit)
            over = self._either(nodes, ended, over)
        if over:
            alone = self._add(nodes, "Not", over)
            body.output[0].name = self._add(nodes, "And", body.output[0].name, alone)
        _replace(body, nodes)
        return over

    def _limit_node(self, nodes: Nodes, node: onnx.NodeProto, before: str) -> str:
        """Add a node, changed in place, whose loops stop: `over` of its bodies."""
        bodies = [a.g for a in node.attribute if a.HasField("g")]
        if node.op_type == "Loop" and len(bodies) == 1 and bodies[0].input and bodies[0].output:
            return self._limit_loop(nodes, node, bodies[0], before)
        if node.op_type == "Scan" and node.op_type in self._handing:
            return self._limit_scan(nodes, node, bodies[0], before)
        overs = [self._limit_body(body, before) for body in bodies]
        nodes.append(node)
        if not any(overs) or node.op_type not in self._handing:
            return ""
        for body, over in zip(bodies, overs, strict=True):
            self._tell(body, over)
        return self._output(node, len(bodies[0].output))

    def _limit_loop(
        self, nodes: Nodes, node: onnx.NodeProto, body: onnx.GraphProto, before: str
    ) -> str:
        self._tell(body, self.stop(body, max(NODE_LIMIT // max(size_of(body), 1), 1)))
        if before:
            node.input.extend([""] * (2 - len(node.input)))
            alone = self._add(nodes, "Not", before)
            asked = node.input[1]
            node.input[1] = self._add(nodes, "And", asked, alone) if asked else alone
        nodes.append(node)
        rows = self._output(node, len(body.output) - 1)
        total = self._add(nodes, "Cast", rows, to=TensorProto.FLOAT)
        total = self._add(nodes, "ReduceSum", total, keepdims=0)
        return self._add(nodes, "Cast", total, to=TensorProto.BOOL)

    def _limit_scan(
        self, nodes: Nodes, node: onnx.NodeProto, body: onnx.GraphProto, before: str
    ) -> str:
        state, final = self._name("state"), self._name("over")
        over = self._limit_body(body, state)
        if over:
            inner = [*body.node]
            told = self._either(inner, state, over)
            _replace(body, inner)
            scalar = [helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in (state, told)]
            body.input.insert(0, scalar[0])
            body.output.insert(0, scalar[1])
            node.input.insert(0, before or self._constant(nodes, np.bool_(False)))
            node.output.insert(0, final)
        nodes.append(node)
        return final if over else ""

    def _limit_body(self, body: onnx.GraphProto, before: str) -> str:
        nodes, over = self.limited(body.node, before)
        _replace(body, nodes)
        return over

    def _tell(self, body: onnx.GraphProto, over: str) -> None:
        """Make `over` an output; a body without loops is never over."""
        nodes = [*body.node]
        told = self._add(nodes, "Identity", over or self._constant(nodes, np.bool_(False)))
        _replace(body, nodes)
        body.output.append(helper.make_tensor_value_info(told, TensorProto.BOOL, None))

    def _output(self, node: onnx.NodeProto, number: int) -> str:
        """Add a node's output of that number, counted from 1, and those before it."""
        node.output.extend(self._name("unread") for _ in range(len(node.output), number - 1))
        name = self._name("over")
        node.output.append(name)
        return name

    def _either(self, nodes: Nodes, a: str, b: str) -> str:
        return self._add(nodes, "Or", a, b) if a and b else a or b

    def _constant(self, nodes: Nodes, value: np.generic) -> str:
        return self._add(nodes, "Constant", value=numpy_helper.from_array(np.asarray(value)))

    def _add(self, nodes: Nodes, operator: str, *inputs: str, **given: Any) -> str:
        name = self._name(operator.lower())
        nodes.append(helper.make_node(operator, inputs, [name], name, **given))
        return name

    def _name(self, what: str) -> str:
        return f"limit{next(self._numbers)}@{what}"


def _replace(body: onnx.GraphProto, nodes: Nodes) -> None:
    del body.node[:]
    body.node.extend(nodes)
