"""Ids that are computed are explained like ids: relevance reaches their positions, all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from backtrace_onnx import Explainer, Explanation
from tests.checks import check_ledger
from tests.graphs import BOOL, FLOAT, INT64, model, node, normal

INT32, UINT64 = onnx.TensorProto.INT32, onnx.TensorProto.UINT64
ROWS, WIDTH = 12, 4
IDS = np.array([[1, -2, 0], [7, -11, 4]], np.int64)
"""As Keras takes them: a negative one is counted from the end."""

PLACES = IDS % ROWS
TABLE = normal(ROWS, WIDTH, seed=1)
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")


class Way(NamedTuple):
    """A way to compute ids: nodes from "ids" to "rows", what they are made of, the rows meant."""

    nodes: Sequence[onnx.NodeProto]
    weights: Mapping[str, npt.ArrayLike]
    given: npt.NDArray[Any]
    meant: npt.NDArray[np.int64]


WAYS: dict[str, Way] = {
    "Keras by tf2onnx": Way(
        [
            node("Less", ["ids", "zero"], ["negative"]),
            node("Cast", ["negative"], ["one"], to=INT64),
            node("Mul", ["one", "count"], ["more"]),
            node("Add", ["ids", "more"], ["rows"]),
        ],
        {"zero": np.int64(0), "count": np.int64(ROWS)},
        IDS,
        PLACES,
    ),
    "Where": Way(
        [
            node("Less", ["ids", "zero"], ["negative"]),
            node("Add", ["ids", "count"], ["counted"]),
            node("Where", ["negative", "counted", "ids"], ["rows"]),
        ],
        {"zero": np.int64(0), "count": np.int64(ROWS)},
        IDS,
        PLACES,
    ),
    "Mod": Way([node("Mod", ["ids", "count"], ["rows"])], {"count": np.int64(ROWS)}, IDS, PLACES),
    "Clip": Way(
        [node("Clip", ["ids", "zero", "last"], ["rows"])],
        {"zero": np.int64(0), "last": np.int64(5)},
        IDS,
        IDS.clip(0, 5),
    ),
    "Max and Min": Way(
        [node("Max", ["ids", "zero"], ["positive"]), node("Min", ["last", "positive"], ["rows"])],
        {"zero": np.int64(0), "last": np.int64(5)},
        IDS,
        IDS.clip(0, 5),
    ),
    "Abs": Way([node("Abs", ["ids"], ["rows"])], {}, IDS, abs(IDS)),
    "without a start token": Way(
        [node("Sub", ["ids", "start"], ["rows"])],
        {"start": np.int64(3)},
        PLACES[:1] + 3,
        PLACES[:1],
    ),
    "from the end": Way(
        [node("Sub", ["last", "ids"], ["rows"])], {"last": np.int64(11)}, PLACES, 11 - PLACES
    ),
    "an offset per feature": Way(
        [node("Add", ["ids", "offsets"], ["rows"])],
        {"offsets": np.array([0, 4, 8])},
        PLACES % 4,
        PLACES % 4 + [0, 4, 8],
    ),
    "hashed": Way(
        [
            node("Mul", ["ids", "prime"], ["far"]),
            node("Add", ["far", "salt"], ["salted"]),
            node("BitwiseXor", ["salted", "salt"], ["mixed"]),
            node("Mod", ["mixed", "count"], ["rows"]),
        ],
        {"prime": np.int64(31), "salt": np.int64(5), "count": np.int64(ROWS)},
        PLACES,
        ((31 * PLACES + 5) ^ 5) % ROWS,
    ),
    "as floats": Way(
        [
            node("Cast", ["ids"], ["real"], to=FLOAT),
            node("Mul", ["real", "scale"], ["scaled"]),
            node("Add", ["scaled", "shift"], ["shifted"]),
            node("Floor", ["shifted"], ["whole"]),
            node("Cast", ["whole"], ["rows"], to=INT32),
        ],
        {"scale": np.float32(0.5), "shift": np.float32(1.25)},
        PLACES,
        np.floor(PLACES * 0.5 + 1.25).astype(np.int64),
    ),
    "masked": Way(
        [
            node("Greater", ["ids", "zero"], ["known"]),
            node("Cast", ["known"], ["mask"], to=INT64),
            node("Mul", ["ids", "mask"], ["rows"]),
        ],
        {"zero": np.int64(2)},
        PLACES,
        PLACES * (PLACES > 2),
    ),
    "divided": Way(
        [node("Div", ["ids", "by"], ["rows"])], {"by": np.int64(3)}, PLACES, PLACES // 3
    ),
    "shifted bits": Way(
        [
            node("Cast", ["ids"], ["bits"], to=UINT64),
            node("BitShift", ["bits", "one"], ["fewer"], direction="RIGHT"),
            node("Cast", ["fewer"], ["rows"], to=INT64),
        ],
        {"one": np.uint64(1)},
        PLACES,
        PLACES >> 1,
    ),
}


def network(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, npt.ArrayLike],
    look_up: Sequence[onnx.NodeProto] | None = None,
    inputs: Mapping[str, tuple[int, list[Any]]] | None = None,
) -> onnx.ModelProto:
    """Nodes that make rows[N, 3] of ids[N, 3], and what is made of the rows that are looked up."""
    tail = [
        *(look_up or [node("Gather", ["table", "rows"], ["found"], "look_up")]),
        node("Relu", ["found"], ["active"], "active"),
        node("ReduceSum", ["active", "middle"], ["summed"], "summed", keepdims=0),
        node("MatMul", ["summed", "w"], ["y"], "head"),
    ]
    return model(
        [*nodes, *tail],
        inputs or {"ids": (INT64, ["N", 3])},
        {"y": (FLOAT, ["N", 2])},
        {"table": TABLE, "w": normal(WIDTH, 2, seed=2), "middle": np.array([1]), **weights},
    )


def plain() -> onnx.ModelProto:
    return network([node("Identity", ["ids"], ["rows"])], {})


def assert_same(ours: Explanation, theirs: Explanation) -> None:
    found, wanted = ours.relevance["ids"], theirs.relevance["ids"]
    np.testing.assert_allclose(ours.outputs["y"], theirs.outputs["y"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    assert wanted.any()
    check_ledger(ours)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("name", WAYS)
def test_alike(name: str, engine: Literal["numba", "onnxruntime"]) -> None:
    way = WAYS[name]
    ours = Explainer(network(way.nodes, way.weights), engine=engine)
    theirs = Explainer(plain())
    for mode in MODES:
        assert_same(ours.explain(way.given, mode=mode), theirs.explain(way.meant, mode=mode))


@pytest.mark.parametrize(
    "look_up",
    [
        [
            node("OneHot", ["rows", "depth", "values"], ["hot"]),
            node("MatMul", ["hot", "table"], ["found"]),
        ],
        [
            node("Unsqueeze", ["rows", "last"], ["column"]),
            node("Equal", ["column", "range"], ["same"]),
            node("Cast", ["same"], ["hot"], to=FLOAT),
            node("MatMul", ["hot", "table"], ["found"]),
        ],
        [
            node("Unsqueeze", ["rows", "last"], ["column"]),
            node("GatherND", ["table", "column"], ["found"]),
        ],
    ],
)
def test_however_the_rows_are_found(look_up: list[onnx.NodeProto]) -> None:
    way = WAYS["Keras by tf2onnx"]
    depth = {"depth": np.int64(ROWS), "values": np.float32([0, 1]), "range": np.arange(ROWS)}
    proto = network(way.nodes, {**way.weights, **depth, "last": np.array([2])}, look_up)
    for mode in MODES:
        ours = Explainer(proto).explain(way.given, mode=mode)
        assert_same(ours, Explainer(plain()).explain(way.meant, mode=mode))


def test_moved_on_the_way() -> None:
    nodes = [
        node("Concat", ["start", "ids"], ["longer"], axis=1),
        node("Slice", ["longer", "one", "four", "one"], ["cut"]),
        node("Transpose", ["cut"], ["turned"], perm=[1, 0]),
        node("Add", ["turned", "count"], ["more"]),
        node("Mod", ["more", "count"], ["inside"]),
        node("Transpose", ["inside"], ["rows"], perm=[1, 0]),
    ]
    weights = {
        "start": np.array([[9]]),
        "one": np.array([1]),
        "four": np.array([4]),
        "count": np.int64(ROWS),
    }
    ours = Explainer(network(nodes, weights)).explain(IDS[:1])
    assert_same(ours, Explainer(plain()).explain(PLACES[:1]))


def test_two_ids_that_make_one_share_alike() -> None:
    nodes = [
        node("Mul", ["high", "four"], ["far"]),
        node("Add", ["far", "ids"], ["rows"]),
    ]
    inputs = {name: (INT64, ["N", 3]) for name in ("ids", "high")}
    feeds = {"ids": PLACES % 4, "high": PLACES // 4}
    ours = Explainer(network(nodes, {"four": np.int64(4)}, inputs=inputs)).explain(feeds)
    theirs = Explainer(plain()).explain(PLACES)
    for name in feeds:
        np.testing.assert_allclose(ours.relevance[name], theirs.relevance["ids"] / 2, rtol=1e-5)


def test_a_mask_takes_none() -> None:
    nodes = [node("Cast", ["mask"], ["kept"], to=INT64), node("Mul", ["ids", "kept"], ["rows"])]
    inputs = {"ids": (INT64, ["N", 3]), "mask": (BOOL, ["N", 3])}
    feeds = {"ids": PLACES, "mask": PLACES > 2}
    ours = Explainer(network(nodes, {}, inputs=inputs)).explain(feeds)
    assert_same(ours, Explainer(plain()).explain(PLACES * (PLACES > 2)))
    assert not ours.relevance["mask"].any()


def test_places_counted_by_a_mask_carry_none() -> None:
    nodes = [
        node("CumSum", ["ids", "axis"], ["count"]),
        node("Mul", ["count", "ids"], ["kept"]),
        node("Add", ["kept", "one"], ["rows"]),
    ]
    weights = {"axis": np.int64(1), "one": np.int64(1)}
    mask = np.array([[1, 1, 0], [1, 1, 1]])
    made = Explainer(network(nodes, weights)).explain(mask)
    assert not made.relevance["ids"].any()


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum"])
def test_integers_that_are_numbers_are_shared_like_floats(
    op_type: str, engine: Literal["numba", "onnxruntime"]
) -> None:
    def written(kind: int) -> onnx.ModelProto:
        fixed = np.array([5, 1, -3], onnx.helper.tensor_dtype_to_np_dtype(kind))
        nodes = [
            node("Sub", ["x", "fixed"], ["moved"]),
            node("Cast", ["moved"] if op_type == "Sum" else ["both"], ["real"], to=FLOAT),
            node("MatMul", ["real", "w"], ["y"]),
        ]
        nodes[1:1] = [] if op_type == "Sum" else [node(op_type, ["moved", "z"], ["both"])]
        inputs = {"x": (kind, ["N", 3]), "z": (kind, ["N", 3])}
        return model(nodes, inputs, {"y": (FLOAT, ["N", 2])}, {"w": normal(3, 2), "fixed": fixed})

    feeds = {"x": 6 * IDS, "z": np.array([[3, 2, 1], [-1, 4, 2]])}
    for mode in MODES:
        ours = Explainer(written(INT64), engine=engine).explain(feeds, mode=mode)
        real = {name: np.float32(x) for name, x in feeds.items()}
        theirs = Explainer(written(FLOAT)).explain(real, mode=mode)
        if op_type != "Div":  # whole numbers have another answer
            np.testing.assert_allclose(ours.relevance["x"], theirs.relevance["x"], atol=1e-4)
        assert ours.relevance["x"].any()
        check_ledger(ours)
