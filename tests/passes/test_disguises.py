"""A head in any disguise is explained as the native one; what only looks like one is none."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, Explanation
from backtrace_onnx.passes.regions.identification import Native
from tests import functions, softmaxes
from tests.function_networks import Write, Writer
from tests.graphs import FLOAT, check_closed, model, node, normal
from tests.passes.test_regions import read, regions, written

X = normal(2, 3, 5, seed=4)
ENTRY = (1, 2)
HEADS = {
    "softmax": softmaxes.SOFTMAX | softmaxes.SOFTMAX_OF_6,
    "log-softmax": softmaxes.LOG_SOFTMAX | softmaxes.LOG_SOFTMAX_OF_6,
    "sigmoid": functions.SIGMOID,
}
QUESTIONS: list[dict[str, Any]] = [
    {"mode": mode, "target": target}
    for mode in ("default", "contrastive", "epsilon(absolute=1e-6)", "lrp")
    for target in (ENTRY, (0, 5))
]


def _head(write: Write, bias: float = -4.0, shape: Any = ("N", 3, 5)) -> onnx.ModelProto:
    """y = the function of x W + b, 6 classes for each of 3 entries."""
    g = Writer()
    b = normal(6, seed=2) + np.float32(bias)
    z = g("Add", g("MatMul", "x", normal(shape[-1], 6, seed=1)), b)
    g.nodes.append(node("Identity", [write(g, z)], ["y"], "end"))
    return model(
        g.nodes, {"x": (FLOAT, list(shape))}, {"y": (FLOAT, [*shape[:-1], 6])}, g.weights, opset=20
    )


@cache
def _native(head: str, question: int) -> Explanation:
    return Explainer(_head(HEADS[head]["native"])).explain(X, **QUESTIONS[question])


@pytest.mark.parametrize(
    ("head", "way"), [(head, way) for head, ways in HEADS.items() for way in list(ways)[1:]]
)
def test_a_head_in_disguise_is_the_native_head(head: str, way: str) -> None:
    proto = _head(HEADS[head][way])
    eager, compiled = Explainer(proto), Explainer(proto, engine="onnxruntime")
    for at, question in enumerate(QUESTIONS):
        want, found = _native(head, at), eager.explain(X, **question)
        check_closed(found)
        for made in (found, compiled.explain(X, **question)) if at % 3 == 0 else (found,):
            scale = np.abs(want.relevance["x"]).max()
            assert np.abs(made.relevance["x"] - want.relevance["x"]).max() <= 1e-4 * scale
            start = want.ledger.total().start
            assert np.allclose(made.ledger.total().start, start, rtol=1e-4)
            assert len(made.notes) == len(want.notes)


def _weighed(weights: Any) -> Write:
    return lambda g, x: (lambda e: g("Div", e, g("MatMul", e, weights)))(g("Exp", x))


NOT_ONE: dict[str, Write] = {
    "a part of the sum": _weighed(np.array([[1], [1], [1], [0]], np.float32)),
    "weighed": _weighed(np.array([[1], [2], [1], [1]], np.float32)),
    "a mean": lambda g, x: (lambda e: g("Div", e, g("ReduceMean", e, np.array([-1]))))(g("Exp", x)),
    "another power below": lambda g, x: g(
        "Div", g("Pow", 2.0, x), g("ReduceSum", g("Exp", x), np.array([-1]))
    ),
    "bounded": lambda g, x: (lambda e: g("Div", e, g("ReduceSum", e, np.array([-1]))))(
        g("Exp", g("Clip", x, -1.0, 1.0))
    ),
    "square": lambda g, x: (lambda e: g("Div", e, g("Einsum", e, equation="ij->i")))(g("Exp", x)),
}


@pytest.mark.parametrize("how", NOT_ONE)
def test_what_only_looks_like_one(how: str) -> None:
    found = regions(read(written(NOT_ONE[how], [4, 4])))
    assert not any(region.attributes.get("native") for region in found)


@pytest.mark.parametrize("shape", [["N", 4], [1, 4], [3, 4], [None, 4]])
@pytest.mark.parametrize("how", ["ones", "sharp", "turned", "lifted"])
def test_the_multiple_and_the_first_tensor(how: str, shape: list[Any]) -> None:
    shares = _weighed(np.ones((4, 1), np.float32))
    write: dict[str, Write] = {
        "ones": shares,
        "sharp": lambda g, x: shares(g, g("Mul", x, 3.0)),
        "turned": lambda g, x: shares(g, g("Neg", x)),
        "lifted": lambda g, x: shares(g, g("Sub", x, g("ReduceMax", x, np.array([-1])))),
    }
    (region,) = regions(read(written(write[how], shape)))
    assert region.attributes["native"] == Native("Softmax", axis=1)
    made = {"sharp": "Mul", "turned": "Neg"}.get(how)
    before = read(written(write[how], shape)).producers.get(region.inputs[0])
    assert (before.op_type if before else None) == made


def test_a_layer_inside_is_none() -> None:
    """A product with weights ends the search, even one that is a multiple of its input."""
    shares = _weighed(np.ones((4, 1), np.float32))
    wide = 3 * np.eye(4, dtype=np.float32)
    (region,) = regions(read(written(lambda g, x: shares(g, g("MatMul", x, wide)))))
    assert region.inputs == ("t0",)


def test_what_is_read_elsewhere_too_is_no_part() -> None:
    def both(g: Writer, x: str) -> str:
        e = g("Exp", x)
        p = g("Div", e, g("Einsum", e, equation="ij->i"))
        return g("Concat", p, e, axis=1)

    assert not any(r.attributes.get("native") for r in regions(read(written(both, [4, 4]))))


def test_many_classes_in_little_time() -> None:
    """A sum of 300 columns, one by one, which is looked at from its end only."""
    count = 300

    def columns(g: Writer, x: str) -> str:
        e = g("Exp", x)
        total = g("Gather", e, np.array([0]), axis=1)
        for k in range(1, count):
            total = g("Add", total, g("Gather", e, np.array([k]), axis=1))
        return g("Div", e, total)

    (region,) = regions(read(written(columns, ["N", count])))
    assert region.attributes["native"] == Native("Softmax", axis=1)


@pytest.mark.parametrize("mode", ["contrastive", "epsilon(absolute=1e-6)"])
def test_the_classes_lie_along_the_axis_of_the_sum(mode: str) -> None:
    def head(g: Writer, z: str) -> str:
        e = g("Exp", z)
        return g("Div", e, g("Unsqueeze", g("Einsum", e, equation="abc->ac"), np.array([1])))

    native, other = _head(lambda g, z: g("Softmax", z, axis=1)), _head(head)
    for target in (None, ENTRY):
        want = Explainer(native).explain(X, mode=mode, target=target)
        made = Explainer(other).explain(X, mode=mode, target=target)
        assert want.layout == made.layout and made.layout.classes == 1
        assert np.allclose(made.relevance["x"], want.relevance["x"], rtol=1e-4, atol=1e-6)


def test_shapes_that_meet_again_and_again_are_gone_through_once() -> None:
    """2^200 ways lead from the size that a sigmoid in primitives is laid out in to the input."""
    nodes = [node("Shape", ["x"], ["s0"])]
    nodes += [node("Max", [f"s{k}", f"s{k}"], [f"s{k + 1}"]) for k in range(200)]
    nodes += [
        node("Neg", ["x"], ["m"]),
        node("Exp", ["m"], ["e"]),
        node("Reshape", ["e", "s200"], ["r"]),
        node("Add", ["r", "one"], ["d"]),
        node("Reciprocal", ["d"], ["y"]),
    ]
    ends = {"x": (FLOAT, ["N", 3])}, {"y": (FLOAT, ["N", 3])}
    proto = model(nodes, *ends, {"one": np.float32(1)})
    made = Explainer(proto).explain(normal(2, 3), task="regression")
    check_closed(made)
