"""The model as it ran on given inputs: every branch taken and every iteration, written out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from backtrace_onnx.control.boundary import elements, list_inputs, opened
from backtrace_onnx.control.probe import Probe
from backtrace_onnx.control.run_questions import RunQuestion
from backtrace_onnx.control.straight_model import unending
from backtrace_onnx.control.straightening import straightened
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.inference import infer
from backtrace_onnx.graph.input_checking import check_inputs
from backtrace_onnx.graph.node_reading import read_node
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.sessions import CPU, Runtime

Array = npt.NDArray[Any]
Decisions = tuple[tuple[str, Any], ...]
T = TypeVar("T")
_KEPT = 8


class Recent(Generic[T]):
    """Values by key, of which the `most` that were used last are kept."""

    def __init__(self, most: int = _KEPT) -> None:
        self._most, self._lock = most, Lock()
        self._values: OrderedDict[Any, T] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """The value of a key; `make` makes it where it is not kept."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
                while len(self._values) > self._most:
                    self._values.popitem(last=False)
            self._values.move_to_end(key)
            return self._values[key]


class Stage:
    """A model written out as far as some decisions allow.

    Attributes:
        questions: what only a run can tell; none where it is written out whole.
    """

    def __init__(self, model: Model, answers: Mapping[str, Array], runtime: Runtime) -> None:
        self.answers = dict(answers)
        self.model, self.questions = straightened(model, self.answers)
        self._runtime = runtime

    def after(self, found: Mapping[str, Array]) -> Stage:
        """The stage that follows where `found` answers the questions of this one."""
        return Stage(self.model, {**self.answers, **found}, self._runtime)

    @cached_property
    def interface(self) -> Graph:
        """The graph of the model, as far as inputs are checked by it."""
        graph, opsets = self.model.proto.graph, self.model.opsets
        inputs = tuple(x.name for x in graph.input if x.name not in self.model.weights)
        nodes = tuple(read_node(node, opsets) for node in graph.node)
        return Graph(nodes, inputs, (), {}, infer(self.model), opsets)

    @cached_property
    def probe(self) -> Probe:
        """The session that answers them. Raises ModelError where the model cannot be loaded."""
        return Probe(self.model, self.questions, self._runtime)


class Specialiser:
    """Writes a model out as it runs on given inputs, one run for every depth of nesting.

    Attributes:
        model: the model, with all written out that depends on no input.
        questions: what that depends on where it does; empty: `model` is straight.
    """

    def __init__(self, model: Model, runtime: Runtime = CPU) -> None:
        self._runtime = runtime
        self._first = Stage(model, {}, runtime)
        self._stages: Recent[Stage] = Recent(4 * _KEPT)
        self.model, self._lists = self._first.model, list_inputs(model)
        self.questions = {**dict(map(_length, self._lists)), **self._first.questions}

    def start(self) -> None:
        """Load the model for its first run. Raises ModelError where that cannot be."""
        if not self._lists:
            _ = self._first.probe

    def read(self, inputs: Any) -> tuple[dict[str, Array], Decisions]:
        """Arrays by input name, checked, and the lengths of the lists among what a caller gives.

        Raises InputError where it does not fit the model.
        """
        if not self._lists:
            return check_inputs(inputs, self._first.interface), ()
        flat, lengths = elements(inputs, self.model, self._lists)
        return check_inputs(flat, self._opened(lengths).interface), lengths

    def specialised(
        self, feeds: Mapping[str, Array], lengths: Decisions = ()
    ) -> tuple[Decisions, Model]:
        """What the run on `feeds` decided, and the straight model of that run.

        `lengths` are those of the lists among the inputs. Raises ModelError for a loop that does
        not end, mostly where it would be written out, and InputError where the model cannot run.
        """
        stage, decisions, endless = self._opened(lengths), lengths, False
        while stage.questions:
            found, over = stage.probe.answers(feeds)
            endless |= over
            decisions += tuple((name, x.tobytes()) for name, x in found.items())
            stage = self._stages.get(decisions, partial(stage.after, found))
        if endless:
            raise unending(self.model.name, "a Loop that decides how often another one runs")
        return decisions, stage.model

    def _opened(self, lengths: Decisions) -> Stage:
        if not lengths:
            return self._first
        return self._stages.get(
            lengths, lambda: Stage(opened(self.model, lengths), {}, self._runtime)
        )


def _length(name: str) -> tuple[str, RunQuestion]:
    why = "how many tensors it holds"
    return f"{name}@length", RunQuestion(name, "input", "value", name, why)
