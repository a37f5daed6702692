"""A model as a function, against onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import parser

from backtrace_onnx import BlackBox, InputError, RequestError
from tests.column_models import people
from tests.graphs import FLOAT, INT64, mlp, model, node, normal


def test_it_answers_as_the_model_does_batch_by_batch() -> None:
    x = normal(7, 4)
    session = ort.InferenceSession(mlp().SerializeToString())
    wanted = session.run(None, {"x": x})[0]
    for batch in (1, 3, 64):
        np.testing.assert_allclose(BlackBox(mlp(), batch=batch)(x), wanted, rtol=1e-5, atol=1e-6)


def test_a_fixed_batch_is_filled_up() -> None:
    proto = model([node("Neg", ["x"], ["y"])], {"x": (FLOAT, [3, 2])}, {"y": (FLOAT, [3, 2])})
    x = normal(4, 2)
    assert np.array_equal(BlackBox(proto)(x), -x)


def test_one_input_and_one_output_are_meant() -> None:
    nodes = [node("Add", ["a", "b"], ["y"]), node("Sub", ["a", "b"], ["z"])]
    two = {name: (FLOAT, ["n", 2]) for name in "ab"}
    proto = model(nodes, two, {"y": (FLOAT, ["n", 2]), "z": (FLOAT, ["n", 2])})
    x, one = normal(3, 2), np.ones((1, 2), np.float32)
    assert np.array_equal(BlackBox(proto, output="z", others={"b": one})(x), x - 1)
    with pytest.raises(RequestError, match=r"leaves 2 open \(a, b\)"):
        BlackBox(proto)
    with pytest.raises(RequestError, match="no output 'w'; it has: y, z"):
        BlackBox(proto, output="w")
    with pytest.raises(InputError, match="the model cannot run on a float32"):
        BlackBox(proto, others={"b": one})(normal(3, 5))
    with pytest.raises(InputError, match="a batch of samples is needed"):
        BlackBox(proto, others={"b": one})(np.zeros((0, 2), np.float32))


def test_labels_before_probabilities_are_not_what_is_asked() -> None:
    """As skl2onnx writes classifiers."""
    proto = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18]>
        g (float[n, 3] x) => (int64[n] label, float[n, 3] p) {
            p = Softmax(x)
            label = ArgMax <axis = 1, keepdims = 0> (p)
        }"""
    )
    x = np.array([[1, 2, 3], [3, 1, 2]], np.float32)
    np.testing.assert_allclose(BlackBox(proto)(x).sum(1), 1, rtol=1e-6)
    assert BlackBox(proto, output="label")(x).tolist() == [2, 0]


def test_numbers_of_other_dtypes_are_the_models() -> None:
    """Others hand on float64, and whole numbers among them."""
    x = normal(5, 4)
    wanted = BlackBox(mlp())(x)
    assert np.array_equal(BlackBox(mlp())(x.astype(np.float64)), wanted)
    assert np.array_equal(BlackBox(mlp())(x.tolist()), wanted)
    proto = model([node("Neg", ["x"], ["y"])], {"x": (INT64, ["n", 2])}, {"y": (INT64, ["n", 2])})
    assert BlackBox(proto)(np.array([[1.0, 2.0]])).tolist() == [[-1, -2]]
    assert BlackBox(proto)(np.array([[1, 2]], np.int32)).tolist() == [[-1, -2]]
    with pytest.raises(InputError, match=r"input .x. takes int64.*, not float64"):
        BlackBox(proto)(np.array([[1.5, 2.0]]))
    with pytest.raises(InputError, match="takes float32; the value 1e"):
        BlackBox(mlp())(np.full((1, 4), 1e300))


def test_shap_and_lime_take_it() -> None:
    """With the arrays of float64 that they make."""
    lime_tabular = pytest.importorskip("lime.lime_tabular")
    shap = pytest.importorskip("shap")
    rows, box = normal(30, 4), BlackBox(mlp())
    found = shap.KernelExplainer(box, rows[:3].astype(np.float64)).shap_values(rows[5], silent=True)
    np.testing.assert_allclose(
        np.sum(found, 0), box(rows[5:6])[0] - box(rows[:3]).mean(0), rtol=1e-4, atol=1e-5
    )
    explainer = lime_tabular.LimeTabularExplainer(rows, mode="regression", random_state=0)
    made = explainer.explain_instance(rows[5], lambda x: box(x)[:, 0], num_samples=50)
    assert len(made.as_list()) == 4


def test_columns_of_a_model_with_an_input_for_each() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"job": ["cook", "pilot", "clerk"], "age": [30.0, 41.5, 64], "hours": [40, 20, 38], "z": 1}
    )
    order = [i.name for i in people().graph.input]
    feeds = {
        "age": frame[["age"]].to_numpy(np.float32),
        "hours": frame[["hours"]].to_numpy(np.int64),
        "job": frame[["job"]].to_numpy(object),
    }
    wanted = ort.InferenceSession(people().SerializeToString()).run(None, feeds)[0]
    box = BlackBox(people(), batch=2)
    np.testing.assert_allclose(box(frame), wanted, rtol=1e-6)
    np.testing.assert_allclose(box(frame[order].to_numpy(object)), wanted, rtol=1e-6)
    with pytest.raises(InputError, match="the frame has no column 'hours'"):
        box(frame.drop(columns="hours"))
    with pytest.raises(InputError, match=r"is not \[samples, 3\], a column for each input"):
        box(np.zeros((2, 4)))
    x = normal(3, 4)
    np.testing.assert_array_equal(BlackBox(mlp())(pandas.DataFrame(x)), BlackBox(mlp())(x))
