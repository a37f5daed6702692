"""Loops: explained as if their iterations had been written one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from backtrace_onnx import CompileError, Explainer, ModelError
from backtrace_onnx.model.sessions import free_memory
from tests.cases import channels
from tests.checks import assert_close
from tests.control.made import (
    H0,
    HEAD,
    INPUTS,
    STATE,
    WEIGHTS,
    X,
    body,
    cell,
    check_alike,
    loop_body,
    looped,
    ran,
    tail,
    unrolled,
)
from tests.graphs import (
    BOOL,
    FLOAT,
    INT64,
    Dims,
    check_closed,
    check_samples,
    model,
    node,
    normal,
)

FEEDS = {"x": X, "h0": H0}
ITERATION: dict[str, tuple[int, Dims]] = {"i": (INT64, []), "go": (BOOL, [])}
ENGINES = ("numba", "onnxruntime")


@pytest.mark.parametrize("trips", [1, 4])
def test_a_constant_trip_count(trips: int) -> None:
    check_alike(looped(trips), unrolled(trips), FEEDS, engines=ENGINES)


def test_a_trip_count_that_is_an_input() -> None:
    for trips in (3, 1, 4):
        feeds = {**FEEDS, "n": np.array(trips)}
        check_alike(looped(), unrolled(trips), feeds, engines=ENGINES[: 1 + (trips == 3)])


def test_one_explainer_for_other_trip_counts() -> None:
    explainer = Explainer(looped())
    for trips in (2, 4, 2):
        found = explainer.explain({**FEEDS, "n": np.array(trips)})
        wanted = Explainer(unrolled(trips)).explain(FEEDS)
        assert_close(channels(found, "x"), channels(wanted, "x"), 1e-6)
        assert not found.relevance["x"][:, trips:].any()
        assert "n" in found.relevance and not found.relevance["n"].any()


def test_nodes_and_tensors_are_named_by_their_iteration() -> None:
    found = Explainer(looped(3)).explain(FEEDS, keep="all")
    assert {"loop/0/in", "loop/2/rec", "head"} <= set(found.ledger)
    assert {"loop/1/s", "loop/0/h_out", "h_last", "rows"} <= found.relevance.keys()
    inner = Explainer(looped(3)).explain(FEEDS, output="loop/1/h_out")
    plain = Explainer(unrolled(3)).explain(FEEDS, output="h2")
    assert_close(channels(inner, "x"), channels(plain, "x"), 1e-6)


def test_a_batch_is_explained_sample_by_sample() -> None:
    outside = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "one"], ["n"], axis=0),
        node("Gather", ["x", "zero"], ["x0"], axis=1),
        node("MatMul", ["x0", "u"], ["h0"], "first"),
    ]
    proto = model(
        [*outside, *looped().graph.node],
        {"x": (FLOAT, ["N", "T", 3])},
        {"y": (FLOAT, ["N", 2])},
        {**WEIGHTS, **HEAD, "one": np.int64(1), "zero": np.int64(0), "u": normal(3, 5, seed=11)},
    )
    check_samples(proto, X)


def _conditional(
    more: Sequence[onnx.NodeProto],
    weights: Mapping[str, npt.ArrayLike] | None = None,
    outside: Sequence[onnx.NodeProto] = (),
    inputs: Mapping[str, tuple[int, Dims]] | None = None,
) -> onnx.ModelProto:
    """A loop that `more` ends: its counter t, from 0 on, and the state are theirs to read."""
    inner = body(
        [
            node("Gather", ["x", "t"], ["xi"], "at", axis=1),
            *cell("xi", "h", "h_out"),
            node("Add", ["t", "unit"], ["t_out"]),
            *more,
        ],
        {**ITERATION, "h": STATE, "t": (INT64, [])},
        [("go_out", (BOOL, [])), ("h_out", STATE), ("t_out", (INT64, [])), ("h_out", STATE)],
        {"unit": np.int64(1)},
    )
    loop = node("Loop", ["", "", "h0", "t0"], ["h_last", "t_last", "rows"], "loop", body=inner)
    return model(
        [*outside, loop, *tail()],
        {**INPUTS, **(inputs or {})},
        {"y": (FLOAT, ["N", 2])},
        {**WEIGHTS, **HEAD, "t0": np.int64(0), **(weights or {})},
    )


def _check_compiles(proto: onnx.ModelProto, trips: int, folder: Path) -> None:
    check_alike(proto, unrolled(trips), FEEDS)
    Explainer(proto).compile(folder / "explained.onnx")
    made = ran(folder / "explained.onnx", FEEDS)
    wanted = Explainer(unrolled(trips)).explain(FEEDS)
    assert_close([made["relevance/x"]], channels(wanted, "x"), 1e-5)


def test_a_condition_that_follows_from_constants_needs_no_run(tmp_path: Path) -> None:
    more = [node("Less", ["t_out", "three"], ["go_out"])]
    _check_compiles(_conditional(more, {"three": np.int64(3)}), 3, tmp_path)


def test_a_condition_that_follows_from_the_shape_of_an_input_needs_no_run(tmp_path: Path) -> None:
    more = [node("Less", ["t_out", "size"], ["go_out"])]
    outside = [node("Shape", ["x"], ["sizes"]), node("Gather", ["sizes", "at"], ["size"], axis=0)]
    _check_compiles(_conditional(more, {"at": np.int64(1)}, outside), 4, tmp_path)


def test_a_condition_that_depends_on_the_data_ends_a_loop(tmp_path: Path) -> None:
    more = [
        node("ReduceSum", ["h_out"], ["total"], keepdims=0),
        node("Gather", ["limits", "t"], ["limit"], axis=0),
        node("Less", ["total", "limit"], ["go_out"]),
    ]
    proto = _conditional(more, inputs={"limits": (FLOAT, [4])})
    for limits, trips in (([99, 99, -99, 99], 3), ([-99, 99, 99, 99], 1)):
        check_alike(proto, unrolled(trips), {**FEEDS, "limits": np.array(limits, np.float32)})
    with pytest.raises(CompileError, match=r"Loop node 'loop' \(how often it runs\)"):
        Explainer(proto).compile(tmp_path / "explained.onnx")


def _without_rows(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a head on the last state only."""
    del proto.graph.node[1:]
    proto.graph.node.append(node("Gemm", ["h_last", "v"], ["y"], "head"))
    return proto


