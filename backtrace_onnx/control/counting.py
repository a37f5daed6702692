"""How often a Loop runs, where that depends on no input: its condition is run on its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

from backtrace_onnx.control.limits import Limits
from backtrace_onnx.control.straight_model import StraightModel, unending
from backtrace_onnx.errors import ModelError
from backtrace_onnx.model.sessions import first_line, make_session
from backtrace_onnx.model.topology import captured

Array = npt.NDArray[Any]
_STATES = 2  # inputs of a node, and of its body, before its states


def constant_trips(
    straight: StraightModel, node: onnx.NodeProto, body: onnx.GraphProto
) -> int | None:
    """How often a Loop runs, if that follows from constants; None if it does not.

    The part of the body that its condition depends on is run alone, without the rest, and at most
    one iteration longer than there is room for. Raises ModelError where it cannot be run, or asks
    for a Loop that does not end.
    """
    states, nodes = _condition(body)
    outer = {node.input[_STATES + k] for k in states} | set(filter(None, node.input[:_STATES]))
    steering = _steering(body, states, nodes)
    outer |= captured(helper.make_node("Loop", [], [], body=steering))
    values = {name: straight.value(name) for name in outer}
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) < len(values):
        return None
    return _run(straight, node, steering, states, known, straight.room(body) + 1)


def _condition(body: onnx.GraphProto) -> tuple[list[int], list[onnx.NodeProto]]:
    """Numbers of the states, and the nodes, that the body's condition depends on."""
    wanted = {body.output[0].name}
    states: set[int] = set()
    while True:
        nodes = []
        for node in reversed(body.node):
            if wanted.intersection(node.output):
                wanted.update((*node.input, *captured(node)))
                nodes.append(node)
        read = {k for k, x in enumerate(body.input[_STATES:]) if x.name in wanted}
        if read == states:
            return sorted(states), nodes[::-1]
        states = read
        wanted |= {body.output[1 + k].name for k in states}


def _steering(
    body: onnx.GraphProto, states: list[int], nodes: list[onnx.NodeProto]
) -> onnx.GraphProto:
    """The body without what its condition does not depend on, numbering its iterations.

    It has one state that idles: before opset 11 a Loop needs one.
    """
    first, read = body.input[0].name, {name for node in nodes for name in node.input}
    copies = [helper.make_node("Identity", [first], [name]) for name in ("idle@next", "row@next")]
    whole = [helper.make_tensor_value_info(x.output[0], TensorProto.INT64, []) for x in copies]
    idle = helper.make_tensor_value_info("idle@state", TensorProto.INT64, [])
    return helper.make_graph(
        [*nodes, *copies],
        "steering",
        [*body.input[:_STATES], *(body.input[_STATES + k] for k in states), idle],
        [body.output[0], *(body.output[1 + k] for k in states), *whole],
        [t for t in body.initializer if t.name in read or t.name == body.output[0].name],
    )


def _run(
    straight: StraightModel,
    node: onnx.NodeProto,
    steering: onnx.GraphProto,
    states: list[int],
    known: dict[str, Array],
    most: int,
) -> int:
    asked = known.get(node.input[0]) if node.input else None
    limit = most if asked is None else min(int(np.ravel(asked)[0]), most)
    finals = [f"state{k}@final" for k in states] + ["idle@final"]
    inputs = ["limit@trips", node.input[1] if len(node.input) > 1 else ""]
    inputs += [node.input[_STATES + k] for k in states] + ["limit@trips"]
    over = Limits(straight.opset).stop(steering)
    if over:
        steering.output.append(ValueInfoProto(name=over))
    loop = helper.make_node("Loop", inputs, [*finals, "numbers@trips"], body=steering)
    if over:
        loop.output.append("over@trips")
    stored = {**known, "limit@trips": np.array(limit, np.int64)}
    graph = helper.make_graph(
        [loop],
        "trips",
        [],
        [ValueInfoProto(name=name) for name in loop.output[len(finals) :]],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in stored.items()],
    )
    version = straight.model.proto.ir_version
    proto = helper.make_model(
        graph, opset_imports=straight.model.proto.opset_import, ir_version=version
    )
    try:
        session = make_session(proto, folder=straight.model.folder, threads=1)
        numbers, *endless = session.run(None, {})
    except Exception as error:  # onnxruntime raises many types
        raise ModelError(
            f"{straight.model.name}: the condition of the Loop {node.name!r} cannot be computed "
            f"({first_line(error)})"
        ) from None
    if endless and endless[0].any():
        raise unending(straight.model.name, f"a Loop that the condition of {node.name!r} asks for")
    return len(numbers)
