"""Operators that move elements: relevance goes back to where its element came from.

The oracle is the operator's matrix of zeros and ones, found by running basis vectors through it;
where the way depends on the values, it is written out in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from backtrace_onnx import Explainer
from tests.cases import Case, chain, channels, fixed, generator, link, normal, one, starts
from tests.checks import assert_close, check_batch, check_compiled, check_ledger, check_passes
from tests.dense_oracle import dense
from tests.graphs import FLOAT, INT64, model, node

Array = npt.NDArray[Any]
MODES = ("default", "contrastive")
RNG = generator("moving")
SCALES = fixed([1, 1, 1.5, 2.5], np.float32)


def x(*shape: int) -> Array:
    return normal(RNG, *shape)


def ints(*values: int) -> Any:
    return fixed(values, np.int64)


MOVES: dict[str, Callable[[], Case]] = {
    "Reshape": lambda: one("Reshape", x(2, 6), ints(0, 3, -1)),
    "Reshape to a scalar": lambda: one("Reshape", x(1, 1), ints()),
    "Flatten": lambda: one("Flatten", x(2, 3, 4), axis=-1),
    "Squeeze": lambda: one("Squeeze", x(2, 1, 3, 1), ints(-1, 1)),
    "Squeeze all": lambda: one("Squeeze", x(1, 1)),
    "Squeeze, attribute": lambda: one("Squeeze", x(2, 1), opset=11, axes=[1]),
    "Unsqueeze": lambda: one("Unsqueeze", x(2, 3), ints(-1, 0)),
    "Unsqueeze a scalar": lambda: one("Unsqueeze", x(), ints(0)),
    "Transpose": lambda: one("Transpose", x(2, 3, 4), perm=[2, 0, 1]),
    "Transpose, reversed": lambda: one("Transpose", x(2, 3, 4)),
    "Expand": lambda: one("Expand", x(3, 1), ints(2, 1, 4)),
    "Expand a scalar": lambda: one("Expand", x(), ints(2, 2)),
    "Expand not": lambda: one("Expand", x(2, 3), ints(1)),
    "Tile": lambda: one("Tile", x(2, 3), ints(3, 2)),
    "Tile, computed": lambda: one("Tile", x(2, 3), np.array([1, 2])),
    "Slice": lambda: one("Slice", x(4, 5), ints(1, -3), ints(3, -1), ints(0, 1)),
    "Slice, all axes": lambda: one("Slice", x(4, 5), ints(-9, 1), ints(9, 99)),
    "Slice, negative axis": lambda: one("Slice", x(4, 5), ints(2), ints(4), ints(-1)),
    "Slice, steps": lambda: one(
        "Slice", x(6, 5), ints(-1, 0), ints(-9, 5), ints(0, 1), ints(-2, 2)
    ),
    "Slice, computed": lambda: one(
        "Slice", x(4, 5), np.array([1]), np.array([3]), np.array([-1]), np.array([1])
    ),
    "Slice, attributes": lambda: one("Slice", x(4, 5), opset=9, starts=[1], ends=[-1], axes=[1]),
    "Slice, attributes, all axes": lambda: one(
        "Slice", x(4, 5), opset=9, starts=[1, 0], ends=[3, 2]
    ),
    "Split": lambda: one("Split", x(2, 7), ints(3, 4), outputs=2, axis=1),
    "Split, attribute": lambda: one("Split", x(7, 2), opset=11, outputs=2, axis=-2, split=[3, 4]),
    "Split evenly": lambda: one("Split", x(6, 2), opset=11, outputs=3),
    "Split, number": lambda: one("Split", x(2, 7), outputs=3, axis=-1, num_outputs=3),
    "Split, computed": lambda: one("Split", x(2, 7), np.array([7, 0]), outputs=2, axis=1),
    "Concat": lambda: one("Concat", x(2, 3), x(2, 1), x(2, 2), axis=-1),
    "Concat one": lambda: one("Concat", x(2, 3), axis=0),
    "Concat, constant": lambda: one("Concat", x(2, 3), fixed(x(2, 4)), axis=1),
    "Pad": lambda: one("Pad", x(2, 3), ints(1, 0, 2, 3)),
    "Pad, value": lambda: one("Pad", x(2, 3), ints(0, 1, 0, 1), fixed(5, np.float32)),
    "Pad, axes": lambda: one("Pad", x(2, 3), ints(1, 2), None, ints(-1)),
    "Pad, computed": lambda: one("Pad", x(2, 3), np.array([1, 2]), None, np.array([1])),
    "Pad, cropping": lambda: one("Pad", x(4, 5), ints(-1, 2, 1, -3)),
    "Pad, attribute": lambda: one("Pad", x(2, 3), opset=9, pads=[0, 1, 1, 0], value=2.0),
    "Pad, reflect": lambda: one("Pad", x(3, 4), ints(2, 1, 0, 3), mode="reflect"),
    "Pad, reflect, attribute": lambda: one(
        "Pad", x(3, 4), opset=9, pads=[0, 1, 0, 2], mode="reflect"
    ),
    "Pad, edge": lambda: one("Pad", x(3, 4), ints(2, 1, 0, 3), mode="edge"),
    "Pad, wrap": lambda: one("Pad", x(3, 4), ints(2, 1, 0, 3), mode="wrap"),
    "Gather": lambda: one("Gather", x(3, 4), fixed([[0, -1], [0, 2]]), axis=1),
    "Gather, one": lambda: one("Gather", x(3, 4), fixed(-2), axis=0),
    "Gather, one kept": lambda: one("Gather", x(3, 4), ints(1), axis=-1),
    "Gather, computed": lambda: one("Gather", x(3, 4), np.array([2, 2, 0])),
    "GatherElements": lambda: one("GatherElements", x(3, 2), fixed([[0, -1], [0, 0]]), axis=0),
    "GatherND": lambda: one("GatherND", x(3, 4), fixed([[0, 1], [2, -1], [0, 1]])),
    "GatherND, batch": lambda: one("GatherND", x(2, 3, 4), fixed([[0], [2]]), batch_dims=1),
    "Scatter": lambda: one("Scatter", x(3, 3), fixed([[1, 0]]), x(1, 2), opset=9),
    "ScatterElements": lambda: one("ScatterElements", x(3, 3), fixed([[1, -1]]), x(1, 2), axis=1),
    "ScatterND": lambda: one("ScatterND", x(4, 2), fixed([[2], [0]]), x(2, 2)),
    "ScatterND into a constant": lambda: one("ScatterND", fixed(x(4, 2)), ints(3, 1), x()),
    "TensorScatter": lambda: one(
        "TensorScatter", x(2, 4, 3), x(2, 1, 3), fixed([1, 3]), opset=24, axis=1
    ),
    "Compress": lambda: one("Compress", x(3, 2), fixed([True, False, True]), axis=0),
    "Compress, flat": lambda: one("Compress", x(3, 2), fixed([False, True, True])),
    "Trilu": lambda: one("Trilu", x(2, 3, 3)),
    "Trilu, lower": lambda: one("Trilu", x(3, 4), fixed(-1), upper=0),
    "ReverseSequence": lambda: one("ReverseSequence", x(4, 2, 3), fixed([3, 1])),
    "ReverseSequence, batch first": lambda: one(
        "ReverseSequence", x(2, 4), fixed([3, 4]), batch_axis=0, time_axis=1
    ),
    "DepthToSpace": lambda: one("DepthToSpace", x(2, 8, 3, 2), blocksize=2),
    "DepthToSpace, CRD": lambda: one("DepthToSpace", x(2, 12, 1, 3), blocksize=2, mode="CRD"),
    "SpaceToDepth": lambda: one("SpaceToDepth", x(2, 3, 4, 2), blocksize=2),
    "CenterCropPad": lambda: one("CenterCropPad", x(5, 2), ints(3, 5)),
    "Where": lambda: one("Where", fixed([True, False]), x(3, 1), x(2)),
    "Identity": lambda: one("Identity", x()),
    "Resize": lambda: one("Resize", x(1, 1, 4, 4), None, SCALES, mode="nearest"),
    "Resize, opset 10": lambda: one("Resize", x(1, 1, 4, 4), SCALES, opset=10, mode="nearest"),
    "Upsample": lambda: one("Upsample", x(1, 1, 4, 4), SCALES, opset=9, mode="nearest"),
}
"""Every form is a fixed map of zeros and ones in its inputs, plus constants."""


def matrix_way(case: Case, r: Array) -> dict[str, Array]:
    """Relevance of the inputs by the operator's matrices, one for each floating input."""
    data = {name: v for name, v in case.feeds.items() if v.dtype.kind == "f"}
    zeros = {name: np.zeros_like(v) for name, v in data.items()}
    found = {}
    for name, value in data.items():

        def f(v: Array, name: str = name) -> Array:
            return case.run(**{**zeros, name: v})

        found[name] = (dense(f, value)[0].T @ r.ravel()).reshape(value.shape)
    return found