def test_no_iteration_passes_the_states_on() -> None:
    plain = model(
        [node("Gemm", ["h0", "v"], ["y"], "head")],
        INPUTS,
        {"y": (FLOAT, ["N", 2])},
        {"v": HEAD["v"]},
    )
    check_alike(_without_rows(looped(0)), plain, FEEDS)
    check_alike(_without_rows(looped()), plain, {**FEEDS, "n": np.array(0)})


def test_rows_of_no_iteration_are_empty() -> None:
    proto = _without_rows(looped())
    proto.graph.output.append(onnx.ValueInfoProto(name="rows"))
    found = Explainer(proto).explain({**FEEDS, "n": np.array(0)}, output="y")
    assert found.outputs["rows"].shape[0] == 0
    check_closed(found)


def test_a_false_condition_before_the_first_iteration() -> None:
    proto = _without_rows(looped())
    proto.graph.node[0].input[1] = "begin"
    proto.graph.input.append(onnx.helper.make_tensor_value_info("begin", BOOL, []))
    feeds = {**FEEDS, "n": np.array(3)}
    none = Explainer(proto).explain({**feeds, "begin": np.array(False)})
    check_closed(none)
    assert not none.relevance["x"].any() and none.relevance["h0"].any()
    assert Explainer(proto).explain({**feeds, "begin": np.array(True)}).relevance["x"].any()


