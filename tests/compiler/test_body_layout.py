"""Convolutions in bodies of Scans: what onnxruntime makes of them, and where weights lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.compiler.body_layout import lay_out_bodies
from tests.graphs import FLOAT, model, node, normal

LINE = "integrated_gradients(steps=3)"
SMOOTH = "smoothgrad(samples=2)"


def _network(batch: int | str) -> Any:
    """Two convolutions whose biases are the same constant, as exporters write it, and a sum."""
    nodes = [
        node("Identity", ["b"], ["shared"], "same"),
        node("Conv", ["x", "V", "shared"], ["h"], "first", pads=[1, 1, 1, 1]),
        node("Relu", ["h"], ["a"], "act"),
        node("Conv", ["a", "W", "b"], ["k"], "second", pads=[1, 1, 1, 1]),
        node("Add", ["k", "a"], ["s"], "sum"),
        node("Relu", ["s"], ["r"], "act2"),
        node("GlobalAveragePool", ["r"], ["g"], "mean"),
        node("Flatten", ["g"], ["f"], "flat"),
        node("Gemm", ["f", "F"], ["y"], "fc"),
    ]
    weights = {"V": normal(16, 16, 3, 3, seed=1), "W": normal(16, 16, 3, 3, seed=2),
               "b": normal(16, seed=3), "F": normal(16, 4, seed=4)}  # fmt: skip
    shape = [batch, 16, 6, 6]
    return model(nodes, {"x": (FLOAT, shape)}, {"y": (FLOAT, [batch, 4])}, weights)


def _laid_out(path: Path) -> tuple[onnx.GraphProto, onnx.GraphProto]:
    """The graph that onnxruntime makes of a file, and the body of its Scan."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # it warns that the graph is for this machine only
    options.optimized_model_filepath = str(path.with_suffix(".optimised.onnx"))
    ort.InferenceSession(path, options)
    graph = onnx.load(options.optimized_model_filepath).graph
    (scan,) = (n for n in graph.node if n.op_type == "Scan")
    (body,) = (a.g for a in scan.attribute if a.name == "body")
    return graph, body


def _domains(graph: onnx.GraphProto) -> set[str]:
    return {n.domain for n in graph.node if n.op_type in ("Conv", "FusedConv")}


@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("mode", [LINE, SMOOTH, "gradient"])
def test_a_body_is_laid_out_as_what_lies_around_it(
    mode: str, batch: int | str, tmp_path: Path
) -> None:
    path = tmp_path / "explained.onnx"
    how: dict[str, Any] = {"target": "several"} if mode == "gradient" else {"target": 0}
    Explainer(_network(batch)).compile(path, mode=mode, **how)
    onnx.checker.check_model(str(path), full_check=True)
    graph, body = _laid_out(path)
    assert _domains(body) == _domains(graph)
    if _domains(graph) == {""}:
        pytest.skip("onnxruntime lays nothing out in blocks on this machine")
    if mode != "gradient":  # the whole walk is inside, so that next to nothing changes its layout
        assert sum(n.op_type == "ReorderOutput" for n in body.node) < 4


def test_the_file_holds_every_weight_once(tmp_path: Path) -> None:
    path = tmp_path / "explained.onnx"
    Explainer(_network("n")).compile(path, mode=LINE, target=0, baseline="zeros")
    graph = onnx.load(path).graph
    (scan,) = (n for n in graph.node if n.op_type == "Scan")
    (body,) = (a.g for a in scan.attribute if a.name == "body")
    kernels = [w for w in graph.initializer if len(w.dims) == 4 and max(w.dims) > 1]
    assert sorted(w.name for w in kernels) == ["V", "W"] and not body.initializer
    made = {name for n in body.node for name in n.output}
    convolutions = [n for n in body.node if n.op_type == "Conv"]
    assert len(convolutions) == 4
    assert all(name in made for n in convolutions for name in n.input[1:])


