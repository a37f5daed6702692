"""Rows of `inspect`: what nodes of bodies are, and names that fit a page."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from backtrace_onnx.commands.inspect import as_record, inspect, print_inspection, shortened
from backtrace_onnx.report.console import console
from tests.control.made import body
from tests.graphs import BOOL, FLOAT, model, node, normal

LONG = "/model/encoder/layers/0/self_attention/output/projection/dense/MatMul"


def _branching() -> onnx.ModelProto:
    """A branch with a constant of its own, behind a node with a long name."""
    two = numpy_helper.from_array(np.float32(2))
    out = ("z", (FLOAT, ["N", 3]))
    doubled = body(
        [node("Constant", [], ["two"], "two", value=two), node("Mul", ["h", "two"], ["z"], "mul")],
        {},
        [out],
    )
    plain = body(
        [node("Shape", ["h"], ["s"], "shape"), node("Relu", ["h"], ["z"], "relu")], {}, [out]
    )
    return model(
        [
            node("MatMul", ["x", "w"], ["h"], LONG),
            node("If", ["c"], ["y"], "if", then_branch=doubled, else_branch=plain),
        ],
        {"x": (FLOAT, ["N", 4]), "c": (BOOL, [])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 3)},
    )


def test_nodes_of_bodies_are_told_like_others(tmp_path: Path) -> None:
    onnx.save(_branching(), tmp_path / "m.onnx")
    found = inspect(tmp_path / "m.onnx", None)
    coverage = {row.node: row.coverage for row in found.rows}
    assert coverage == {
        LONG: "exact",
        "if": "expanded",
        "if/two": "nothing",
        "if/mul": "exact",
        "if/shape": "nothing",
        "if/relu": "exact",
    }


def test_long_names_are_whole_in_json_alone(tmp_path: Path) -> None:
    onnx.save(_branching(), tmp_path / "m.onnx")
    found, printed = inspect(tmp_path / "m.onnx", None), io.StringIO()
    print_inspection(console(printed), found)
    text = printed.getvalue()
    assert LONG not in text and "/model/encoder/layers/0/se..." in text
    assert "--json has them whole" in text
    assert LONG in json.dumps(as_record(found))


def test_a_name_loses_its_middle() -> None:
    assert shortened("abcdefgh", 8) == "abcdefgh"
    assert shortened("abcdefghi", 8) == "ab...hi"
    assert shortened("abcdefghi", 7) == "ab...hi"