def test_states_may_change_places_and_pass_through() -> None:
    inner = body(
        [node("Mul", ["p", "two"], ["p_out"], "double"), node("Identity", ["go"], ["go_out"])],
        {**ITERATION, "p": STATE, "q": STATE, "k": STATE},
        [("go_out", (BOOL, [])), ("q", STATE), ("p_out", STATE), ("k", STATE)],
        {"two": np.float32(2)},
    )
    proto = model(
        [
            node("Loop", ["n", "", "a", "b", "c"], ["a3", "b3", "c3"], "loop", body=inner),
            node("Concat", ["a3", "b3", "c3"], ["all"], axis=1),
            node("Gemm", ["all", "m"], ["y"]),
        ],
        {name: (FLOAT, ["N", 5]) for name in "abc"},
        {"y": (FLOAT, ["N", 2])},
        {"n": np.int64(3), "m": normal(15, 2)},
    )
    plain = model(
        [
            node("Mul", ["a", "two"], ["a2"]),
            node("Mul", ["b", "two"], ["b2"]),
            node("Mul", ["a2", "two"], ["a4"]),
            node("Concat", ["b2", "a4", "c"], ["all"], axis=1),
            node("Gemm", ["all", "m"], ["y"]),
        ],
        {name: (FLOAT, ["N", 5]) for name in "abc"},
        {"y": (FLOAT, ["N", 2])},
        {"two": np.float32(2), "m": normal(15, 2)},
    )
    feeds = {name: normal(2, 5, seed=i) for i, name in enumerate("abc")}
    check_alike(proto, plain, feeds, engines=ENGINES)


def test_names_of_a_body_may_be_those_of_tensors_outside() -> None:
    proto = looped(3)
    proto.graph.node.append(node("Relu", ["y"], ["loop/1/s"], "in"))
    proto.graph.output.append(onnx.ValueInfoProto(name="loop/1/s"))
    explainer = Explainer(proto)
    wanted = Explainer(unrolled(3)).explain(FEEDS)
    found = explainer.explain(FEEDS, output="y", keep="all")
    assert_close(channels(found, "x"), channels(wanted, "x"), 1e-6)
    assert {"loop/0/s", "loop/1/s_2", "loop/2/s"} <= found.relevance.keys()
    check_closed(explainer.explain(FEEDS, output="loop/1/s"))


def test_weights_of_a_body_are_stored_once() -> None:
    turned = np.ascontiguousarray(WEIGHTS["r"].T)
    inner = body(
        [node("Transpose", ["rt"], ["r"], "turn"), *loop_body().node],
        {**ITERATION, "h": STATE},
        [("go_out", (BOOL, [])), ("h_out", STATE), ("h_out", STATE)],
        {"w": WEIGHTS["w"], "rt": turned, "b": WEIGHTS["b"]},
    )
    explainer = check_alike(looped(4, inner, {}), unrolled(4), FEEDS, engines=ENGINES)
    constants = explainer.graph.constants.values()
    assert len({id(c) for c in constants if c.shape == (5, 5)}) <= 2  # itself and its transpose
    assert len({id(c) for c in constants if c.shape == (3, 5)}) == 1


def test_weights_that_take_up_a_scale_are_stored_once() -> None:
    scaled = body(
        [
            node("Gather", ["x", "i"], ["xi"], "at", axis=1),
            node("MatMul", ["xi", "w"], ["m"], "in"),
            node("Mul", ["m", "k"], ["h_out"], "scale"),
            node("Identity", ["go"], ["go_out"]),
        ],
        {**ITERATION, "h": STATE},
        [("go_out", (BOOL, [])), ("h_out", STATE), ("h_out", STATE)],
        {"k": normal(5)},
    )
    graph = Explainer(looped(4, scaled)).graph
    read = {n.inputs[1] for n in graph.nodes if n.op_type == "MatMul"}
    assert len(read) == 1 and graph.constants[read.pop()].shape == (3, 5)


def test_a_loop_within_a_loop() -> None:
    inner = body(
        [
            node("Gather", ["x", "k"], ["xk"], "at", axis=1),
            *cell("xk", "g", "g_out"),
            node("Identity", ["go2"], ["go2_out"]),
        ],
        {"k": (INT64, []), "go2": (BOOL, []), "g": STATE},
        [("go2_out", (BOOL, [])), ("g_out", STATE)],
    )
    outer = body(
        [
            node("Add", ["i", "one"], ["times"]),
            node("Loop", ["times", "", "h"], ["h_out"], "inner", body=inner),
            node("Identity", ["go"], ["go_out"]),
        ],
        {**ITERATION, "h": STATE},
        [("go_out", (BOOL, [])), ("h_out", STATE), ("h_out", STATE)],
        {"one": np.int64(1)},
    )
    plain = unrolled(6, places=[0, 0, 1, 0, 1, 2], rows=[0, 2, 5])
    check_alike(looped(3, outer), plain, FEEDS)
    feeds = {**FEEDS, "n": np.array(3)}
    explainer = check_alike(looped(None, outer), plain, feeds)
    assert "loop/2/inner/1/rec" in explainer.explain(feeds).ledger


