"""Which tensors of the forward run a walk asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import pytest

import backtrace_onnx as bt
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.engines.eager_run import run_eager
from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.prepared_model import open_model
from backtrace_onnx.errors import InputError, ModelError, RequestError, UnsupportedError
from backtrace_onnx.model.loading import load
from backtrace_onnx.model.sessions import CPU
from backtrace_onnx.policies import find_method
from backtrace_onnx.propagation.bookkeeping import Books
from backtrace_onnx.propagation.reverse_walk import _Walk
from backtrace_onnx.propagation.trace import TracedValues
from backtrace_onnx.propagation.traced_tensors import find_traced
from backtrace_onnx.targets.question import OWN_START, Question
from tests.graphs import FLOAT, model, node, normal
from tests.onnx_cases import Case, cases, explainable, fixed, is_ordinary

MODES = ("contrastive", "gradient", "lrp", "deeplift")
UNFIT = (ModelError, InputError, RequestError, UnsupportedError)
LOOSE = {
    "Attention": "in the first case of onnx 1.21, scores that a mask was added to",
    "DeformConv": "what lies behind roundings",
    "NegativeLogLikelihoodLoss": "in the first case of onnx 1.21, weights that are looked up",
}
NO_WALK = {
    "OptionalHasElement": "it is told whether there is one",
    "SequenceInsert": "lists of tensors are written out as they ran",
    "SequenceMap": "as well",
    "Swish": "its value between two points is not asked of an older operator set",
}


class Recorder:
    """Names of the tensors whose values nodes, and their books, ask for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: set[str] = set()
        self._walking = False
        for name in ("value", "exact"):
            monkeypatch.setattr(TracedValues, name, self._noted(getattr(TracedValues, name)))
        monkeypatch.setattr(_Walk, "_leave", self._during(_Walk._leave))
        monkeypatch.setattr(Books, "enter", self._during(Books.enter))

    def _noted(self, read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
        def noted(values: Any, name: str) -> Any:
            if self._walking:
                self.asked.add(name)
            return read(values, name)

        return noted

    def _during(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def during(*given: Any) -> Any:
            with self._walk():
                return call(*given)

        return during

    @contextmanager
    def _walk(self) -> Iterator[None]:
        self._walking = True
        yield
        self._walking = False


def explained(proto: onnx.ModelProto, feeds: Any, y: Any, mode: str, booked: bool) -> Any:
    """The outcome from a start of ones at the first output, what was prepared, and asked."""
    opened, arrays = open_model(load(proto), "error", CPU).read(feeds)
    output = proto.graph.output[0].name
    prepared, method = opened.output(output), find_method(mode)
    ones = np.ones_like(y)
    start = ones if method.policy.channels == 1 else (ones, ones)
    reference = dict(arrays) if method.compares else None
    question = Question(method, output, OWN_START, start=start, reference=reference, booked=booked)
    return run_eager(prepared, question, arrays, Sessions()), (prepared, question)


def several(operator: str) -> list[Case]:
    """Some of an operator's cases, of floats that are data."""
    found = [fixed(case) for case in cases()[operator] if "_expanded" not in case.name]
    fit = [
        case
        for case in found
        if case.proto.graph.output[0].name in explainable(case)
        and all(map(is_ordinary, case.feeds.values()))
    ]
    return fit[:1]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # slopes of some cases are infinite
@pytest.mark.parametrize("operator", sorted(cases().keys() - NO_WALK.keys()))
def test_what_nodes_ask_for_is_declared(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And little else: without books, nothing."""
    recorder, wrong = Recorder(monkeypatch), []
    for case in several(operator):
        y = case.results[case.proto.graph.output[0].name]
        for mode in MODES:
            for booked in (True, False) if mode == "gradient" else (False,):
                recorder.asked.clear()
                try:
                    _, (prepared, asked) = explained(case.proto, case.feeds, y, mode, booked)
                except UNFIT:
                    continue
                start = case.proto.graph.output[0].name
                method = find_method(mode)
                plan, own = prepared.plan, prepared.weighed(asked)
                how: Any = {"start": start, "booked": booked, "weighed": own}
                declared = find_traced(plan, method, **how).values
                missing = recorder.asked - declared - set(plan.graph.outputs)
                vain = declared - recorder.asked if not booked and operator not in LOOSE else set()
                if missing or vain:
                    wrong.append(
                        f"{case.name}, {mode}, {booked}: not declared {missing}, {vain} in vain"
                    )
    assert not wrong, "\n".join(wrong)


def network() -> onnx.ModelProto:
    """y = relu(x w + b) v, where x w + b is one linear node."""
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "b"], ["z"]),
        node("Relu", ["z"], ["a"]),
        node("MatMul", ["a", "v"], ["y"]),
    ]
    weights = {"w": normal(4, 5), "b": normal(5), "v": normal(5, 2)}
    return model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 2])}, weights)


@pytest.mark.parametrize(
    ("mode", "booked", "asked"),
    [
        ("default", True, {"x", "a"}),  # what shares: the inputs of both products
        ("gradient", False, {"a"}),  # where the activation is flat; no input of a product
        ("gradient", True, {"x", "a", "y"}),  # books weigh every tensor: z by what is left of it
        ("zplus", False, {"x", "z", "a", "y"}),  # shares by contribution
    ],
)
def test_tensors_follow_from_plan_and_method(mode: str, booked: bool, asked: set[str]) -> None:
    opened, _ = open_model(load(network()), "error", CPU).read(normal(3, 4))
    assert find_traced(opened.plan, find_method(mode), booked=booked).values == asked


@pytest.mark.parametrize("mode", ["gradient", "attnlrp", "deeplift"])
@pytest.mark.parametrize("bounds", [[], ["low"], ["", "high"], ["low", "high"]])
def test_parameters_may_be_left_out(mode: str, bounds: list[str]) -> None:
    nodes = [node("Clip", ["x", *bounds], ["a"]), node("MatMul", ["a", "v"], ["y"])]
    given = {name: np.float32(0.5) for name in bounds if name}
    inputs = {"x": (FLOAT, ["N", 4]), **{name: (FLOAT, []) for name in given}}
    proto = model(nodes, inputs, {"y": (FLOAT, ["N", 2])}, {"v": normal(4, 2)})
    x = normal(3, 4)
    found, _ = explained(proto, {"x": x, **given}, x[:, :2], mode, booked=True)
    assert found.relevance["x"][0].shape == x.shape


def test_the_reference_is_read_where_something_is_compared() -> None:
    opened, _ = open_model(load(network()), "error", CPU).read(normal(3, 4))
    found = find_traced(opened.plan, find_method("deeplift"), booked=False)
    assert found.values == {"z", "a"}  # of the activation only
    assert found.before == {"z", "a"}


@pytest.mark.parametrize("mode", ["gradient", "attnlrp"])
def test_slopes_are_the_same_without_books(mode: str) -> None:
    x = normal(3, 4)
    found: list[Outcome] = [
        explained(network(), x, x[:, :2], mode, booked)[0] for booked in (True, False)
    ]
    one, other = (outcome.relevance["x"][0] for outcome in found)
    np.testing.assert_array_equal(one, other)
    assert (len(found[0].ledger), len(found[1].ledger)) == (3, 0)
    whole, ends = (outcome.ledger.total() for outcome in found)
    np.testing.assert_array_equal(whole.start, ends.start)
    np.testing.assert_array_equal(whole.inputs, ends.inputs)
    np.testing.assert_array_equal(ends.residual, 0)


@pytest.mark.parametrize("mode", ["gradient_x_input", "lrp", "deeplift"])
def test_a_tensor_that_only_a_relu_reads_may_be_kept(mode: str) -> None:
    """It is worth what is left of it, and need not be fetched for that; its slope is its own."""
    compared = {"baseline": "zeros"} if mode == "deeplift" else {}
    made = bt.Explainer(network())
    found = made.explain(normal(3, 4), mode=mode, target=1, keep=["z", "a"], **compared)
    np.testing.assert_allclose(found.relevance["z"], found.relevance["a"], rtol=1e-5, atol=1e-6)
    assert (found.relevance["z"] == 0).any() and (found.relevance["z"] != 0).any()
    through = {"z": np.arange(5) > 1}
    part = made.explain(normal(3, 4), mode=mode, target=1, keep=["z"], through=through, **compared)
    expected = found.relevance["z"] * through["z"]
    np.testing.assert_allclose(part.relevance["z"], expected, rtol=1e-5, atol=1e-6)
    assert part.ledger.total().relative_residual < 1e-5
