"""Loops that would never end: refused wherever they lie, before they run for long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from backtrace_onnx import Explainer, ModelError
from tests.control.made import H0, HEAD, INPUTS, STATE, X, body, check_alike
from tests.graphs import BOOL, FLOAT, INT64, model, node

FEEDS = {"x": X, "h0": H0}
TIMES = {**FEEDS, "n": np.array(100_000)}
LIMIT = "200,000 nodes"


def looping(
    nodes: Sequence[onnx.NodeProto], state: str, after: str, go: str | None = None
) -> onnx.GraphProto:
    """The body of a loop with one state; it goes on while `go`, or for ever."""
    tag = after
    more = [] if go else [node("Identity", [f"go_{tag}"], [f"on_{tag}"])]
    return body(
        [*nodes, *more],
        {f"i_{tag}": (INT64, []), f"go_{tag}": (BOOL, []), state: STATE},
        [(go or f"on_{tag}", (BOOL, [])), (after, STATE)],
    )


def small(x: str, out: str) -> list[onnx.NodeProto]:
    """Whether the sum of `x` is small, which it always is."""
    return [
        node("ReduceSum", [x], [f"sum_{out}"], keepdims=0),
        node("Less", [f"sum_{out}", "huge"], [out]),
    ]


def endless(x: str, out: str) -> onnx.NodeProto:
    """A loop that goes on while its state is small."""
    inner = looping([*small("g", "c"), node("Neg", ["g"], ["g2"])], "g", "g2", "c")
    return node("Loop", ["", "", x], [out], "endless", body=inner)


def loop(nodes: Sequence[onnx.NodeProto], x: str, state: str, after: str) -> onnx.NodeProto:
    """A loop over the nodes, n times; it returns `after_last`."""
    inner = looping(nodes, state, after)
    return node("Loop", ["n", "", x], [f"{after}_last"], f"loop_{after}", body=inner)


def branch(nodes: Sequence[onnx.NodeProto], x: str, out: str) -> list[onnx.NodeProto]:
    """The nodes, which make `z`, if x is small; else x itself."""
    return [
        *small(x, f"c_{out}"),
        node(
            "If",
            [f"c_{out}"],
            [out],
            f"if_{out}",
            then_branch=body(nodes, {}, [("z", STATE)]),
            else_branch=body([node("Identity", [x], ["e"])], {}, [("e", STATE)]),
        ),
    ]


def scanned(nodes: Sequence[onnx.NodeProto], x: str, out: str) -> onnx.NodeProto:
    """The nodes, from the state `s` to `t`, for each of x's four steps."""
    row = (FLOAT, [None, 3])
    inner = body(
        [*nodes, node("Identity", ["xs"], ["xo"])],
        {"s": STATE, "xs": row},
        [("t", STATE), ("xo", row)],
    )
    given: dict[str, Any] = {"num_scan_inputs": 1, "scan_input_axes": [1], "scan_output_axes": [1]}
    return node("Scan", [x, "x"], [out, f"{out}_rows"], "scan", body=inner, **given)


def whole(
    nodes: Sequence[onnx.NodeProto], last: str, constants: Mapping[str, npt.ArrayLike] | None = None
) -> onnx.ModelProto:
    """x[N, 4, 3], h0[N, 5] -> nodes -> head; n is an input unless it is given."""
    given = constants or {}
    return model(
        [*nodes, node("Gemm", [last, "v"], ["y"], "head")],
        {**INPUTS, **({} if "n" in given else {"n": (INT64, [])})},
        {"y": (FLOAT, ["N", 2])},
        {"v": HEAD["v"], "huge": np.float32(1e30), **given},
    )


IN_BRANCH = branch([endless("h", "z")], "h", "h2")
CASES: dict[str, tuple[list[onnx.NodeProto], str, str]] = {
    "a branch": (branch([endless("h0", "z")], "h0", "q"), "q", "if_q/endless"),
    "a branch in a loop": (
        [loop(IN_BRANCH, "h0", "h", "h2")],
        "h2_last",
        "loop_h2/0/if_h2/endless",
    ),
    "a loop in a loop": (
        [loop([loop([endless("m", "m2")], "h", "m", "m2")], "h0", "h", "m2_last")],
        "m2_last_last",
        "loop_m2_last/0/loop_m2/0/endless",
    ),
    "a branch in a loop in a branch in a loop": (
        [
            loop(
                branch(
                    [loop(IN_BRANCH, "a", "h", "h2"), node("Neg", ["h2_last"], ["z"])], "a", "b"
                ),
                "h0",
                "a",
                "b",
            )
        ],
        "b_last",
        "loop_b/0/if_b/loop_h2/0/if_h2/endless",
    ),
    "a branch in a scan in a loop": (
        [loop([scanned(branch([endless("s", "z")], "s", "t"), "h", "h2")], "h0", "h", "h2")],
        "h2_last",
        "loop_h2/0/scan/0/if_t/endless",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_endless_loops_are_named_wherever_they_lie(case: str) -> None:
    nodes, last, name = CASES[case]
    with pytest.raises(ModelError, match=rf"Loop node '{name}' .* {LIMIT}"):
        Explainer(whole(nodes, last)).explain(TIMES)


@pytest.mark.parametrize("known", [False, True], ids=["a run tells", "constant"])
def test_conditions_that_wait_for_an_endless_loop(known: bool) -> None:
    """Such a loop is not written out: only how often another one runs depends on it."""
    start = "t0" if known else "h0"
    nodes = [endless(start, "t"), *small("t", "c"), node("Neg", ["h"], ["h2"])]
    waiting = node("Loop", ["n", "", "h0"], ["q"], "wait", body=looping(nodes, "h", "h2", "c"))
    proto = whole([waiting], "q", {"t0": H0, "n": np.array(9)} if known else {})
    with pytest.raises(ModelError, match=f"a Loop that .* does not end; .* {LIMIT}"):
        Explainer(proto).explain(FEEDS if known else TIMES)


@pytest.mark.parametrize("trips", [0, 1, 3])
def test_loops_that_end_are_counted(trips: int) -> None:
    inner = [
        loop([node("Neg", ["m"], ["m2"])], "a", "m", "m2"),
        node("Identity", ["m2_last"], ["z"]),
    ]
    nodes = [loop(branch(inner, "a", "b"), "h0", "a", "b")]
    sign = np.float32((-1) ** (trips * trips))
    plain = model(
        [node("Mul", ["h0", "sign"], ["b"]), node("Gemm", ["b", "v"], ["y"])],
        INPUTS,
        {"y": (FLOAT, ["N", 2])},
        {"v": HEAD["v"], "sign": sign},
    )
    check_alike(whole(nodes, "b_last"), plain, {**FEEDS, "n": np.array(trips)})