@pytest.mark.parametrize("trips", [10**9, 300_000])
def test_endless_loops_are_refused_before_they_run(trips: int) -> None:
    """Quickly, too: what 200,000 iterations leave is not kept to be given back together."""
    with pytest.raises(ModelError, match=r"Loop node .loop. .* 200,000 nodes"):
        Explainer(looped(trips))
    with pytest.raises(ModelError, match=r"Loop node .loop. .* 200,000 nodes"):
        Explainer(_without_rows(looped(None, _idle()))).explain({**FEEDS, "n": np.array(trips)})
    free_memory()


def test_a_condition_that_always_holds_is_refused_before_it_is_written() -> None:
    inner = body(
        [node("Identity", ["go"], ["go_out"]), node("Neg", ["h"], ["h_out"])],
        {**ITERATION, "h": STATE},
        [("go_out", (BOOL, [])), ("h_out", STATE)],
    )
    proto = model(
        [node("Loop", ["", "", "h0"], ["y"], "loop", body=inner)],
        {"h0": (FLOAT, ["N", 5])},
        {"y": (FLOAT, ["N", 5])},
    )
    with pytest.raises(ModelError, match=r"Loop node .loop. .* 200,000 nodes"):
        Explainer(proto)


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 21])
def test_older_and_newer_opsets(opset: int) -> None:
    proto = _without_rows(looped(3))
    proto.graph.node[-1].input.append("zero")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(2, np.float32), "zero"))
    proto.opset_import[0].version = opset
    found = Explainer(proto).explain(FEEDS)
    wanted = Explainer(_without_rows(looped(3))).explain(FEEDS)
    assert_close(channels(found, "x"), channels(wanted, "x"), 1e-6)


def _damaged(change: Callable[[onnx.NodeProto], object]) -> onnx.ModelProto:
    proto = looped(3)
    change(proto.graph.node[0])
    return proto


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda loop: loop.ClearField("attribute"), "Loop node 'loop' has no body"),
        (lambda loop: loop.attribute[0].g.output.pop(), r"takes 3 outputs of it, .* has 3 and 2"),
        (lambda loop: loop.input.append("x"), "hands its body 4 inputs"),
    ],
)
def test_damaged_loops_are_named(change: Callable[[onnx.NodeProto], object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Explainer(_damaged(change))


def test_endless_loops_within_loops_are_refused() -> None:
    endless = body(
        [
            node("ReduceSum", ["g"], ["total"], keepdims=0),
            node("Less", ["total", "huge"], ["go2_out"]),
            node("Neg", ["g"], ["g_out"]),
        ],
        {"k": (INT64, []), "go2": (BOOL, []), "g": STATE},
        [("go2_out", (BOOL, [])), ("g_out", STATE)],
        {"huge": np.float32(1e30)},
    )
    outer = body(
        [
            node("Loop", ["", "", "h"], ["h_out"], "inner", body=endless),
            node("ReduceSum", ["h_out"], ["all"], keepdims=0),
            node("Less", ["all", "large"], ["go_out"]),
        ],
        {**ITERATION, "h": STATE},
        [("go_out", (BOOL, [])), ("h_out", STATE), ("i", (INT64, []))],
        {"large": np.float32(1e30)},
    )
    proto = _without_rows(looped(None, outer))
    with pytest.raises(ModelError, match=r"Loop node .loop/0/inner. .* 200,000 nodes"):
        Explainer(proto).explain({**FEEDS, "n": np.array(1000)})


def _idle() -> onnx.GraphProto:
    return body(
        [node("Identity", ["go"], ["go_out"]), node("Neg", ["h"], ["h_out"])],
        {**ITERATION, "h": STATE},
        [("go_out", (BOOL, [])), ("h_out", STATE), ("i", (INT64, []))],
    )
