"""What is read as one operator, and what is not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.model.loading import load
from backtrace_onnx.passes.pipeline import prepare
from backtrace_onnx.passes.regions.dominators import Dominators
from backtrace_onnx.propagation.plan import make_plan
from backtrace_onnx.rules import registry
from tests.function_networks import Write, Writer
from tests.functions import GELU, SIGMOID, TANH
from tests.graphs import BOOL, FLOAT, check_closed, check_samples, model, node, normal
from tests.growth import check_linear
from tests.softmaxes import SOFTMAX

ONES = np.ones(4, np.float32)
EACH = np.arange(1, 5, dtype=np.float32)
LAST = np.array([-1])
Shape = list[Any] | None


def written(
    write: Callable[[Writer, str], str],
    shape: Shape = ["N", 4],  # noqa: B006
    outputs: tuple[str, ...] = (),
    opset: int = 20,
) -> onnx.ModelProto:
    """x -> the nodes written -> y, and inner tensors as further outputs."""
    g = Writer()
    y = write(g, "x")
    g.nodes.append(node("Identity", [y], ["y"], "end"))
    given = {"x": (FLOAT, shape)}
    if any("other" in n.input for n in g.nodes):
        given["other"] = (FLOAT, shape)
    return model(
        g.nodes,
        given,
        {"y": (FLOAT, None), **dict.fromkeys(outputs, (FLOAT, None))},
        g.weights,
        opset=opset,
    )


def read(proto: onnx.ModelProto, *protect: str) -> Graph:
    return prepare(load(proto)).graph(protect)


def regions(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if n.operator == "backtrace_onnx::Region"]


def silu(g: Writer, x: str) -> str:
    return g("Mul", x, g("Sigmoid", x))


IS_ONE: dict[str, Write] = {
    "fan-out": silu,
    "a residual": lambda g, x: g("Add", x, g("Relu", x)),
    "a reduction": lambda g, x: g("Sub", x, g("ReduceMean", x, LAST)),
    "all reduced": lambda g, x: g("Div", x, g("ReduceMax", x, keepdims=0)),
    "a constant along an axis": lambda g, x: g("Add", x, g("Mul", g("Relu", x), ONES)),
    "a reduced one with it": lambda g, x: g("Mul", x, g("Mul", g("ReduceMax", x, LAST), ONES)),
    "NaN put away": lambda g, x: g("Where", g("IsNaN", x), 0.0, x),
    "zeros like it": lambda g, x: g("Where", g("IsNaN", x), g("ConstantOfShape", g("Shape", x)), x),
    "a count of its shape": lambda g, x: g(
        "Sub", x, g("Div", g("ReduceSum", x, LAST), g("Cast", g("Size", x), to=FLOAT))
    ),
    "a chain": lambda g, x: g("Log", g("Add", g("Exp", x), 1.0)),
    "a bound": lambda g, x: g("Max", x, 0.5),
}


@pytest.mark.parametrize("how", IS_ONE)
@pytest.mark.parametrize("shape", [["N", 4], ["N", "T", 4], [2, 3, 4], [None, None, 4]])
def test_what_is_one_function_passes_relevance(how: str, shape: list[Any]) -> None:
    explainer = Explainer(written(IS_ONE[how], shape))
    (region,) = regions(explainer.graph)
    assert region.inputs == ("x",)
    x = normal(*(n if isinstance(n, int) else 2 for n in shape))
    for mode in ("default", "contrastive", "epsilon(absolute=1e-6)"):
        start = np.abs(normal(*x.shape, seed=1))
        pair = (start, start[::-1]) if mode == "contrastive" else start
        found = explainer.explain(x, mode=mode, start=pair)
        assert np.allclose(found.positive["x"], start, atol=1e-6)
        check_closed(found)


IS_NOT_ONE: dict[str, Write] = {
    "two sources": lambda g, x: g("Mul", x, g("Sigmoid", "other")),
    "a linear layer": lambda g, x: g("Mul", x, g("Sigmoid", g("MatMul", x, normal(4, 4)))),
    "a position": lambda g, x: g("Mul", x, g("Softplus", g("CumSum", x, np.int64(1)))),
    "larger": lambda g, x: g("Add", x, g("Mul", g("Relu", x), np.ones((2, 1, 1), np.float32))),
    "of another shape": lambda g, x: g(
        "Sub", g("ReduceMean", g("Mul", x, x), LAST), g("ReduceMean", x, LAST)
    ),
    "turned": lambda g, x: g("Add", x, g("Transpose", x)),
    "a gate": lambda g, x: g("Cast", g("And", g("Less", x, 1.0), g("Less", 0.0, x)), to=FLOAT),
    "a factor and a bias": lambda g, x: g("Add", g("Mul", x, 2.0), 1.0),
    "a bias after": lambda g, x: g("Add", g("Exp", x), 1.0),
    "a bias before": lambda g, x: g("Exp", g("Add", x, 1.0)),
    "a bias per channel": lambda g, x: g("Log", g("Add", g("Exp", x), EACH)),
}


@pytest.mark.parametrize("how", IS_NOT_ONE)
def test_what_is_not_one_function(how: str) -> None:
    assert not regions(read(written(IS_NOT_ONE[how], [4, 4])))


def test_a_constant_that_may_enlarge_is_none() -> None:
    def scaled(g: Writer, x: str) -> str:
        return g("Add", x, g("Mul", g("Relu", x), ONES))

    assert not regions(read(written(scaled, ["N", None])))
    assert not regions(read(written(scaled, ["N", 1])))
    assert not regions(read(written(scaled, ["N", "C"])))
    proto = written(scaled, ["N", 1])
    check_closed(Explainer(proto).explain(normal(2, 1)))


def test_an_unknown_rank_is_no_hindrance() -> None:
    assert len(regions(read(written(silu, None)))) == 1
    norm = lambda g, x: g("Div", x, g("ReduceL2", x, LAST))  # noqa: E731
    assert len(regions(read(written(norm, None)))) == 1


def test_a_number_alone() -> None:
    found = Explainer(written(silu, [])).explain(np.array(2, np.float32), task="regression")
    assert np.allclose(found.relevance["x"], found.outputs["y"])


def test_what_is_inside_is_used_inside_only() -> None:
    def leaking(g: Writer, x: str) -> str:
        gate = g("Sigmoid", x)
        return g("Add", g("MatMul", g("Mul", x, gate), normal(4, 4)), gate)

    assert not regions(read(written(leaking)))
    assert not regions(read(written(silu, outputs=("t0",))))
    assert not regions(read(written(silu), "t0"))
    assert len(regions(read(written(silu), "x", "t1"))) == 1


def test_shapes_and_dead_ends_are_no_uses() -> None:
    def shaped(g: Writer, x: str) -> str:
        gate = g("Sigmoid", x)
        g("Exp", gate)
        return g("Reshape", g("Mul", x, gate), g("Shape", gate))

    assert len(regions(read(written(shaped)))) == 1


def test_a_use_beside_the_region_stays_one() -> None:
    def block(g: Writer, x: str) -> str:
        return g("Add", x, g("MatMul", silu(g, x), normal(4, 4)))

    explainer = Explainer(written(block))
    assert len(regions(explainer.graph)) == 1
    check_samples(written(block), normal(3, 4))


def test_inner_tensors_of_the_same_shape_share_its_relevance() -> None:
    explainer = Explainer(written(lambda g, x: g("Mul", 2.0, silu(g, x))))
    found = explainer.explain(normal(2, 4), keep="all").relevance
    assert found.keys() == {"x", "t0", "t1", "t2", "y"}
    assert np.array_equal(found["t0"], found["t1"])


def test_inner_tensors_of_another_shape_are_read_apart_where_they_are_asked_for() -> None:
    explainer = Explainer(written(lambda g, x: g("Sub", x, g("ReduceMean", x, LAST))))
    x = normal(2, 4)
    apart = explainer.explain(x, keep=["t0"])
    assert any("'t0' lies inside of what is read as one" in note.text for note in apart.notes)
    assert apart.relevance["t0"].shape == (2, 1)
    found = explainer.explain(x, output="t0", task="regression")
    assert found.relevance["x"].sum() == pytest.approx(x.mean(1).sum(), rel=1e-4)


def test_support_says_what_is_read_as_one() -> None:
    rows = {row.node: row.rule for row in Explainer(written(silu)).support()}
    assert rows["t1"].startswith("Nodes that are one function of one tensor")
    assert rows["t0"] == "read as one with t1"


def test_an_operator_without_a_rule_is_reported_not_read_over() -> None:
    rules = [rule for rule in registry.rules() if rule.op_type == "Sigmoid"]
    registry.unregister("Sigmoid")
    try:
        assert not regions(read(written(silu)))
    finally:
        for rule in rules:
            registry.rule("Sigmoid", since=rule.since, summary=rule.summary)(rule.build)


# Normalisations --------------------------------------------------------------------------------


def _standard(g: Writer, x: str) -> str:
    d = g("Sub", x, g("ReduceMean", x, LAST))
    return g("Div", d, g("Sqrt", g("Add", g("ReduceMean", g("Mul", d, d), LAST), 1e-5)))


@pytest.mark.parametrize("way", ["native", "torch", "half first"])
def test_a_normalisation_right_after_an_activation_is_one_of_its_own(way: str) -> None:
    graph = read(written(lambda g, x: g("Add", _standard(g, GELU[way](g, x)), ONES)))
    assert [n.op_type for n in graph.nodes if n.op_type != "Mul"][-2:] == ["Region", "Identity"]
    assert graph.nodes[-2].attributes["normalised"] == (1,)


AFTER = {
    "along its axis": (np.ones(4), True),
    "a number": (np.array(2.0), True),
    "along another axis": (np.ones((3, 1)), True),
    "along both, as positions are": (np.ones((3, 4)), False),
    "along the samples": (np.ones((2, 1, 1)), False),
}


@pytest.mark.parametrize("how", AFTER)
def test_a_shift_that_belongs_to_a_normalisation(how: str) -> None:
    constant, belongs = AFTER[how]
    shift = constant.astype(np.float32)
    graph = read(written(lambda g, x: g("Add", _standard(g, x), shift), [2, 3, 4]))
    assert [n.op_type for n in graph.nodes].count("Add") == (0 if belongs else 1)


def test_a_shift_after_a_softmax_is_a_bias() -> None:
    for way in ("native", "stable", "naive"):
        graph = read(
            written(lambda g, x, w=way: g("Add", SOFTMAX[w](g, x), ONES))  # type: ignore[misc]
        )
        assert graph.nodes[-2].op_type == "Add"


def test_a_batch_normalisation_of_one_channel_is_a_scale_and_shift() -> None:
    def normalised(g: Writer, x: str) -> str:
        parameters = [np.array([v], np.float32) for v in (2.0, 0.5, 0.1, 4.0)]
        channel = g("Unsqueeze", g("LpNormalization", x, axis=-1), np.array([1]))
        return g("BatchNormalization", channel, *parameters)

    kinds = [node.op_type for node in read(written(normalised, shape=[2, 5])).nodes]
    assert kinds == ["LpNormalization", "Unsqueeze", "Scale", "Identity"]


def test_a_scale_behind_a_reshape_stays_where_it_is() -> None:
    def grouped(g: Writer, x: str) -> str:
        flat = g("Reshape", x, np.array([0, 2, -1]))
        normed = g("InstanceNormalization", flat, ONES[:2], ONES[:2])
        back = g("Reshape", normed, np.array([0, 4, 3]))
        return g("Add", g("Mul", back, ONES[:, None]), ONES[:, None])

    explainer = Explainer(written(grouped, ["N", 4, 3]))
    kinds = [n.op_type for n in explainer.graph.nodes]
    assert kinds == ["Reshape", "InstanceNormalization", "Reshape", "Scale", "Identity"]
    found = explainer.explain(normal(2, 4, 3), task="regression", keep="all")
    assert np.array_equal(found.relevance["t3"], found.relevance["t4"])
    check_closed(found)


# Gates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ways", "gate"), [(SIGMOID, (-4.0, 4.0)), (TANH, (-2.0, 2.0)), (SOFTMAX, (-1.0, 2.0))]
)
def test_a_gate_knows_its_function_however_it_is_written(
    ways: dict[str, Write], gate: tuple[float, float]
) -> None:
    for way, write in ways.items():

        def layer(g: Writer, x: str, write: Write = write) -> str:
            return write(g, g("MatMul", x, normal(4, 4)))

        assert make_plan(read(written(layer))).gates == {"t0": gate}, way


def test_other_functions_are_no_gate() -> None:
    for write in (
        silu,
        lambda g, x: g("Sqrt", g("Reciprocal", g("Add", g("Exp", x), 1.0))),
        lambda g, x: g("Mul", 2.0, g("Sigmoid", x)),
    ):
        graph = read(written(lambda g, x, w=write: w(g, g("MatMul", x, normal(4, 4)))))  # type: ignore[misc]
        gates = make_plan(graph).gates
        assert not gates or [n.op_type for n in graph.nodes].count("Sigmoid") == 1


def test_nan_put_away_keeps_what_is_known_of_a_softmax() -> None:
    def clean(g: Writer, x: str) -> str:
        p = g("Softmax", x)
        return g("Where", g("IsNaN", p), 0.0, p)

    plan = make_plan(read(written(clean)))
    assert "y" in plan.nonnegative


# Cost ------------------------------------------------------------------------------------------


def _reading(nodes: list[onnx.NodeProto]) -> Callable[[], Any]:
    proto = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])}, {"w": normal(4, 4)})
    return lambda: read(proto)


def _residual(count: int) -> Callable[[], Any]:
    residual = []
    for i in range(count):
        a, b = f"a{i}", f"a{i + 1}"
        residual += [
            node("Sigmoid", [a], [f"s{i}"]),
            node("Mul", [a, f"s{i}"], [f"m{i}"]),
            node("MatMul", [f"m{i}", "w"], [f"h{i}"]),
            node("Add", [a, f"h{i}"], [b]),
        ]
    ends = [node("Identity", ["x"], ["a0"]), node("Identity", [f"a{count}"], ["y"])]
    return _reading([ends[0], *residual, ends[1]])


def _nested(count: int) -> Callable[[], Any]:
    """One long chain whose every tensor meets its end again, one after another."""
    down = [node("Relu", [f"c{i}"], [f"c{i + 1}"]) for i in range(count)]
    up = [node("Add", [f"u{i}", f"c{count - 1 - i}"], [f"u{i + 1}"]) for i in range(count)]
    ends = [node("Identity", ["x"], ["c0"]), node("Identity", [f"c{count}"], ["u0"])]
    return _reading([ends[0], *down, ends[1], *up, node("Identity", [f"u{count}"], ["y"])])


@pytest.mark.parametrize("work", [_residual, _nested])
def test_reading_grows_as_the_graph_does(work: Callable[[int], Callable[[], Any]]) -> None:
    check_linear(work, 250)


def test_dominators_are_those_of_the_definition() -> None:
    rng = random.Random(0)
    for _ in range(50):
        parents: dict[str, list[str]] = {"r0": [], "r1": []}
        tree = Dominators()
        for root in parents:
            tree.add(root, None)
        for i in range(25):
            sources = rng.sample(sorted(parents), min(len(parents), rng.randint(1, 3)))
            expected = _through(parents, sources)
            assert tree.nearest(sources) == expected
            tree.add(f"t{i}", expected)
            parents[f"t{i}"] = sources


def _through(parents: dict[str, list[str]], sources: list[str]) -> str | None:
    """The last tensor without which none of the sources is reached from a root, by trying all."""

    def reached(without: str) -> bool:
        seen: set[str] = set()
        for name, above in parents.items():  # in topological order
            if name != without and (not above or seen.intersection(above)):
                seen.add(name)
        return bool(seen.intersection(sources))

    cutting = [name for name in parents if not reached(name)]
    return cutting[-1] if cutting else None


def test_booleans_are_no_entries() -> None:
    proto = model(
        [
            node("Not", ["m"], ["n"]),
            node("Or", ["m", "n"], ["o"]),
            node("Where", ["o", "x", "z"], ["y"]),
        ],
        {"m": (BOOL, ["N", 4]), "x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        {"z": np.float32(0)},
    )
    assert not regions(read(proto))
