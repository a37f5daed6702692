"""A model as several walks ask it: whole, or behind the rows that its ids look up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.prepared_model import PreparedModel
from backtrace_onnx.errors import RequestError
from backtrace_onnx.methods.named import METHODS
from backtrace_onnx.propagation.ledger import Entry
from backtrace_onnx.propagation.moving import find_moving
from backtrace_onnx.targets.axis_search import SEARCH
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import OWN_START, Question

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Ask = Callable[[Question, Arrays], Outcome]
Run = Callable[[PreparedModel, Question, Arrays], Outcome]


@dataclass
class WalkedModel:
    """A model, and what explains a question at inputs by one walk."""

    model: PreparedModel
    run: Run

    def ask(self, question: Question, feeds: Arrays) -> Outcome:
        """The outcome of one walk."""
        return self.run(self.model, question, feeds)

    def prepared(self, question: Question) -> PreparedOutput:
        """What explaining the output of a question needs."""
        return self.model.output(question.output, question.apart)


class MovingModel(WalkedModel):
    """What is left of a model where all that may lie between two inputs is an input itself.

    Attributes:
        inner: the tensors that became inputs: the floats that ids and other whole numbers are
            read as. Where there are none, it is the model itself.
        names: all inputs that move.
        whole: the model.
    """

    inner: tuple[str, ...]
    names: tuple[str, ...]

    def __init__(
        self, whole: WalkedModel, question: Question, reached: Mapping[str, Any] | None
    ) -> None:
        """`reached`: relevance of the inputs; None: nothing moves. Raises RequestError where some
        came to an input between whose values there is nothing."""
        self.whole, self.names, self.inner = whole, (), ()
        super().__init__(whole.model, whole.run)
        if reached is None:
            return
        moving = find_moving(whole.prepared(question).plan, question.output)
        made = whole.model.graphs.nodes.producers
        for name in moving.stuck:
            if np.any(reached[name]):
                raise RequestError(
                    f"mode {question.method.name!r}: input {name!r} holds whole numbers that are "
                    "not looked up or converted, between which there is nothing that a slope could "
                    "be taken of; take mode attnlrp, lrp or gradient_x_input, which stay at the "
                    "input"
                )
        self.inner = tuple(name for name in moving.inner if name in made)
        self.names = (*moving.inputs, *self.inner)
        if self.inner:
            self.model = whole.model.behind(self.inner)

    def feeds(self, given: Arrays) -> dict[str, Array]:
        """Its inputs where the model has these."""
        if not self.inner:
            return dict(given)
        found = {**given, **self.whole.model.values(given, self.inner)}
        return {name: found[name] for name in self.model.graph.inputs}

    def handed_on(
        self, relevance: Arrays, inputs: Arrays, keep: Collection[str] = ()
    ) -> tuple[dict[str, Array], dict[str, Entry]]:
        """Relevance of the model's inputs, what its tensors inside have being that of the ids that
        were looked up; and of tensors on that way. Also the books of the nodes there.

        Args:
            relevance: by input of this model. inputs: the model's.
        """
        if not self.inner:
            return dict(relevance), {}
        dtype = next(iter(relevance.values())).dtype
        found = {name: np.zeros(x.shape, dtype) for name, x in inputs.items()}
        found |= {name: relevance[name] for name in found.keys() & relevance.keys()}
        books: dict[str, Entry] = {}
        for tensor in self.inner:
            method = replace(METHODS["gradient"], carrier="relevance", reported="relevance")
            way = Question(method, tensor, OWN_START, start=relevance[tensor], axes=SEARCH)
            made = self.whole.ask(replace(way, keep=frozenset(keep)), inputs)
            for name in (*inputs, *keep):
                if name in made.relevance:
                    found[name] = found.get(name, 0) + np.asarray(made.relevance[name][0])
            books |= made.ledger
        return found, books


__all__ = ["Ask", "MovingModel", "WalkedModel"]
