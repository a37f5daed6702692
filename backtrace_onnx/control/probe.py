"""A run of the model that answers questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ValueInfoProto, helper, numpy_helper

from backtrace_onnx.control.limits import Limits
from backtrace_onnx.control.run_questions import RunQuestion
from backtrace_onnx.errors import InputError
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.sessions import CPU, Runtime, first_line

Array = npt.NDArray[Any]


class Probe:
    """A session of a model that answers questions about its run on given inputs.

    Loops stop in it after one iteration more than could be written out, and then all others. Raises
    ModelError where onnxruntime does not load the model.
    """

    def __init__(self, model: Model, questions: Mapping[str, RunQuestion], runtime: Runtime = CPU):
        self._questions = dict(questions)
        asking, self._over = _asking(model, list(questions.values()))
        self._session = asking.session(runtime, arena=False)

    def answers(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], bool]:
        """Run the model on arrays by input name.

        Returns the answers by their names, and whether a loop had to be stopped, after which they
        are void. Raises InputError where the model cannot run on these inputs.
        """
        names = list(self._questions)
        try:
            found = self._session.run([*names, *filter(None, [self._over])], dict(feeds))
        except Exception as error:  # onnxruntime raises many types
            given = ", ".join(f"{name} {x.dtype}{list(x.shape)}" for name, x in feeds.items())
            raise InputError(
                f"the model cannot run on the inputs {given}: {first_line(error)}"
            ) from None
        asked = zip(names, found, strict=False)
        answers = {name: _answer(self._questions[name], x) for name, x in asked}
        return answers, bool(self._over and found[-1])


def _answer(question: RunQuestion, x: Array) -> Array:
    return np.array(len(x)) if question.kind == "trips" else np.asarray(x)


def _asking(model: Model, questions: Sequence[RunQuestion]) -> tuple[Model, str]:
    """The model with answers for outputs, and the name of that which tells of endless loops."""
    nodes, over = Limits(model.opsets.get("", 1)).limited(model.proto.graph.node)
    loops = {node.name: node for node in nodes if node.op_type == "Loop"}
    for question in questions:
        if question.kind == "size":
            nodes += _size(question)
        elif question.kind == "trips":
            rows = loops[question.about].output[-1]
            nodes.append(helper.make_node("Identity", [rows], [question.key], question.key))
    told = [*(q.key for q in questions), *filter(None, [over])]
    # The model's own outputs are left out: one may be empty here that is not when it counts.
    return model.with_nodes(nodes, outputs=[ValueInfoProto(name=name) for name in told]), over


def _size(question: RunQuestion) -> Iterator[onnx.NodeProto]:
    shape = f"{question.key}@shape"
    yield helper.make_node("Shape", [question.about], [shape], shape)
    at = numpy_helper.from_array(np.array(question.axis, np.int64))
    yield helper.make_node("Constant", [], [f"{shape}@axis"], f"{shape}@axis", value=at)
    yield helper.make_node("Gather", [shape, f"{shape}@axis"], [question.key], question.key)
