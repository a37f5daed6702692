"""Sequences and optionals: lists of tensors, explained by what became of the tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from backtrace_onnx import Explainer, InputError, ModelError, UnsupportedError
from tests.control.made import check_alike
from tests.graphs import FLOAT, check_closed, model, node, normal

X, Z = normal(2, 6, seed=5), normal(2, 6, seed=6)
INPUTS: dict[str, Any] = {"x": (FLOAT, ["N", 6]), "z": (FLOAT, ["N", 6])}
ENDS = {"first": np.int64(0), "last": np.int64(-1), "one": np.int64(1)}


def headed(
    nodes: Sequence[onnx.NodeProto], width: int, opset: int = 18, **weights: npt.ArrayLike
) -> onnx.ModelProto:
    """x, z[N, 6] -> nodes -> t[N, width] -> head -> y[N, 2]."""
    return model(
        [*nodes, node("MatMul", ["t", "v"], ["y"], "head")],
        INPUTS,
        {"y": (FLOAT, ["N", 2])},
        {"v": normal(width, 2), **ENDS, **weights},
        opset=opset,
    )


def test_constructed_changed_and_joined() -> None:
    nodes = [
        node("SequenceConstruct", ["x", "z"], ["s"]),
        node("SequenceInsert", ["s", "x"], ["s3"]),
        node("SequenceInsert", ["s3", "z", "first"], ["s4"]),
        node("SequenceErase", ["s4", "last"], ["s5"]),
        node("ConcatFromSequence", ["s5"], ["t"], "join", axis=1),
    ]
    plain = [node("Concat", ["z", "x", "z"], ["t"], axis=1)]
    check_alike(
        headed(nodes, 18),
        headed(plain, 18),
        {"x": X, "z": Z},
        engines=("numba", "onnxruntime"),
    )


def test_stacked_along_a_new_axis() -> None:
    nodes = [
        node("SequenceConstruct", ["x", "z"], ["s"]),
        node("ConcatFromSequence", ["s"], ["wide"], axis=-1, new_axis=1),
        node("ReduceMax", ["wide", "axis"], ["t"], keepdims=0),
    ]
    plain = [node("Max", ["x", "z"], ["t"])]
    proto = headed(nodes, 6, axis=np.array([2]))
    check_alike(proto, headed(plain, 6), {"x": X, "z": Z})


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize(
    ("split", "begin", "end"),
    [(None, 1, 2), (np.int64(4), 4, 6), (np.array([1, 3, 2]), 1, 4)],
)
def test_split(split: Any, begin: int, end: int, opset: int) -> None:
    sizes = {"sizes": split} if split is not None else {}
    nodes = [
        node("Mul", ["x", "z"], ["p"]),
        node("SplitToSequence", ["p", *sizes], ["s"], axis=1),
        node("SequenceAt", ["s", "one"], ["t"]),
    ]
    plain = [node("Mul", ["x", "z"], ["p"]), node("Slice", ["p", "b", "e", "a"], ["t"])]
    cut = {"b": np.array([begin]), "e": np.array([end]), "a": np.array([1])}
    check_alike(
        headed(nodes, end - begin, opset, **sizes),
        headed(plain, end - begin, opset, **cut),
        {"x": X, "z": Z},
    )


def test_slices_lose_their_axis() -> None:
    nodes = [
        node("SplitToSequence", ["z"], ["s"], axis=1, keepdims=0),
        node("SequenceAt", ["s", "last"], ["column"]),
        node("Unsqueeze", ["column", "axis"], ["wide"]),
        node("Mul", ["x", "wide"], ["t"]),
    ]
    plain = [
        node("Gather", ["z", "five"], ["wide"], axis=1),
        node("Mul", ["x", "wide"], ["t"]),
    ]
    check_alike(
        headed(nodes, 6, axis=np.array([1])),
        headed(plain, 6, five=np.array([5])),
        {"x": X, "z": Z},
    )


def test_places_that_the_inputs_choose() -> None:
    proto = headed(
        [
            node("SequenceConstruct", ["x", "z"], ["s"]),
            node("SequenceAt", ["s", "which"], ["t"]),
        ],
        6,
    )
    proto.graph.input.append(helper.make_tensor_value_info("which", TensorProto.INT64, []))
    explainer = Explainer(proto)
    for which in (0, 1, -1):
        found = explainer.explain({"x": X, "z": Z, "which": np.array(which)})
        check_closed(found)
        assert bool(found.relevance["x"].any()) == (which == 0)
        assert bool(found.relevance["z"].any()) == (which != 0)


def test_the_length_is_a_number() -> None:
    nodes = [
        node("SequenceConstruct", ["x", "z", "x"], ["s"]),
        node("SequenceLength", ["s"], ["n"]),
        node("Cast", ["n"], ["factor"], to=1),
        node("Mul", ["z", "factor"], ["t"]),
    ]
    plain = [node("Mul", ["z", "three"], ["t"])]
    check_alike(headed(nodes, 6), headed(plain, 6, three=np.float32(3)), {"x": X, "z": Z})


def test_a_place_outside_is_refused() -> None:
    nodes = [
        node("SequenceConstruct", ["x"], ["s"]),
        node("SequenceAt", ["s", "one"], ["t"], "at"),
    ]
    with pytest.raises(
        ModelError, match=r"SequenceAt node 'at' asks for place 1 of a sequence of 1"
    ):
        Explainer(headed(nodes, 6))


def test_optionals() -> None:
    nodes = [
        node("Optional", ["z"], ["full"]),
        node("OptionalHasElement", ["full"], ["c"]),
        node("OptionalGetElement", ["full"], ["e"]),
        node("Where", ["c", "e", "x"], ["t"]),
    ]
    check_alike(headed(nodes, 6), headed([node("Identity", ["z"], ["t"])], 6), {"x": X, "z": Z})


def listing(kind: onnx.TypeProto) -> onnx.ModelProto:
    """An input s of that kind -> its sequence joined -> y."""
    graph = helper.make_graph(
        [node("ConcatFromSequence", ["s"], ["y"], "join", axis=0)],
        "g",
        [helper.make_value_info("s", kind)],
        [helper.make_tensor_value_info("y", FLOAT, [None, 3])],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


ROWS = helper.make_tensor_type_proto(FLOAT, [None, 3])


def test_an_input_may_be_a_list() -> None:
    explainer = Explainer(listing(helper.make_sequence_type_proto(ROWS)))
    for count in (1, 3):
        parts = [normal(1, 3, seed=i) for i in range(count)]
        start = normal(count, 3, seed=9)
        found = explainer.explain(parts, start=start)
        check_closed(found)
        assert list(found.relevance) == [f"s/{i}" for i in range(count)]
        assert np.allclose(np.concatenate(list(found.relevance.values())), start)
        assert np.allclose(explainer.explain({"s": parts}, start=start).relevance["s/0"], start[:1])


@pytest.mark.parametrize("given", [np.ones((2, 3), np.float32), {"s": 3}, {}])
def test_what_is_no_list_is_refused(given: Any) -> None:
    explainer = Explainer(listing(helper.make_sequence_type_proto(ROWS)))
    with pytest.raises(InputError, match=r"input .s..* list of arrays"):
        explainer.explain(given)


def test_elements_of_a_wrong_shape_are_named() -> None:
    explainer = Explainer(listing(helper.make_sequence_type_proto(ROWS)))
    with pytest.raises(InputError, match="'s/1'"):
        explainer.explain([normal(1, 3), normal(1, 4)])


def test_an_output_may_be_a_sequence() -> None:
    graph = helper.make_graph(
        [
            node("SplitToSequence", ["x", "two"], ["parts"], "split", axis=1),
            node("Relu", ["x"], ["r"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 6])],
        [
            helper.make_value_info("parts", helper.make_sequence_type_proto(ROWS)),
            helper.make_tensor_value_info("r", FLOAT, ["N", 6]),
        ],
        [onnx.numpy_helper.from_array(np.array(2), "two")],
    )
    opset = [helper.make_opsetid("", 18)]
    explainer = Explainer(helper.make_model(graph, opset_imports=opset, ir_version=10))
    assert explainer.graph.outputs == ("parts/0", "parts/1", "parts/2", "r")
    assert np.array_equal(explainer.explain(X, output="r").outputs["parts/2"], X[:, 4:])
    found = explainer.explain(X, output="parts/1", start=np.ones((2, 2), np.float32))
    assert np.array_equal(found.relevance["x"] != 0, np.tile([0, 0, 1, 1, 0, 0], (2, 1)) == 1)


def test_an_optional_input_may_be_left_out() -> None:
    then = helper.make_graph(
        [node("OptionalGetElement", ["o"], ["e"]), node("Add", ["e", "x"], ["h"])],
        "then",
        [],
        [helper.make_tensor_value_info("h", FLOAT, None)],
    )
    other = helper.make_graph(
        [node("Mul", ["x", "k"], ["h"])],
        "else",
        [],
        [helper.make_tensor_value_info("h", FLOAT, None)],
        [onnx.numpy_helper.from_array(np.array(2, np.float32), "k")],
    )
    graph = helper.make_graph(
        [
            node("OptionalHasElement", ["o"], ["c"]),
            node("If", ["c"], ["y"], "if", then_branch=then, else_branch=other),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", FLOAT, ["N", 3]),
            helper.make_value_info("o", helper.make_optional_type_proto(ROWS)),
        ],
        [helper.make_tensor_value_info("y", FLOAT, ["N", 3])],
    )
    opset = [helper.make_opsetid("", 18)]
    explainer = Explainer(helper.make_model(graph, opset_imports=opset, ir_version=10))
    x = normal(2, 3)
    assert np.array_equal(explainer.explain({"x": x}).outputs["y"], x * 2)
    found = explainer.explain({"x": x, "o": x})
    check_closed(found)
    assert np.array_equal(found.outputs["y"], x + x)
    assert np.allclose(found.relevance["x"], found.relevance["o/0"])


def test_sequences_of_sequences_are_refused() -> None:
    lists = helper.make_sequence_type_proto(helper.make_sequence_type_proto(ROWS))
    graph = helper.make_graph(
        [node("SequenceAt", ["s", "i"], ["inner"]), node("SequenceAt", ["inner", "i"], ["y"])],
        "g",
        [helper.make_value_info("s", lists)],
        [helper.make_tensor_value_info("y", FLOAT, [None, 3])],
        [onnx.numpy_helper.from_array(np.array(0), "i")],
    )
    opset = [helper.make_opsetid("", 18)]
    proto = helper.make_model(graph, opset_imports=opset, ir_version=10)
    with pytest.raises(UnsupportedError, match=r"SequenceAt .*holds no tensors, but sequences"):
        Explainer(proto)
    with pytest.raises(ModelError, match=r"onnxruntime does not load it: .*seq"):
        Explainer(proto, on_unsupported="stop")