def check(
    case: Case, way: Callable[[Case, Array], dict[str, Array]], compiled: Path | None = None
) -> None:
    """Relevance goes `way`; the rest is booked to constants; the compiled model agrees."""
    for mode in MODES:
        r = starts(case, mode)
        got = case.explain(mode, r)
        total = got.ledger.total()
        wanted = [way(case, part) for part in r]
        for name in wanted[0]:
            assert_close(channels(got, name), [w[name] for w in wanted], 1e-6, f"{mode} {name}")
        for channel, (part, want) in enumerate(zip(r, wanted, strict=True)):
            rest = part.sum(dtype=float) - sum(w.sum() for w in want.values())
            assert total.constants[channel].sum() == pytest.approx(rest, abs=1e-5)
            assert total.unassigned[channel].sum() == pytest.approx(0, abs=1e-5)
        check_ledger(got)
        if compiled is not None:
            check_compiled(case, mode, r, got, compiled)


@pytest.mark.parametrize("form", MOVES)
def test_follows_the_elements_back(form: str, tmp_path: Path) -> None:
    check(MOVES[form](), matrix_way, tmp_path)


BATCHES: dict[str, Callable[[], Case]] = {
    "Slice": lambda: one("Slice", x(3, 5), ints(1), ints(3), ints(1), dynamic=True),
    "Split": lambda: one("Split", x(3, 5), ints(2, 3), outputs=2, axis=1, dynamic=True),
    "Concat": lambda: one("Concat", x(3, 2), x(3, 1), axis=1, dynamic=True),
    "Pad": lambda: one("Pad", x(3, 2), ints(0, 1, 0, 0), dynamic=True),
    "Pad, edge": lambda: one("Pad", x(3, 2), ints(0, 1, 0, 0), mode="edge", dynamic=True),
    "Gather": lambda: one("Gather", x(3, 4), fixed([1, 1]), axis=1, dynamic=True),
    "Tile": lambda: one("Tile", x(3, 2), ints(1, 2), dynamic=True),
    "Trilu": lambda: one("Trilu", x(3, 2, 2), dynamic=True),
    "TopK": lambda: one("TopK", x(3, 4), ints(2), outputs=2, dynamic=True),
    "DepthToSpace": lambda: one("DepthToSpace", x(3, 4, 1, 2), blocksize=2, dynamic=True),
    "ScatterElements": lambda: one(
        "ScatterElements", x(3, 4), np.array([[1], [0], [3]]), x(3, 1), axis=1, dynamic=True
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", BATCHES)
def test_samples_of_a_batch_are_apart(form: str, mode: str, tmp_path: Path) -> None:
    case = BATCHES[form]()
    check_batch(case, mode)
    r = starts(case, mode)
    got = case.explain(mode, r)
    total = got.ledger.total()
    assert total.relative_residual < 1e-5 and total.start.shape[1] == 3
    check_compiled(case, mode, r, got, tmp_path)


# Ways that depend on the values ---------------------------------------------------------------


def test_top_k_follows_the_elements(tmp_path: Path) -> None:
    data = x(3, 5)

    def way(case: Case, r: Array) -> dict[str, Array]:
        back = np.zeros_like(data)
        np.put_along_axis(back, np.argsort(-data, 1)[:, :2], r, 1)
        return {"x0": back}

    check(one("TopK", data, ints(2), outputs=2, axis=1), way, tmp_path)
    check(one("TopK", data, opset=9, outputs=2, k=2), way)


def test_top_k_smallest_along_the_first_axis(tmp_path: Path) -> None:
    data = x(4, 2)

    def way(case: Case, r: Array) -> dict[str, Array]:
        back = np.zeros_like(data)
        np.put_along_axis(back, np.argsort(data, 0)[:1], r, 0)
        return {"x0": back}

    check(one("TopK", data, ints(1), outputs=2, axis=-2, largest=0), way, tmp_path)


def test_unique_elements_share_alike(tmp_path: Path) -> None:
    data = np.array([[2, 1], [2, 3]], np.float32)

    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": np.array([[r[1] / 2, r[0]], [r[1] / 2, r[2]]])}

    check(one("Unique", data), way, tmp_path)


def test_unique_rows_share_alike(tmp_path: Path) -> None:
    data = np.array([[2, 1], [0, 3], [2, 1]], np.float32)

    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": np.stack([r[1] / 2, r[0], r[1] / 2])}

    check(one("Unique", data, axis=-2, outputs=2), way, tmp_path)


def test_a_part_that_is_not_explained_is_zero(tmp_path: Path) -> None:
    case = one("Split", x(2, 5), ints(1, 3, 1), outputs=3, axis=1)
    back = case.explain("default", starts(case, "default")).relevance["x0"]
    assert back[:, 0].all() and not back[:, 1:].any()


def test_what_is_scattered_twice_counts_once() -> None:
    data, updates = x(3), x(2)
    case = one("ScatterElements", data, fixed([1, 1]), updates)
    r = starts(case, "default")[0]
    got = case.explain("default", [r]).relevance
    winner = updates == case.y[1]
    assert_close([got["x0"], got["x1"]], [r * [1, 0, 1], r[1] * winner], 1e-6)


# Looking up -----------------------------------------------------------------------------------


def test_an_embedding_sends_the_rows_relevance_to_the_id(tmp_path: Path) -> None:
    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": r.sum(-1)}

    check(one("Gather", fixed(x(7, 4)), np.array([[1, 3, 3], [0, 6, 2]])), way, tmp_path)


def test_an_embedding_along_another_axis(tmp_path: Path) -> None:
    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": r.sum((0, 3))}

    ids = np.array([[1, 0], [2, 2]])
    check(one("Gather", fixed(x(2, 3, 4)), ids, axis=-2), way, tmp_path)


def test_elements_of_a_table_send_relevance_to_their_ids(tmp_path: Path) -> None:
    ids = np.array([[1, 0], [2, 2]])
    check(one("GatherElements", fixed(x(3, 2)), ids), lambda case, r: {"x0": r}, tmp_path)


def test_parts_of_an_id_share_alike(tmp_path: Path) -> None:
    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": np.repeat(r.sum(-1, keepdims=True) / 2, 2, -1)}

    ids = np.array([[1, 0], [2, 2], [0, 1]])
    check(one("GatherND", fixed(x(3, 3, 4)), ids), way, tmp_path)


def test_one_hot_is_a_table(tmp_path: Path) -> None:
    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": r.sum(1)}

    values = fixed([0, 1], np.float32)
    check(one("OneHot", np.array([[1, 0], [2, 2]]), fixed(3), values, axis=1), way, tmp_path)


def test_one_hot_values_that_are_data(tmp_path: Path) -> None:
    hot = np.eye(3)[[1, 0, 2, 2]]

    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": np.array([(r * (1 - hot)).sum(), (r * hot).sum()])}

    check(one("OneHot", fixed([1, 0, 2, 2]), fixed(3), x(2)), way, tmp_path)


def test_what_only_steers_takes_nothing() -> None:
    case = one("Gather", x(3, 4), np.array([2, 0]))
    got = case.explain("default", starts(case, "default"))
    assert not got.relevance["x1"].any() and got.relevance["x0"].any()


def test_routing_takes_nothing() -> None:
    """Weights looked up by TopK's indices are fixed weights: the data takes all relevance."""
    data, weights = x(1, 3), x(3, 3, 2)
    routed = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        routed (float[1, 3] x0) => (float[1, 2] y) <int64[1] k = {1}> {
            values, indices = TopK(x0, k)
            weight = Gather(w, indices)
            row = Unsqueeze(x0, k)
            product = MatMul(row, weight)
            y = Squeeze(product, k)
        }""")
    routed.graph.node[1].input[1] = "expert"
    routed.graph.node.insert(1, onnx.helper.make_node("Squeeze", ["indices", "k"], ["expert"]))
    routed.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    plain = one("MatMul", data, fixed(weights[data.argmax()]))
    r = starts(plain, "default")
    got = Explainer(routed).explain(data, start=r[0])
    assert_close(channels(got, "x0"), channels(plain.explain("default", r), "x0"), 1e-6)


# Scattering with a reduction ------------------------------------------------------------------


def scatter(reduction: str, data: Any, updates: Any) -> Case:
    return one("ScatterElements", data, fixed([1, 1, 0]), updates, reduction=reduction)


def terms_way(case: Case, r: Array) -> dict[str, Array]:
    """Default sharing by |contribution| of y = x0 with x1 added at 1, 1, 0."""
    data, updates = np.abs(case.feeds["x0"]), np.abs(case.feeds["x1"])
    mass = data + np.array([updates[2], updates[0] + updates[1], 0])
    share = r / mass
    return {"x0": data * share, "x1": updates * share[[1, 1, 0]]}


def test_scattered_sums_share_by_contribution(tmp_path: Path) -> None:
    case = scatter("add", x(3), x(3))
    r = starts(case, "default")
    got = case.explain("default", r)
    want = terms_way(case, r[0])
    for name, relevance in want.items():
        assert_close(channels(got, name), [relevance], 1e-6, name)
    for mode in MODES:
        r = starts(case, mode)
        got = case.explain(mode, r)
        check_ledger(got)
        check_compiled(case, mode, r, got, tmp_path)


def test_what_is_scattered_into_zeros_takes_all(tmp_path: Path) -> None:
    case = one(
        "ScatterND", fixed(np.zeros(4, np.float32)), fixed([[1], [1], [3]]), x(3), reduction="add"
    )
    r = starts(case, "default")
    got = case.explain("default", r)
    updates = np.abs(case.feeds["x0"])
    share = updates / np.array([updates[0] + updates[1]] * 2 + [updates[2]])
    assert_close(channels(got, "x0"), [share * r[0][[1, 1, 3]]], 1e-6)
    assert got.ledger.total().unassigned.sum() == pytest.approx(r[0][[0, 2]].sum(), abs=1e-5)
    check_compiled(case, "default", r, got, tmp_path)


def test_a_scattered_maximum_goes_to_the_winner(tmp_path: Path) -> None:
    data, updates = np.array([1, 5, 2], np.float32), np.array([5, 3, 4], np.float32)

    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": r * [0, 0.5, 1], "x1": np.array([r[1] / 2, 0, r[0]])}

    check(scatter("max", data, updates), way, tmp_path)


def test_scattered_factors_share_alike(tmp_path: Path) -> None:
    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": r / [2, 3, 1], "x1": r[[1, 1, 0]] / [3, 3, 2]}

    check(scatter("mul", x(3), x(3)), way, tmp_path)


def test_constant_factors_take_nothing_but_what_nothing_multiplies(tmp_path: Path) -> None:
    def way(case: Case, r: Array) -> dict[str, Array]:
        return {"x0": r[[1, 1, 0]] / [2, 2, 1]}

    check(scatter("mul", fixed(x(3)), x(3)), way, tmp_path)


def test_overlapping_blocks_share_by_contribution(tmp_path: Path) -> None:
    case = one("Col2Im", x(1, 4, 4), ints(3, 3), ints(2, 2))
    r = starts(case, "default")
    matrix = dense(lambda v: case.run(x0=v), case.feeds["x0"])[0]
    contributions = np.abs(matrix * case.feeds["x0"].ravel())
    want = (contributions / contributions.sum(1, keepdims=True)).T @ r[0].ravel()
    got = case.explain("default", r)
    assert_close(channels(got, "x0"), [want.reshape(1, 4, 4)], 1e-5)
    check_compiled(case, "default", r, got, tmp_path)


# Carrying nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "silent",
    [
        [link("Shape"), link("Cast", to=1)],
        [link("Greater", fixed(0, np.float32)), link("Cast", to=1)],
        [link("ArgMax", axis=1), link("Cast", to=1)],
        [link("EyeLike", dtype=1), link("Relu")],
    ],
    ids=lambda links: links[0].op_type,
)
def test_behind_what_carries_nothing_relevance_is_unassigned(silent: Sequence[Any]) -> None:
    case = chain(x(2, 3), *silent)
    r = starts(case, "default")
    got = case.explain("default", r)
    total = got.ledger.total()
    assert not got.relevance["x0"].any()
    assert total.unassigned.sum() == pytest.approx(r[0].sum(), rel=1e-5)


def test_the_same_tensor_twice_gets_both_parts() -> None:
    data = x(2, 2)
    case = one("Concat", data, data, axis=1)
    r = starts(case, "default")
    got = case.explain("default", r).relevance["x0"]
    assert_close([got], [r[0][:, :2] + r[0][:, 2:]], 1e-6)


def test_bits_and_identity_pass() -> None:
    check_passes(one("Identity", x(2, 3)))


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("places", [[1], [1, -2]])
def test_as_many_axes_are_cut_as_there_are_places(
    engine: Literal["numba", "onnxruntime"], places: list[int]
) -> None:
    """How many is not known before: so torch writes EmbeddingBag, in a loop that is unrolled."""
    proto = model(
        [node("Slice", ["x", "starts", "ends"], ["y"], "cut")],
        {"x": (FLOAT, [3, 4]), "starts": (INT64, ["k"]), "ends": (INT64, ["k"])},
        {"y": (FLOAT, [None, None])},
    )
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    feeds = {"x": x, "starts": np.array(places), "ends": np.full(len(places), 9)}
    part = x[tuple(slice(k, None) for k in places)]
    explainer = Explainer(proto, engine=engine)
    made = explainer.explain(feeds, start=2 * part, sample_axis="none")
    expected = np.zeros_like(x)
    expected[tuple(slice(k, None) for k in places)] = 2 * part
    np.testing.assert_array_equal(made.relevance["x"], expected)
