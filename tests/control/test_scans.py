"""Scans: explained as if their iterations had been written one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, UnsupportedError
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
    tail,
    unrolled,
)
from tests.graphs import FLOAT, check_closed, model, node, normal

FEEDS = {"x": X, "h0": H0}


def scanned(**ways: Any) -> onnx.ModelProto:
    """x[N, 4, 3], h0[N, 5] -> Scan over the steps -> the loops' head."""
    inner = body(
        cell("xi", "h", "h_out"),
        {"h": STATE, "xi": (FLOAT, [None, 3])},
        [("h_out", STATE), ("h_out", STATE)],
    )
    scan = node(
        "Scan",
        ["h0", "x"],
        ["h_last", "rows"],
        "scan",
        body=inner,
        num_scan_inputs=1,
        scan_input_axes=[1],
        **ways,
    )
    return model([scan, *tail()], INPUTS, {"y": (FLOAT, ["N", 2])}, {**WEIGHTS, **HEAD})


def test_forwards() -> None:
    proto = scanned()
    explainer = check_alike(proto, unrolled(4), FEEDS, engines=("numba", "onnxruntime"))
    assert "scan/3/rec" in explainer.explain(FEEDS).ledger


@pytest.mark.parametrize("open_length", [False, True])
def test_backwards(open_length: bool) -> None:
    proto = scanned(scan_input_directions=[1])
    if open_length:
        proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "T"
    check_alike(proto, unrolled(4, places=[3, 2, 1, 0]), FEEDS)


def test_rows_along_another_axis_and_from_the_end() -> None:
    proto = scanned(scan_output_axes=[1], scan_output_directions=[1])
    proto.graph.node[1].input[0] = "first"
    proto.graph.node.insert(1, node("Transpose", ["rows"], ["turned"], perm=[1, 0, 2]))
    proto.graph.node.insert(2, node("Gather", ["turned", "i0"], ["last"], axis=0))
    proto.graph.node.insert(3, node("Unsqueeze", ["last", "axes"], ["first"]))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "i0"))
    check_alike(proto, unrolled(4, rows=[3]), FEEDS)


def test_several_inputs_with_ways_of_their_own() -> None:
    inner = body(
        [
            node("Mul", ["a", "b"], ["ab"], "product"),
            node("Add", ["s", "ab"], ["s_out"], "sum"),
        ],
        {"s": (FLOAT, [2]), "a": (FLOAT, [2]), "b": (FLOAT, [2])},
        [("s_out", (FLOAT, [2]))],
    )
    scan = node(
        "Scan",
        ["zero", "p", "q"],
        ["y"],
        body=inner,
        num_scan_inputs=2,
        scan_input_axes=[-1, 0],
        scan_input_directions=[0, 1],
    )
    inputs = {"p": (FLOAT, [2, 3]), "q": (FLOAT, [3, 2])}
    proto = model([scan], inputs, {"y": (FLOAT, [2])}, {"zero": np.zeros(2, np.float32)})
    p, q = normal(2, 3), normal(3, 2, seed=1)
    found = Explainer(proto).explain({"p": p, "q": q}, start=np.ones(2, np.float32))
    check_closed(found)
    products = p.T * q[::-1]
    shares = 0.5 * np.abs(products) / np.abs(products).sum(0)  # the running sum is one sum
    assert np.allclose(found.relevance["p"], shares.T, atol=1e-6)
    assert np.allclose(found.relevance["q"], shares[::-1], atol=1e-6)


def test_scans_over_a_batch_are_refused() -> None:
    proto = scanned()
    proto.opset_import[0].version = 8
    with pytest.raises(UnsupportedError, match="scans batches"):
        Explainer(proto)
