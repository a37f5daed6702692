"""Compiled explanations: what the file takes, returns, holds, and when it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

import backtrace_onnx as bt
from backtrace_onnx.compiler import saving
from backtrace_onnx.compiler.writer import build
from backtrace_onnx.model.loading import load
from backtrace_onnx.passes.pipeline import prepare
from backtrace_onnx.policies import find_method
from backtrace_onnx.targets.question import Question
from tests import graphs
from tests.graphs import FLOAT, mlp, model, normal

X = normal(5, 4, seed=3)
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
ROOT = Path(__file__).resolve().parents[2]


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _gap(got: Any, want: Any) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", [None, 1, [0, 2, 1, 1, 0]])
def test_target_is_an_optional_input(mode: str, target: Any, tmp_path: Path) -> None:
    explainer = bt.Explainer(mlp())
    explainer.compile(tmp_path / "m.onnx", mode=mode)
    session = _session(tmp_path / "m.onnx")
    feeds: dict[str, Any] = {"x": X}
    if target is not None:
        feeds["target"] = np.atleast_1d(target)
    want = explainer.explain(X, mode=mode, target=target)
    found = dict(
        zip((o.name for o in session.get_outputs()), session.run(None, feeds), strict=True)
    )
    assert _gap(found["y"], want.outputs["y"]) < 1e-6
    assert _gap(found["relevance/x"], want.relevance["x"]) < 1e-5
    if mode == "contrastive":
        assert _gap(found["positive/x"], want.positive["x"]) < 1e-5
        assert _gap(found["negative/x"], want.negative["x"]) < 1e-5


def test_batch_stays_open(tmp_path: Path) -> None:
    explainer = bt.Explainer(mlp())
    explainer.compile(tmp_path / "m.onnx")
    session = _session(tmp_path / "m.onnx")
    whole = session.run(["relevance/x"], {"x": X})[0]
    for k in range(len(X)):
        alone = session.run(["relevance/x"], {"x": X[k : k + 1]})[0]
        assert _gap(alone[0], whole[k]) < 1e-6


def test_holds_standard_operators_named_after_nodes(tmp_path: Path) -> None:
    path = ROOT / "models/mnist_cnn.onnx"
    bt.compile(path, tmp_path / "m.onnx", tensors=["image", "relu1/Relu_output"])
    made = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(made, full_check=True)
    assert {node.domain for node in made.graph.node} == {""}
    assert not made.functions
    original = {node.name for node in onnx.load(path).graph.node}
    added = [node.name for node in made.graph.node if node.name not in original]
    assert all(name.startswith("relevance/") for name in added)
    parts = {name.removeprefix("relevance/").rsplit("/", 1)[0] for name in added}
    assert {"conv1/Conv", "pool1/MaxPool", "fc2/Gemm", "start"} <= parts
    assert [o.name for o in made.graph.output][1:] == [
        "relevance/image",
        "relevance/relu1/Relu_output",
    ]


@pytest.mark.parametrize("mode", MODES)
def test_chosen_tensors_and_an_inner_output(mode: str, tmp_path: Path) -> None:
    path = ROOT / "models/mnist_cnn.onnx"
    image = normal(2, 1, 28, 28, seed=4)
    explainer = bt.Explainer(path)
    tensors = ["image", "pool1/MaxPool_output"]
    chosen: dict[str, Any] = {"output": "relu2/Relu_output", "task": "regression"}
    explainer.compile(tmp_path / "m.onnx", mode=mode, tensors=tensors, **chosen)
    found = _session(tmp_path / "m.onnx").run(
        [f"relevance/{name}" for name in tensors], {"image": image}
    )
    want = explainer.explain(image, mode=mode, keep=tensors, **chosen)
    for name, relevance in zip(tensors, found, strict=True):
        assert _gap(relevance, want.relevance[name]) < 1e-5


@pytest.mark.parametrize("task", ["regression", "bbox", "segmentation"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scaler", [None, 2.0])
def test_tasks_start_alike(task: str, mode: str, scaler: float | None) -> None:
    options: dict[str, Any] = {"task": task, "mode": mode, "scaler": scaler, "threshold": 0.1}
    eager = bt.Explainer(mlp()).explain(X, **options)
    compiled = bt.Explainer(mlp(), engine="onnxruntime").explain(X, **options)
    assert _gap(compiled.relevance["x"], eager.relevance["x"]) < 1e-5
    np.testing.assert_array_equal(compiled.target, eager.target)


@pytest.mark.parametrize("mode", MODES)
def test_onnxruntime_engine_keeps_the_same_books(mode: str) -> None:
    image = normal(2, 1, 28, 28, seed=5)
    path = ROOT / "models/mnist_cnn.onnx"
    eager = bt.explain(path, image, mode=mode, keep="all")
    compiled = bt.explain(path, image, mode=mode, keep="all", engine="onnxruntime")
    assert eager.relevance.keys() == compiled.relevance.keys()
    for name, relevance in eager.relevance.items():
        assert _gap(compiled.relevance[name], relevance) < 1e-5
    assert list(eager.ledger) == list(compiled.ledger)
    for node, entry in eager.ledger.items():
        for kind in ("incoming", "data", "constants", "unassigned"):
            got, want = getattr(compiled.ledger[node], kind), getattr(entry, kind)
            np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(entry.incoming).max())
    assert compiled.ledger.total().relative_residual < 1e-4


def test_a_ledger_takes_few_nodes_for_each_of_its_totals() -> None:
    graphs = prepare(load(ROOT / "models/mnist_cnn.onnx"))
    output = graphs.nodes.outputs[0]
    question = Question(find_method("default"), output)
    plain, booked = (build(graphs, question, ledger=ledger) for ledger in (False, True))
    totals = len(booked.proto.graph.output) - len(plain.proto.graph.output)
    more = len(booked.proto.graph.node) - len(plain.proto.graph.node)
    assert totals > len(booked.books.rows)
    assert more < 6 * totals


def test_shapes_of_relevance_are_stated_where_inference_loses_them(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Gather", ["h", "first"], ["y"], axis=1),
    ]
    x, y = {"x": (FLOAT, ["batch", 3, 4])}, {"y": (FLOAT, ["batch", 4])}
    given = model(nodes, x, y, {"first": np.array(0)})
    bt.compile(given, tmp_path / "explained.onnx", mode="contrastive")
    stated = onnx.load(tmp_path / "explained.onnx").graph.value_info
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in stated]
    assert dims.count(["batch", 3, 4]) == 2


def test_an_old_operator_set_is_brought_up(tmp_path: Path) -> None:
    old = model(
        [
            helper.make_node("Squeeze", ["x"], ["s"], axes=[2]),
            helper.make_node("Softmax", ["s"], ["y"], axis=1),
        ],
        {"x": (FLOAT, ["n", 3, 1])},
        {"y": (FLOAT, ["n", 3])},
        opset=9,
    )
    x = normal(2, 3, 1, seed=6)
    bt.compile(old, tmp_path / "m.onnx")
    found = _session(tmp_path / "m.onnx").run(["relevance/x"], {"x": x})[0]
    assert _gap(found, bt.explain(old, x).relevance["x"]) < 1e-5
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 18


def test_large_weights_lie_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "_EMBED_BYTES", 8)
    bt.compile(mlp(), tmp_path / "m.onnx")
    found = _session(tmp_path / "m.onnx").run(["relevance/x"], {"x": X})[0]
    assert _gap(found, bt.explain(mlp(), X).relevance["x"]) < 1e-5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]


def test_nothing_is_left_behind_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(bt.RequestError, match="cannot be written"):
        bt.compile(mlp(), tmp_path / "no" / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_target_is_optional_where_relevance_reaches_no_input(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "k"], ["above"]),
        helper.make_node("Cast", ["above"], ["y"], to=FLOAT),
    ]
    proto = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])}, {"k": normal(4)})
    bt.compile(proto, tmp_path / "m.onnx")
    found = _session(tmp_path / "m.onnx").run(["relevance/x"], {"x": X})[0]
    assert found.shape == X.shape and not found.any()


def test_the_model_is_not_replaced_by_its_explanation(tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")
    with pytest.raises(bt.RequestError, match="is the model itself"):
        bt.compile(tmp_path / "m.onnx", tmp_path / "m.onnx")
    with pytest.raises(bt.RequestError, match="is a folder"):
        bt.compile(tmp_path / "m.onnx", tmp_path)
    assert onnx.load(tmp_path / "m.onnx") == mlp()


def test_names_that_are_taken(tmp_path: Path) -> None:
    taken = model(
        [helper.make_node("Relu", ["target"], ["y"])],
        {"target": (FLOAT, ["n", 3])},
        {"y": (FLOAT, ["n", 3])},
    )
    with pytest.raises(bt.CompileError, match="'target' already"):
        bt.compile(taken, tmp_path / "m.onnx")
    with pytest.raises(bt.RequestError, match="no tensor 'nope'"):
        bt.compile(mlp(), tmp_path / "m.onnx", tensors=["nope"])


def test_an_output_without_a_shape(tmp_path: Path) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["n", 3])}, {})
    made.graph.output.append(onnx.ValueInfoProto(name="y"))
    bt.compile(made, tmp_path / "m.onnx")
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)


def test_an_operator_without_onnx_text_is_named(tmp_path: Path) -> None:
    unknown = model(
        [helper.make_node("Det", ["x"], ["d"]), helper.make_node("Relu", ["d"], ["y"])],
        {"x": (FLOAT, ["n", 5, 5])},
        {"y": (FLOAT, ["n"])},
    )
    explainer = bt.Explainer(unknown, on_unsupported="pass")
    with pytest.raises(bt.BacktraceError, match="Det"):
        explainer.compile(tmp_path / "m.onnx")


def test_a_bias_next_to_nothing_divides_nothing() -> None:
    tiny = np.full(3, 1e-42, np.float32)
    made = model(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 3])},
        {"w": np.zeros((2, 3), np.float32), "b": tiny},
    )
    start = np.full((1, 3), 1e3, np.float32)
    x = np.ones((1, 2), np.float32)
    for engine in ("numba", "onnxruntime"):
        found = bt.Explainer(made, engine=engine).explain(x, start=start)  # type: ignore[arg-type]
        assert np.array_equal(found.relevance["x"], np.zeros_like(x))


@pytest.mark.parametrize(("channels", "pools"), [(16, 2), (12, 0)])
def test_what_is_no_convolution_is_laid_out_for_those_that_follow(
    channels: int, pools: int, tmp_path: Path
) -> None:
    nodes = [
        graphs.node("Conv", ["x", "v"], ["g"], pads=[1, 1, 1, 1]),
        graphs.node("Relu", ["g"], ["h"]),
        graphs.node("Conv", ["h", "w"], ["k"], strides=[2, 2]),
        graphs.node("Relu", ["k"], ["a"]),
        graphs.node("GlobalAveragePool", ["a"], ["p"]),
        graphs.node("Flatten", ["p"], ["y"]),
    ]
    weights = {
        "v": normal(channels, 3, 3, 3, seed=1),
        "w": normal(channels, channels, 3, 3, seed=2),
    }
    proto = model(nodes, {"x": (FLOAT, ["n", 3, 8, 8])}, {"y": (FLOAT, ["n", channels])}, weights)
    explainer, x = bt.Explainer(proto), normal(2, 3, 8, 8, seed=3)
    explainer.compile(tmp_path / "m.onnx", mode="gradient", target=1)
    written = onnx.load(tmp_path / "m.onnx").graph.node
    own = [each for each in written if each.op_type == "AveragePool"]
    assert len(own) == pools  # behind the mean's way back, and the strided convolution's
    found = _session(tmp_path / "m.onnx").run(["relevance/x"], {"x": x})[0]
    want = explainer.explain(x, mode="gradient", target=1).relevance["x"]
    assert _gap(found, want) < 1e-5
