"""Numbers made of comparisons of one tensor are data; masks and gates are not."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.graph.operator_families import BINS
from tests.graphs import BOOL, FLOAT, INT64, model, node, normal

Engine = Literal["numba", "onnxruntime"]
ENGINES: tuple[Engine, ...] = ("numba", "onnxruntime")
EDGES = np.array([-0.5, 0.0, 0.5], np.float32)
W, TABLE = normal(3, 2, seed=1), normal(4, 2, seed=2)
X = np.array([[-1.0, 0.3, 2.0], [0.1, -0.2, 0.7]], np.float32)
CONSTANTS: dict[str, npt.NDArray[Any]] = {
    "zero": np.zeros((), np.float32),
    "one": np.ones((), np.float32),
    "minus": -np.ones((), np.float32),
    "edges": EDGES,
    "last": np.array([-1]),
    "middle": np.array([1]),
    "w": W,
    "table": TABLE,
}


def network(nodes: list[onnx.NodeProto], width: int = 3) -> onnx.ModelProto:
    used = {name for n in nodes for name in n.input}
    held = {name: value for name, value in CONSTANTS.items() if name in used}
    return model(nodes, {"x": (FLOAT, ["N", width])}, {"y": (FLOAT, ["N", 2])}, held)


STEP = [node("Greater", ["x", "zero"], ["g"]), node("Cast", ["g"], ["s"], "cast", to=FLOAT)]
SIGN = [node("Greater", ["x", "zero"], ["g"]), node("Where", ["g", "one", "minus"], ["s"])]
MIX = node("MatMul", ["s", "w"], ["y"], "mix")
BUCKETS = [
    node("Unsqueeze", ["x", "last"], ["u"]),
    node("Greater", ["u", "edges"], ["g"]),
    node("Cast", ["g"], ["c"], to=INT64),
    node("ReduceSum", ["c", "last"], ["place"], keepdims=0),
    node("Gather", ["table", "place"], ["rows"]),
    node("ReduceSum", ["rows", "middle"], ["y"], keepdims=0),
]


def bins(explainer: Explainer) -> list[str]:
    return [n.outputs[0] for n in explainer.graph.nodes if n.op_type == BINS]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("written", ["step", "sign"])
def test_a_step_that_is_written_out_has_the_relevance_of_what_it_makes(
    engine: Engine, target: int, written: str
) -> None:
    explainer = Explainer(network([*(STEP if written == "step" else SIGN), MIX]), engine=engine)
    found = explainer.explain(X, mode="epsilon(absolute=1e-6)", target=target)
    made = np.where(X > 0, 1, 0 if written == "step" else -1)
    np.testing.assert_allclose(found.relevance["x"], made * W[:, target], rtol=1e-4, atol=1e-6)
    assert found.ledger.total().relative_residual < 1e-6
    assert bins(explainer) == ["s"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_one_hot_vector_belongs_to_the_column_it_was_made_of(engine: Engine) -> None:
    """Thresholds of one column: relevance of all three belongs to it."""
    nodes = [
        node("Greater", ["x", "edges"], ["g"]),
        node("Cast", ["g"], ["s"], to=FLOAT),
        MIX,
    ]
    explainer = Explainer(network(nodes, width=1), engine=engine)
    x = np.array([[0.2], [3.0], [-2.0]], np.float32)
    found = explainer.explain(x, mode="epsilon(absolute=1e-6)", target=1)
    expected = ((x > EDGES) * W[:, 1]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.relevance["x"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", ["epsilon(absolute=1e-6)", "lrp(0)"])
def test_rows_looked_up_by_buckets_belong_to_what_fell_into_them(engine: Engine, mode: str) -> None:
    """torch.bucketize, and an embedding of it."""
    explainer = Explainer(network(BUCKETS), engine=engine)
    found = explainer.explain(X, mode=mode, target=0)
    places = (X[..., None] > EDGES).sum(axis=-1)
    np.testing.assert_allclose(found.relevance["x"], TABLE[places, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("nodes", [[*STEP, MIX], BUCKETS])
def test_where_slopes_are_asked_for_there_are_none(
    engine: Engine, nodes: list[onnx.NodeProto]
) -> None:
    found = Explainer(network(nodes), engine=engine).explain(X, mode="gradient")
    assert not found.relevance["x"].any()
    (warning,) = [note.text for note in found.notes if note.warning]
    assert "all slopes are 0; take mode default or contrastive" in warning


def test_a_signed_mode_names_the_flat_node() -> None:
    found = Explainer(network([*STEP, MIX])).explain(X, mode="lrp(0)")
    (warning,) = [note.text for note in found.notes if note.warning]
    assert "node 'cast' (backtrace_onnx::Bins), which is flat" in warning
    assert "use mode default or contrastive" in warning


@pytest.mark.parametrize(
    "nodes",
    [
        [*STEP, node("Mul", ["s", "x"], ["d"]), node("MatMul", ["d", "w"], ["y"])],
        [*STEP, node("Add", ["s", "x"], ["d"]), node("MatMul", ["d", "w"], ["y"])],
        [*STEP, node("Softmax", ["s"], ["d"]), node("MatMul", ["d", "w"], ["y"])],
        [
            node("Greater", ["x", "zero"], ["g"]),
            node("Where", ["g", "x", "zero"], ["d"]),
            node("MatMul", ["d", "w"], ["y"]),
        ],
        [
            node("ReduceMax", ["x", "last"], ["m"]),
            node("Equal", ["x", "m"], ["g"]),
            node("Cast", ["g"], ["s"], to=FLOAT),
            MIX,
        ],
    ],
)
def test_gates_masks_and_comparisons_of_data_are_no_bins(nodes: list[onnx.NodeProto]) -> None:
    assert not bins(Explainer(network(nodes)))


@pytest.mark.parametrize("engine", ENGINES)
def test_masks_that_are_inputs_stay_masks(engine: Engine) -> None:
    proto = model(
        [node("Cast", ["m"], ["s"], to=FLOAT), node("Mul", ["s", "x"], ["d"]),
         node("MatMul", ["d", "w"], ["y"])],
        {"x": (FLOAT, ["N", 3]), "m": (BOOL, ["N", 3])},
        {"y": (FLOAT, ["N", 2])},
        {"w": W},
    )  # fmt: skip
    explainer = Explainer(proto, engine=engine)
    found = explainer.explain({"x": X, "m": X > 0})
    assert not bins(explainer) and not found.relevance["m"].any()


@pytest.mark.parametrize(
    "mode", ["default", "contrastive", "epsilon(absolute=1e-6)", "lrp", "gradient"]
)
@pytest.mark.parametrize("engine", ENGINES)
def test_where_every_way_ends_the_note_names_the_node(engine: Engine, mode: str) -> None:
    """A softmax of truths is nobody's number: no mode reaches the inputs, and none is advised."""
    nodes = [*STEP, node("Softmax", ["s"], ["d"]), node("MatMul", ["d", "w"], ["y"], "mix")]
    found = Explainer(network(nodes), engine=engine).explain(X, mode=mode)
    (warning,) = [note.text for note in found.notes if note.warning]
    assert "depends on them through node 'g' (Greater) only" in warning
    assert "use mode" not in warning and "mix" not in warning
