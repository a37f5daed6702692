"""A run of the model that answers questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

from backtrace_onnx.control.questions import Question
from backtrace_onnx.control.scene import NODE_LIMIT, size_of
from backtrace_onnx.errors import InputError, ModelError
from backtrace_onnx.model import Model
from backtrace_onnx.sessions import CPU, MAX_IR, Runtime, first_line, make_session
from backtrace_onnx.topology import subgraphs

Array = npt.NDArray[Any]


class Probe:
    """A session of the model that returns answers.

    Loops stop in it after one iteration more than could be written out, those inside others too.
    """

    def __init__(self, model: Model, questions: Mapping[str, Question], runtime: Runtime = CPU):
        self._questions = dict(questions)
        proto = _asking(model, list(questions.values()))
        try:
            self._session = make_session(proto, model.aside, runtime=runtime, folder=model.folder)
        except Exception as error:  # onnxruntime raises many types
            raise ModelError(
                f"{model.name}: onnxruntime does not load it: {first_line(error)}"
            ) from None

    def answers(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Answers by their names. Raises InputError where the model cannot run."""
        names = list(self._questions)
        try:
            found = self._session.run(names, dict(feeds))
        except Exception as error:  # onnxruntime raises many types
            given = ", ".join(f"{name} {x.dtype}{list(x.shape)}" for name, x in feeds.items())
            raise InputError(
                f"the model cannot run on the inputs {given}: {first_line(error)}"
            ) from None
        return {
            name: _answer(self._questions[name], x) for name, x in zip(names, found, strict=True)
        }


def _answer(question: Question, x: Array) -> Array:
    return np.array(len(x)) if question.kind == "trips" else np.asarray(x)


def _asking(model: Model, questions: Sequence[Question]) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    proto.ir_version = min(proto.ir_version or 8, MAX_IR)
    graph = proto.graph
    counted = {q.about for q in questions if q.kind == "trips"}
    numbers = count()
    nodes = [node for old in graph.node for node in _limited(old, counted, numbers)]
    for question in questions:
        if question.kind == "size":
            nodes += _size(question)
    del graph.node[:], graph.output[:]  # an output may be empty here that is not when it counts
    graph.node.extend(nodes)
    graph.output.extend(ValueInfoProto(name=q.key) for q in questions)
    return proto


def _size(question: Question) -> Iterator[onnx.NodeProto]:
    shape = f"{question.key}@shape"
    yield helper.make_node("Shape", [question.about], [shape], shape)
    at = numpy_helper.from_array(np.array(question.axis, np.int64))
    yield helper.make_node("Constant", [], [f"{shape}@axis"], f"{shape}@axis", value=at)
    yield helper.make_node("Gather", [shape, f"{shape}@axis"], [question.key], question.key)


def _limited(
    node: onnx.NodeProto, counted: Iterable[str], numbers: Iterator[int]
) -> list[onnx.NodeProto]:
    """The node, its loops stopping in time, and with a row per iteration if it is counted."""
    if not any(subgraphs(node)):
        return [node]
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for body in subgraphs(copy):
        nodes = [inner for old in body.node for inner in _limited(old, (), numbers)]
        del body.node[:]
        body.node.extend(nodes)
        if node.op_type == "Loop":
            _stop(body)
    if node.op_type != "Loop" or not any(a.name == "body" for a in node.attribute):
        return [copy]
    most = max(NODE_LIMIT // max(size_of(_body(node)), 1), 1)
    before = _limit(copy, most, f"limit{next(numbers)}@trips")
    if node.name in counted:
        _count(copy, f"{node.name}@trips")
    return [*before, copy]


def _limit(loop: onnx.NodeProto, most: int, base: str) -> list[onnx.NodeProto]:
    """Nodes that keep the trip count of a Loop, changed in place, at `most` + 1."""
    loop.input.extend([""] * (not loop.input))
    asked = loop.input[0]
    limit = numpy_helper.from_array(np.array(most + 1, np.int64))
    nodes = [helper.make_node("Constant", [], [base], base, value=limit)]
    loop.input[0] = base
    if asked:
        nodes.append(helper.make_node("Less", [asked, base], [f"{base}/less"], f"{base}/less"))
        loop.input[0] = f"{base}/min"
        nodes.append(
            helper.make_node("Where", [f"{base}/less", asked, base], [loop.input[0]], f"{base}/min")
        )
    return nodes


def _stop(body: onnx.GraphProto) -> None:
    """Have the Loop of this body go on only while the loops in it stop by themselves."""
    for inner in [node for node in body.node if node.op_type == "Loop"]:
        limit = inner.input[0].removesuffix("/min")
        rows, size, less, going = (f"{limit}/{name}" for name in ("rows", "size", "ended", "going"))
        _count(inner, rows)
        body.node.append(helper.make_node("Size", [rows], [size], size))
        body.node.append(helper.make_node("Less", [size, limit], [less], less))
        body.node.append(helper.make_node("And", [body.output[0].name, less], [going], going))
        body.output[0].name = going


def _count(loop: onnx.NodeProto, rows: str) -> None:
    """Have a Loop return its iterations' numbers."""
    body, number = _body(loop), f"{rows}@number"
    missing = range(len(loop.output), len(body.output) - 1)
    loop.output.extend(f"{rows}@row{i}" for i in missing)
    body.node.append(helper.make_node("Identity", [body.input[0].name], [number], number))
    body.output.append(helper.make_tensor_value_info(number, TensorProto.INT64, []))
    loop.output.append(rows)


def _body(node: onnx.NodeProto) -> onnx.GraphProto:
    bodies: Iterator[onnx.GraphProto] = (a.g for a in node.attribute if a.name == "body")
    return next(bodies)
