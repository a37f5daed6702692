"""What nodes of a file tell of its tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from backtrace_onnx.backends.written_nodes import WrittenNodes
from tests.graphs import node

MODEL = [
    node("MatMul", ["q", "k"], ["t"]),
    node("Mul", ["t", "part"], ["s"]),
    node("Div", ["u", "root"], ["v"]),
    node("Div", ["root", "w"], ["inverse"]),
    node("Mul", ["a", "several"], ["b"]),
    node("Mul", ["c", "none"], ["d"]),
    node("MatMul", ["p", "values"], ["mixed"]),
]
CONSTANTS: dict[str, Any] = {
    "part": np.float32(0.125), "root": np.array([4], np.float32), "none": np.float32(0),
    "several": np.ones(2, np.float32),
}  # fmt: skip


def _turned(perm: list[int]) -> list[NodeProto]:
    return [
        node("Transpose", ["values"], ["back"], perm=perm),
        node("MatMul", ["g", "back"], ["m"]),
    ]


@pytest.mark.parametrize(
    ("name", "multiple"),
    [("t", ("s", 0.125)), ("u", ("v", 0.25)), ("w", ("w", 1)), ("a", ("a", 1)), ("c", ("c", 1))],
)
def test_a_multiple_is_by_one_number_that_is_not_0(name: str, multiple: Any) -> None:
    assert WrittenNodes(MODEL, CONSTANTS).multiple(name) == multiple


def test_what_was_scaled_is_known_with_its_factor() -> None:
    nodes = WrittenNodes(MODEL, CONSTANTS)
    nodes.follow([node("Mul", ["half", "m"], ["made"]), node("Mul", ["m", "y"], ["other"])])
    assert nodes.unscaled("made", {"half": np.float32(0.5)}) == ("m", 0.5)
    assert nodes.unscaled("made", {}) == ("made", 1)
    assert nodes.unscaled("other", {}) == ("other", 1)
    assert nodes.unscaled("s", {}) == ("t", 0.125)


def test_a_sum_of_products_is_known_from_the_product_that_was_made() -> None:
    nodes = WrittenNodes(MODEL, CONSTANTS)
    nodes.follow(_turned([0, 1, 3, 2]))
    for last in (-1, 3):
        assert nodes.product_before("m", "p", last) == ("g", "mixed")
    assert nodes.product_before("m", "p", 2) is None  # along another axis
    assert nodes.product_before("m", "q", -1) is None  # of which there is no product
    nodes = WrittenNodes(MODEL, CONSTANTS)
    nodes.follow(_turned([0, 2, 1, 3]))
    assert nodes.product_before("m", "p", -1) is None  # not that tensor's adjoint


def test_nodes_that_became_a_body_are_read_again() -> None:
    nodes, written = WrittenNodes(MODEL, CONSTANTS), _turned([1, 0])
    nodes.follow(written)
    written[:] = [node("MatMul", ["h", "back"], ["n"])]
    nodes.follow(written)
    assert nodes.is_made_by("n", "MatMul") and not nodes.is_made_by("n", "Gemm")
