"""A model while it is written out straight: what is known of its run, and how much there may be."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy.typing as npt
import onnx

from backtrace_onnx.control.run_questions import RunQuestion
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
    """A model, what is known of its run, and the straight model that is written of it.

    Attributes:
        model: the model with control flow.
        answers: what runs have told, by name of the answer.
        constants: value of every tensor of the model that no input reaches.
        questions: what only a run can tell, by name of the answer.
        outputs: those of the straight model.
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
        """The value of a tensor that is constant, follows from shapes or was answered; or None."""
        for source in (self.constants, self.weights, self.answers):
            if name in source:
                return source[name]
        return self._numbers.get(name)

    def wanted(self, node: onnx.NodeProto, tensor: str, why: str) -> Array | None:
        """The value of a tensor; None where it is not known, and then a run is asked for it.

        `why` says in words what of the node depends on it.
        """
        found = self.value(tensor)
        if found is None:
            self.ask(RunQuestion(node.name, node.op_type, "value", tensor, why))
        return found

    def size(self, node: onnx.NodeProto, tensor: str, axis: int, why: str) -> int | None:
        """The size of a tensor's axis; None where it is not known, and then a run is asked for it.

        `why` says in words what of the node depends on it.
        """
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
        """Enter a question that the next run answers."""
        self.questions[question.key] = question

    # How much there may be ----------------------------------------------------------------------

    def check_room(self, node: onnx.NodeProto, times: int, body: onnx.GraphProto) -> None:
        """Raises ModelError where a body written out so many times would take too many nodes."""
        self.check_count(node, times, self.room(body))

    def check_count(self, node: onnx.NodeProto, count: int, most: int = NODE_LIMIT) -> None:
        """Raises ModelError where a node stands for more iterations or parts than `most`."""
        if count > most:
            raise ModelError(
                f"{self.model.name}: {node.op_type} node {node.name!r} stands for {count:,} "
                f"iterations or parts, or more; written out, the model would have over "
                f"{NODE_LIMIT:,} nodes, which is the most that is allowed"
            )

    def room(self, body: onnx.GraphProto) -> int:
        """How often a body can be written out before the model has too many nodes."""
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
    """The error of a loop that does not end and cannot be named by its node; `what` says which."""
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
