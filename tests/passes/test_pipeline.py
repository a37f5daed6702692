"""From a loaded model to the graph that rules read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, InputError, ModelError, RequestError, UnsupportedError
from backtrace_onnx.model.loading import load
from backtrace_onnx.passes import pipeline
from backtrace_onnx.passes.pipeline import prepare, rewritten
from tests.graphs import FLOAT, INT64, STRING, changed, mlp, model, node, normal, unary


def test_what_runs_is_not_changed_by_joining() -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["y"])],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 3), "b": normal(3)},
    )
    prepared = prepare(load(proto))
    assert [n.op_type for n in prepared.model.proto.graph.node] == ["MatMul", "Add"]
    assert [n.op_type for n in prepared.graph().nodes] == ["MatMul"]
    assert [n.op_type for n in prepared.graph({"h"}).nodes] == ["MatMul", "Add"]


def test_inputs_nobody_reads_and_weights_nobody_reads_are_no_problem() -> None:
    proto = model(
        [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["unused"])],
        {"x": (FLOAT, ["N", 4]), "spare": (FLOAT, [2])},
        {"y": (FLOAT, ["N", 4])},
        {"idle": normal(3)},
    )
    x = {"x": normal(2, 4), "spare": np.ones(2, np.float32)}
    found = Explainer(proto).explain(x)
    assert not found.relevance["spare"].any()


def test_a_tensor_may_be_input_and_output() -> None:
    proto = model(
        [node("Relu", ["x"], ["y"])],
        {"x": (FLOAT, ["N", 4])},
        {"x": (FLOAT, ["N", 4]), "y": (FLOAT, ["N", 4])},
    )
    x = np.array([[1, -2, 3, 2]], np.float32)
    for output in (None, "x", "y"):
        found = Explainer(proto).explain(x, output=output)
        assert found.relevance["x"].tolist() == [[0, 0, 3, 0]]


def test_a_model_of_nothing_is_explained_by_its_input() -> None:
    proto = model([], {"x": (FLOAT, ["N", 4])}, {"x": (FLOAT, ["N", 4])})
    found = Explainer(proto).explain(np.array([[1, 5, 3, 2]], np.float32))
    assert found.relevance["x"].tolist() == [[0, 5, 0, 0]]


def test_a_sequence_input_takes_a_list() -> None:
    proto = model(
        [node("SequenceAt", ["s", "i"], ["y"])],
        {"i": (INT64, [])},
        {"y": (FLOAT, None)},
    )
    kind = onnx.helper.make_sequence_type_proto(onnx.helper.make_tensor_type_proto(FLOAT, [2]))
    proto.graph.input.append(onnx.helper.make_value_info("s", kind))
    explainer = Explainer(proto)
    found = explainer.explain({"i": np.array(0), "s": [np.ones(2, np.float32)]})
    assert found.relevance["s/0"].tolist() == [1, 0]
    with pytest.raises(InputError, match="input 's' takes a list of arrays, not ndarray"):
        explainer.explain({"i": np.array(0), "s": np.ones(2, np.float32)})


def test_an_invalid_node_is_a_model_error() -> None:
    def empty(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].attribute.add(name="alpha")

    with pytest.raises(ModelError, match="attribute 'alpha' of node 'fc1' has no value"):
        Explainer(changed(empty))

    def wrong(proto: onnx.ModelProto) -> None:
        text = onnx.helper.make_attribute("alpha", ["a"])
        proto.graph.node[0].attribute.append(text)

    with pytest.raises(ModelError, match="'fc1' is no valid Gemm"):
        Explainer(changed(wrong))


def test_text_and_integers_carry_relevance_as_positions_only() -> None:
    proto = model(
        [node("Cast", ["x"], ["y"], to=FLOAT)], {"x": (INT64, ["N", 3])}, {"y": (FLOAT, ["N", 3])}
    )
    found = Explainer(proto).explain(np.array([[1, 7, 2]]))
    assert found.relevance["x"].tolist() == [[0, 7, 0]]
    assert found.relevance["x"].dtype == np.float32
    text = unary("StringNormalizer", (STRING, ["N"]), (STRING, ["N"]))
    with pytest.raises(RequestError, match="no output of the model is a floating-point tensor"):
        Explainer(text).explain(np.array(["a"]))


def test_shapes_that_are_not_declared_are_asked_for() -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, None)},
        {"y": (FLOAT, None)},
        {"w": normal(4, 3)},
    )
    with pytest.raises(UnsupportedError, match="declare the shapes of the model's inputs"):
        Explainer(proto)


def test_a_dead_branch_may_hold_what_has_no_rule() -> None:
    proto = mlp(domains={"my": 1})
    proto.graph.node.append(node("Odd", ["a"], ["odd"], "odd", domain="my"))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("odd", FLOAT, None))
    with pytest.raises(ModelError, match="Odd"):  # onnxruntime does not know it either
        Explainer(proto)


@pytest.mark.parametrize(("opset", "times"), [(18, 1), (13, 2)])  # older files are converted once
def test_a_model_is_rewritten_and_folded_once(
    opset: int, times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: Counter[str] = Counter()

    def counting(name: str) -> None:
        function = getattr(pipeline, name)

        def counted(given: Any) -> Any:
            calls[name] += 1
            return function(given)

        monkeypatch.setattr(pipeline, name, counted)

    for name in ("rewritten", "fold", "infer"):
        counting(name)
    monkeypatch.setattr("backtrace_onnx.engines.prepared_model.rewritten", pipeline.rewritten)
    proto = model(
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Add", ["h", "b"], ["z"]),
            node("Relu", ["z"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 3), "b": normal(3)},
        opset=opset,
    )
    for engine in ("numba", "onnxruntime"):
        calls.clear()
        explainer = Explainer(proto, engine=engine)  # type: ignore[arg-type]
        for output in ("y", "h", "z"):
            explainer.explain(normal(2, 4), output=output)
            explainer.explain(normal(2, 4), output=output, mode="contrastive")
            explainer.compile(tmp_path / "made.onnx", output=output)
        assert calls == dict.fromkeys(("rewritten", "fold", "infer"), times)


def test_what_is_rewritten_stays_as_it_is() -> None:
    proto = model(
        [node("Mish", ["x"], ["m"]), node("Gelu", ["m"], ["y"], approximate="tanh")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 4])},
        opset=20,
    )
    once = rewritten(load(proto))
    again = rewritten(once)
    assert again.proto.SerializeToString() == once.proto.SerializeToString()
    assert again.weights.keys() == once.weights.keys()
