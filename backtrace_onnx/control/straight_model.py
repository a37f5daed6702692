"""A model while it is written out straight: what is known of its run, and how much there may be."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy.typing as npt
import onnx

from backtrace_onnx.control.questions import RunQuestion
from backtrace_onnx.control.straight_nodes import StraightNodes
from backtrace_onnx.errors import ModelError
from backtrace_onnx.graph.graph import TensorType
from backtrace_onnx.graph.inference import infer_types
from backtrace_onnx.graph.node_reading import canonical
from backtrace_onnx.graph.shapes import computed_numbers
from backtrace_onnx.model.constant_folding import fold
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.topology import captured, subgraphs

Array = npt.NDArray[Any]
NODE_LIMIT = 200_000


class StraightModel(StraightNodes):
    """The model, what is known of its run, and the straight model so far.

    Attributes:
        answers: what runs have told.
        questions: what only a run can tell, by name of the answer.
        outputs: of the straight model.
    """

    def __init__(self, model: Model, answers: Mapping[str, Array]) -> None:
        self.model, self.answers = model, answers
        self.constants, folded = fold(model)
        made = (node.output for node in model.proto.graph.node if node.name in folded)
        super().__init__(model, {out for outputs in made for out in outputs} | {*self.constants})
        self.questions: dict[str, RunQuestion] = {}
        self.outputs = list(model.proto.graph.output)

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """What inference knows of the model's tensors."""
        return infer_types(self.model.proto)

    @cached_property
    def _numbers(self) -> dict[str, Array]:
        return computed_numbers(self.model.proto.graph, self.types)

    # What is known -----------------------------------------------------------------------------

    def value(self, name: str) -> Array | None:
        """A tensor's value, if it is constant, follows from shapes, or was answered by a run."""
        for source in (self.constants, self.weights, self.answers):
            if name in source:
                return source[name]
        return self._numbers.get(name)

    def wanted(self, node: onnx.NodeProto, tensor: str, why: str) -> Array | None:
        """A tensor's value; asked for where it is not known."""
        found = self.value(tensor)
        if found is None:
            self.ask(RunQuestion(node.name, node.op_type, "value", tensor, why))
        return found

    def size(self, node: onnx.NodeProto, tensor: str, axis: int, why: str) -> int | None:
        """Size of a tensor's axis; asked for where it is not known."""
        shape = self.types.get(tensor, TensorType()).shape
        if shape is not None and -len(shape) <= axis < len(shape):
            known = shape[axis]
            if isinstance(known, int):
                return known
        question = RunQuestion(node.name, node.op_type, "size", tensor, why, axis)
        if question.key in self.answers:
            return int(self.answers[question.key])
        self.ask(question)
        return None

    def ask(self, question: RunQuestion) -> None:
        """Have a run tell."""
        self.questions[question.key] = question

    # How much there may be ----------------------------------------------------------------------

    def check_room(self, node: onnx.NodeProto, times: int, body: onnx.GraphProto) -> None:
        """Raises ModelError where writing out a body that often would take too many nodes."""
        self.check_count(node, times, self.room(body))

    def check_count(self, node: onnx.NodeProto, count: int, most: int = NODE_LIMIT) -> None:
        """Raises ModelError where a node stands for more than there is room for."""
        if count > most:
            raise ModelError(
                f"{self.model.name}: {node.op_type} node {node.name!r} stands for {count:,} "
                f"iterations or parts, or more; written out, the model would have over "
                f"{NODE_LIMIT:,} nodes, which is the most that is allowed"
            )

    def room(self, body: onnx.GraphProto) -> int:
        """How often a body can be written out."""
        return max(NODE_LIMIT - len(self.nodes), 0) // max(size_of(body), 1)

    # The result --------------------------------------------------------------------------------

    def result(self) -> Model:
        """The model as written so far."""
        return self.model.with_nodes(self._living(), self.weights, outputs=self.outputs)

    def _living(self) -> list[onnx.NodeProto]:
        """The nodes without those written here, or making sequences, that nothing reads."""
        read = {o.name for o in self.outputs}
        alive = []
        noted = self.sequences.keys() | self.optionals.keys()
        for node in reversed(self.nodes):
            needed = node.name not in self.made and noted.isdisjoint(node.output)
            if needed or read.intersection(node.output):
                read.update((*node.input, *captured(node)))
                alive.append(node)
        return alive[::-1]


def unending(model: str, what: str) -> ModelError:
    """The error of a loop that has no place of its own in the model written out."""
    return ModelError(
        f"{model}: {what} does not end; written out, the model would have over {NODE_LIMIT:,} "
        "nodes, which is the most that is allowed"
    )


def size_of(body: onnx.GraphProto) -> int:
    """Number of nodes of a body, those of bodies inside it included."""
    return sum(1 + sum(map(size_of, subgraphs(node))) for node in body.node)


def is_standard(node: onnx.NodeProto) -> bool:
    """Whether a node is of ai.onnx."""
    return canonical(node.domain) == ""
