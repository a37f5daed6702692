"""What a caller may choose, and what is said where it does not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from backtrace_onnx import Explainer, RequestError
from tests.graphs import FLOAT, INT64, check_closed, mlp, model, node, normal

X = normal(3, 4, seed=5)


def _classifier() -> onnx.ModelProto:
    """As scikit-learn exports them: a label, and probabilities as a list of dicts."""
    proto = model(
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Softmax", ["h"], ["p"], axis=-1),
            node("ArgMax", ["p"], ["label"], axis=1, keepdims=0),
            node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"label": (INT64, ["N"])},
        {"w": normal(4, 3)},
        domains={"ai.onnx.ml": 3},
    )
    rows = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
    proto.graph.output.append(helper.make_value_info("z", helper.make_sequence_type_proto(rows)))
    return proto


def test_the_probabilities_behind_a_zipmap_are_explained() -> None:
    found = Explainer(_classifier()).explain(X)
    assert found.output == "p"
    assert found.outputs.keys() == {"label", "z", "p"}
    assert found.target is not None
    assert found.target.tolist() == found.outputs["label"].tolist()
    check_closed(found)


def test_outputs_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(RequestError, match="output 'label' is int64"):
        Explainer(_classifier()).explain(X, output="label")


def test_a_model_without_a_float_output_asks_for_a_tensor() -> None:
    proto = model(
        [node("Relu", ["x"], ["r"]), node("ArgMax", ["r"], ["y"])],
        {"x": (FLOAT, ["N", 4])},
        {"y": (INT64, None)},
    )
    explainer = Explainer(proto)
    with pytest.raises(
        RequestError, match=r"floating-point tensor .*\(y\); choose a tensor inside"
    ):
        explainer.explain(X)
    check_closed(explainer.explain(X, output="r"))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("x", "is an input of the model"),
        ("w", "is a constant"),
        ("yy", "did you mean 'y'"),
        ("nothing", "there are: a, h, x, y"),
        (5, "output is the name of a tensor, not 5"),
        (["y"], "output is the name of a tensor, not"),
    ],
)
def test_outputs_that_do_not_exist(output: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Explainer(mlp()).explain(X, output=output)


@pytest.mark.parametrize("output", ["h", "a", "y"])
def test_any_tensor_can_be_explained(output: str) -> None:
    found = Explainer(mlp()).explain(X, output=output)
    assert found.output == output
    check_closed(found)


@pytest.mark.parametrize(
    ("keep", "names"),
    [
        ("inputs", {"x"}),
        ("all", {"x", "h", "a", "y"}),
        (["h"], {"x", "h"}),
        ("h", {"x", "h"}),
        (("a", "y"), {"x", "a", "y"}),
        ([], {"x"}),
    ],
)
@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_what_is_kept(engine: Any, keep: Any, names: set[str]) -> None:
    found = Explainer(mlp(), engine=engine).explain(X, keep=keep)
    assert found.relevance.keys() == names
    for name in names:
        assert np.isclose(found.relevance[name].sum(), found.ledger.total().start.sum()) or (
            name in "xh"
        )


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (["hh"], "did you mean 'h'"),
        (["w"], "'w' is a constant"),
        (5, "'attention' or a list"),
        ([5], "'attention' or a list"),
        (["y"], "relevance from 'h' does not reach 'y'"),
    ],
)
def test_what_cannot_be_kept(keep: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Explainer(mlp()).explain(X, output="h", keep=keep)


def _written_out() -> onnx.ModelProto:
    """A linear layer with its bias apart, and a softmax in primitives."""
    return model(
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Add", ["h", "b"], ["shifted"]),
            node("Exp", ["shifted"], ["powers"]),
            node("ReduceSum", ["powers", "axes"], ["total"]),
            node("Div", ["powers", "total"], ["y"]),
            node("Neg", ["x"], ["unused"]),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 3), "b": normal(3), "axes": np.array([-1])},
    )


@pytest.mark.parametrize("mode", ["default", "contrastive"])
@pytest.mark.parametrize("tensors", [["h"], ("shifted", "h", "shifted"), ["y", "x"], "h", []])
def test_tensors_of_a_compiled_explanation(mode: str, tensors: Any, tmp_path: Path) -> None:
    Explainer(_written_out()).compile(tmp_path / "m.onnx", tensors=tensors, mode=mode)
    session = ort.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs() if o.name.startswith("relevance/")]
    wanted = [tensors] if isinstance(tensors, str) else list(dict.fromkeys(tensors))
    assert names == [f"relevance/{t}" for t in wanted]
    kept = Explainer(_written_out()).explain(X, keep=tensors, mode=mode).relevance
    for tensor, found in zip(wanted, session.run(names, {"x": X}) if names else (), strict=True):
        np.testing.assert_allclose(found, kept[tensor], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (["shiftd"], "tensors: the model has no tensor 'shiftd'; did you mean 'shifted'"),
        (["nope"], "no tensor 'nope'; there are: h, powers, shifted, x, y"),
        (["w"], "tensors: 'w' is a constant; .* there are: "),
        (["total"], "tensors: 'total' lies inside 'y', which is read as one operator"),
        (["unused"], "tensors: relevance from 'y' does not reach 'unused'; "),
        (5, "tensors is a list of tensor names, not 5"),
    ],
)
def test_tensors_that_cannot_be_compiled(tensors: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=message):
        Explainer(_written_out()).compile(tmp_path / "m.onnx", tensors=tensors)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf, "a", [1.0, 2.0]])
def test_a_threshold_is_a_number(value: Any, tmp_path: Path) -> None:
    if value is not None:  # in `explain` that is the default's
        with pytest.raises(RequestError, match="threshold is a finite number"):
            Explainer(mlp()).explain(X, threshold=value)
    with pytest.raises(RequestError, match="threshold is a finite number"):
        Explainer(mlp()).compile(tmp_path / "m.onnx", threshold=value)


@pytest.mark.parametrize("value", [np.nan, 0, -1, "a"])
def test_a_scaler_is_a_positive_number(value: Any, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="scaler is a positive number"):
        Explainer(mlp()).explain(X, scaler=value)
    with pytest.raises(RequestError, match="scaler is a positive number"):
        Explainer(mlp()).compile(tmp_path / "m.onnx", scaler=value)


@pytest.mark.parametrize("providers", [["NoExecutionProvider"], "NoExecutionProvider", 3, [3]])
def test_providers_that_are_not_there_are_refused(providers: Any) -> None:
    with pytest.raises(RequestError, match=r"unknown provider .*CPUExecutionProvider"):
        Explainer(mlp(), providers=providers)


def test_one_provider_may_be_given_by_its_name() -> None:
    found = Explainer(mlp(), providers="CPUExecutionProvider").explain(X)
    assert np.array_equal(found.relevance["x"], Explainer(mlp()).explain(X).relevance["x"])
