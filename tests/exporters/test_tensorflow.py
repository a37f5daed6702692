"""From Keras models, SavedModels and TFLite files to .onnx: right, verified, or refused."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from backtrace_onnx import ExportError
from backtrace_onnx.exporters import from_keras, from_saved_model, from_tflite, writing
from tests.results.test_modules import check_conserved

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():  # TensorFlow's own deprecations
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    pytest.importorskip("tf2onnx")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter.*:UserWarning"),
]
layers = keras.layers


@pytest.fixture(autouse=True)
def names() -> Iterator[None]:
    """Layers are numbered from the start, weights are the same every time."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    yield


def cnn() -> Any:
    """A Sequential, which has no output names, with the exact GELU."""
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3), name="image"),
            layers.Conv2D(4, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(5, activation="gelu", name="hidden", bias_initializer="random_normal"),
            layers.Dense(3, activation="softmax", name="head", bias_initializer="random_normal"),
        ]
    )
    bn = model.get_layer("bn")
    random = np.random.default_rng(0)
    bn.set_weights([random.uniform(0.5, 2, w.shape) for w in bn.get_weights()])
    return model


def recurrent(cell: Any) -> Any:
    return keras.Sequential([layers.Input((6, 8)), cell, layers.Dense(2, name="head")])


def run(path: Path, **feeds: Any) -> list[Any]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def test_a_sequential_with_exact_gelu(tmp_path: Path) -> None:
    path = tmp_path / "cnn.onnx"
    model = cnn()
    made = from_keras(model, path)
    assert list(made.inputs) == ["image"] and list(made.outputs) == ["output"]
    assert made.inputs["image"].endswith(", 8, 8, 3]") and made.verified
    assert list(tmp_path.iterdir()) == [path]
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert "Erf" in operators and "Erfc" not in operators
    x = np.random.default_rng(1).random((5, 8, 8, 3), np.float32)
    np.testing.assert_allclose(run(path, image=x)[0], model(x).numpy(), rtol=1e-4, atol=1e-5)
    assert "call" not in vars(model.get_layer("conv"))


def test_layers_are_the_modules() -> None:
    inputs = keras.Input((8, 8, 3), name="image")
    body = keras.Sequential(
        [layers.Conv2D(4, 3, name="c"), layers.BatchNormalization(), layers.ReLU(name="r")],
        name="body",
    )
    pooled = layers.GlobalAveragePooling2D(name="pool")(body(inputs))
    outputs = {
        "class": layers.Dense(2, name="one")(pooled),
        "box": layers.Dense(4, name="two")(pooled),
    }
    explainer = bt.Explainer.from_keras(keras.Model(inputs, outputs, name="net"))
    assert explainer.graph.outputs == ("box", "class")
    x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    made = explainer.explain(x, output="class")
    kinds = {path: module.kind for path, module in made.modules().items()}
    assert kinds[""] == "Functional" and kinds["body"] == "Sequential"
    assert kinds["body/c"] == "Conv2D" and kinds["one"] == "Dense" and "two" not in kinds
    assert kinds["pool"] == "GlobalAveragePooling2D"
    check_conserved(made.modules())


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_layers(kind: str, tmp_path: Path) -> None:
    made = from_keras(recurrent(getattr(layers, kind)(5)), tmp_path / "r.onnx")
    assert list(made.inputs) == ["input"] and made.difference < 1e-4


def test_grouped_convolution(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 4), name="image")
    model = keras.Model(inputs, layers.Conv2D(4, 3, groups=2, name="grouped")(inputs))
    from_keras(model, tmp_path / "g.onnx")
    assert not tf.config.functions_run_eagerly()


def test_ids_are_drawn_from_the_vocabulary_or_given(tmp_path: Path) -> None:
    inputs = keras.Input((None,), dtype="int32", name="ids")
    hidden = layers.Embedding(11, 4, name="embed")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.LSTM(3)(hidden)))
    made = from_keras(model, tmp_path / "e.onnx")
    assert made.inputs["ids"].startswith("int32[") and list(made.outputs) == ["head"]
    again = from_keras(model, tmp_path / "f.onnx", example=np.array([[1, 2, 3]]))
    assert again.inputs["ids"].startswith("int32[") and again.verified


def test_a_subclassed_model_needs_an_example(tmp_path: Path) -> None:
    class Mine(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3, name="dense")

        def call(self, x: Any, training: bool = False) -> Any:
            return self.dense(x["a"]) + x["b"]

    with pytest.raises(ExportError, match="give an example"):
        from_keras(Mine(), tmp_path / "m.onnx")
    example = {"a": np.ones((2, 4), np.float32), "b": np.ones((2, 3), np.float32)}
    made = from_keras(Mine(), tmp_path / "m.onnx", example=example)
    assert list(made.inputs) == ["a", "b"] and list(made.outputs) == ["output"]


def test_many_weights_lie_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "EMBEDDED_BYTES", 2000)
    path = tmp_path / "large.onnx"
    made = from_keras(cnn(), path)
    assert made.files == (path, tmp_path / "large.onnx.data")
    cnn().export(tmp_path / "saved", verbose=False)
    made = from_saved_model(tmp_path / "saved", path)
    assert len(made.files) == 2 and made.verified