def test_kernels_of_other_ranks_stay_outside(tmp_path: Path) -> None:
    """onnxruntime has blocks for pictures alone."""
    nodes = [
        node("Conv", ["x", "V"], ["h"], "conv"),
        node("Tanh", ["h"], ["a"], "act"),
        node("GlobalAveragePool", ["a"], ["g"], "mean"),
        node("Flatten", ["g"], ["y"], "flat"),
    ]
    kinds = {"x": (FLOAT, [1, 16, 6])}, {"y": (FLOAT, [1, 16])}
    made = model(nodes, *kinds, {"V": normal(16, 16, 3)})
    Explainer(made).compile(path := tmp_path / "explained.onnx", mode=LINE, target=0)
    (scan,) = (n for n in onnx.load(path).graph.node if n.op_type == "Scan")
    (body,) = (a.g for a in scan.attribute if a.name == "body")
    assert any("V" in n.input for n in body.node if n.op_type == "Conv")


def test_names_of_a_body_are_its_own() -> None:
    """A body may call a tensor of its own as one around it is called."""
    kernel = normal(16, 16, 1, 1)
    inside = onnx.helper.make_graph(
        [node("Conv", ["x", "W"], ["mine"], "own"), node("Conv", ["x", "V"], ["other"], "outer")],
        "branch",
        [],
        [],
        [onnx.numpy_helper.from_array(kernel, "W")],
    )
    nodes = [node("If", ["c"], ["y"], "if", then_branch=inside, else_branch=inside)]
    lay_out_bodies(nodes, {"W": kernel, "V": kernel}, EmitOps("float32"))
    for body in (a.g for a in nodes[0].attribute):
        own, outer = (n for n in body.node if n.op_type == "Conv")
        assert own.input[1] == "W" and outer.input[1] == body.node[0].output[0]
        assert body.node[0].op_type == "Reshape" and body.node[0].input[0] == "V"


@pytest.mark.parametrize("op_type", ["RandomNormalLike", "Abs"])
def test_what_is_drawn_is_drawn_once(op_type: str) -> None:
    """A kernel that is drawn would be another inside; one that is computed is the same."""
    inside = onnx.helper.make_graph([node("Conv", ["x", "k"], ["h"], "conv")], "branch", [], [])
    nodes = [
        node(op_type, ["W"], ["k"], "kernel"),
        node("If", ["c"], ["y"], "if", then_branch=inside, else_branch=inside),
    ]
    lay_out_bodies(nodes, {"W": normal(16, 16, 1, 1)}, EmitOps("float32"))
    operators = [[n.op_type for n in a.g.node] for a in nodes[1].attribute]
    assert operators == [["Abs", "Conv"] if op_type == "Abs" else ["Conv"]] * 2


@pytest.mark.parametrize("mode", [LINE, SMOOTH])
def test_weights_that_are_parts_of_one_are_made_inside_under_names_of_their_own(
    mode: str, tmp_path: Path
) -> None:
    nodes = [
        node("Split", ["W"], ["W1", "W2"], "parts", axis=0, num_outputs=2),
        node("Conv", ["x", "W1"], ["h"], "first", pads=[1, 1, 1, 1]),
        node("Tanh", ["h"], ["a"], "act"),
        node("Conv", ["a", "W2"], ["k"], "second", pads=[1, 1, 1, 1]),
        node("Tanh", ["k"], ["r"], "act2"),
        node("GlobalAveragePool", ["r"], ["g"], "mean"),
        node("Flatten", ["g"], ["y"], "flat"),
    ]
    shape = ["n", 8, 6, 6]
    weights = {"W": normal(16, 8, 3, 3, seed=1)}
    made = model(nodes, {"x": (FLOAT, shape)}, {"y": (FLOAT, ["n", 8])}, weights)
    x = normal(2, 8, 6, 6, seed=2)
    Explainer(made).compile(tmp_path / "m.onnx", mode=mode, target=1)
    found = ort.InferenceSession(tmp_path / "m.onnx").run(["relevance/x"], {"x": x})[0]
    want = Explainer(made).explain(x, mode=mode, target=1).relevance["x"]
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-5)