def test_a_wrong_model_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tf2onnx

    convert = tf2onnx.convert.from_function

    def wrong(*args: Any, **options: Any) -> Any:
        proto, storage = convert(*args, **options)
        for node in proto.graph.node:
            node.op_type = "Sigmoid" if node.op_type == "Relu" else node.op_type
        return proto, storage

    monkeypatch.setattr(tf2onnx.convert, "from_function", wrong)
    with pytest.raises(ExportError, match=r"output 'output' on the example: largest difference"):
        from_keras(cnn(), tmp_path / "w.onnx")
    assert not list(tmp_path.iterdir())


def test_unknown_operators_are_listed(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Lambda(tf.math.lgamma, output_shape=(4,))(inputs))
    with pytest.raises(ExportError, match=r"does not know 1 operator.*Lgamma"):
        from_keras(model, tmp_path / "u.onnx")
    assert not list(tmp_path.iterdir())


def test_opsets_and_kinds_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"opset 20: tf2onnx and .* do 7 to 18"):
        from_keras(cnn(), tmp_path / "o.onnx", opset=20)
    with pytest.raises(ExportError, match="takes a Keras model, not str"):
        from_keras("model", tmp_path / "o.onnx")
    with pytest.raises(ExportError, match="does not run on the example"):
        from_keras(cnn(), tmp_path / "o.onnx", example=np.ones((2, 3), np.float32))


def test_saved_models(tmp_path: Path) -> None:
    model = cnn()
    model.export(tmp_path / "saved", verbose=False)
    made = from_saved_model(tmp_path / "saved", tmp_path / "s.onnx")
    assert list(made.inputs) == ["image"] and list(made.outputs) == ["output_0"]
    x = np.random.default_rng(1).random((3, 8, 8, 3), np.float32)
    found = run(tmp_path / "s.onnx", image=x)[0]
    np.testing.assert_allclose(found, model(x).numpy(), rtol=1e-4, atol=1e-5)
    paths = bt.explain(tmp_path / "s.onnx", x).modules()
    assert any("conv" in path for path in paths)
    with pytest.raises(ExportError, match="no signature 'other'; there are: serv"):
        from_saved_model(tmp_path / "saved", tmp_path / "t.onnx", signature="other")
    with pytest.raises(ExportError, match="holds no SavedModel"):
        from_saved_model(tmp_path, tmp_path / "t.onnx")
    with pytest.raises(ExportError, match=r"the inputs are \['image'\]"):
        from_saved_model(tmp_path / "saved", tmp_path / "t.onnx", example={"x": x})


def test_saved_models_of_older_optimisers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cnn().export(tmp_path / "saved", verbose=False)
    load, places = tf.saved_model.load, []

    def refusing(place: str) -> Any:
        places.append(place)
        if len(places) == 1:
            raise AttributeError("'_UserObject' object has no attribute 'add_slot'")
        return load(place)

    monkeypatch.setattr(tf.saved_model, "load", refusing)
    made = from_saved_model(tmp_path / "saved", tmp_path / "s.onnx")
    assert made.difference < 1e-4
    assert len(places) == 2 and not Path(places[1]).exists()


def test_saved_functions_that_hold_tensors(tmp_path: Path) -> None:
    held = tf.constant([[1.0, -2.0], [0.5, 3.0]])

    class Held(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def __call__(self, x: Any) -> Any:
            return {"y": tf.nn.relu(x @ held)}

    module = Held()
    tf.saved_model.save(module, str(tmp_path / "held"), signatures=module.__call__)
    made = from_saved_model(tmp_path / "held", tmp_path / "h.onnx")
    assert list(made.inputs) == ["x"]
    x = np.array([[1.0, 2.0]], np.float32)
    np.testing.assert_allclose(run(tmp_path / "h.onnx", x=x)[0], [[2.0, 4.0]])


def test_tflite(tmp_path: Path) -> None:
    model = cnn()
    model.export(tmp_path / "saved", verbose=False)
    file = tmp_path / "m.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert())
    made = from_tflite(file, tmp_path / "l.onnx")
    assert list(made.inputs) == ["image"] and list(made.outputs) == ["output_0"]
    x = np.random.default_rng(1).random((3, 8, 8, 3), np.float32)
    found = run(tmp_path / "l.onnx", image=x)[0]
    np.testing.assert_allclose(found, model(x).numpy(), rtol=1e-4, atol=1e-5)
    assert any("conv" in path for path in bt.explain(tmp_path / "l.onnx", x).modules())


def test_recurrent_tflite_with_a_fixed_batch(tmp_path: Path) -> None:
    signature = [tf.TensorSpec((2, 6, 8), tf.float32, name="x")]
    model = recurrent(layers.LSTM(5))
    model.export(tmp_path / "saved", verbose=False, input_signature=signature)
    file = tmp_path / "m.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert())
    made = from_tflite(file, tmp_path / "l.onnx")
    assert made.inputs == {"x": "float32[2, 6, 8]"} and made.verified


def test_rubbish_is_no_tflite(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"rubbish")
    with pytest.raises(ExportError, match="is no TFLite model"):
        from_tflite(tmp_path / "m.tflite", tmp_path / "l.onnx")
    with pytest.raises(ExportError, match="no such file"):
        from_tflite(tmp_path / "absent.tflite", tmp_path / "l.onnx")


def test_without_tensorflow_the_pip_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tensorflow", "tf2onnx"):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ExportError, match=r"pip install 'backtrace-onnx\[tensorflow\]'"):
            from_saved_model(tmp_path, tmp_path / "m.onnx")
