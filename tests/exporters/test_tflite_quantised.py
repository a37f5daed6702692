"""Quantised TFLite files, and files of other runtimes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from backtrace_onnx import ExportError
from backtrace_onnx.exporters import from_tflite
from tests.checks import check_ledger

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow")
    pytest.importorskip("tf2onnx")
    from backtrace_onnx.exporters import tflite_quantised

pytestmark = pytest.mark.filterwarnings("ignore")
X = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
KINDS = ("dynamic", "float16", "int8", "int8 in and out", "int16")


def converted(kind: str, *, wrong: bool = False) -> bytes:
    """Two layers, converted with one of TFLite's ways to quantise; with a layer more if `wrong`."""
    rng = np.random.default_rng(1)
    first = tf.constant(rng.standard_normal((64, 48)).astype("f") / 8)
    second = tf.constant(rng.standard_normal((48, 32)).astype("f") / 7)

    def net(x: Any) -> Any:
        y = tf.nn.relu(x @ first) @ second
        return 1.1 * y if wrong else y

    concrete = tf.function(net, [tf.TensorSpec((None, 64), name="x")]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind.startswith("int"):
        converter.representative_dataset = lambda: ([row[None]] for row in np.tile(X, (4, 1)))
    if kind == "int8 in and out":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if kind == "int16":
        wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [wide]
    return bytes(converter.convert())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A file of a kind, converted once."""
    folder = tmp_path_factory.mktemp("lite")

    def of(kind: str) -> Path:
        path = folder / f"{kind}.tflite"
        if not path.is_file():
            path.write_bytes(converted(kind))
        return path

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_files_are_exported_and_explained(
    kind: str, file: Callable[[str], Path], tmp_path: Path
) -> None:
    made = from_tflite(file(kind), tmp_path / "m.onnx")
    assert made.difference < 0.02
    told = [note for note in made.notes if "differences up to 5% were allowed" in note]
    assert len(told) == (kind != "float16")
    (name,) = made.inputs
    x = np.round(X * 20).astype(np.int8) if kind == "int8 in and out" else X
    explainer = bt.Explainer(tmp_path / "m.onnx")
    for mode in ("default", "epsilon(absolute=1e-6)"):
        check_ledger(explainer.explain({name: x}, mode=mode))


def test_integers_come_out_as_the_numbers_they_stand_for(
    file: Callable[[str], Path], tmp_path: Path
) -> None:
    made = from_tflite(file("int8 in and out"), tmp_path / "m.onnx")
    assert all(kind.startswith("float32") for kind in made.outputs.values())
    assert "its integer outputs are given as the numbers that they stand for" in made.notes
    interpreter = tf.lite.Interpreter(str(file("int8 in and out")))
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    x = np.round(X[:1] * 20).astype(np.int8)
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    scale, zero = answer["quantization"]
    wanted = (interpreter.get_tensor(answer["index"]).astype("f") - zero) * scale
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x})[0]
    np.testing.assert_allclose(found, wanted, atol=1.01 * scale)


def test_what_is_allowed_is_the_users_to_say(file: Callable[[str], Path], tmp_path: Path) -> None:
    """A narrow tolerance is refused, and the refusal blames the rounding and names the option."""
    path = tmp_path / "m.onnx"
    with pytest.raises(ExportError, match=r"is quantised, and its interpreter rounds.*--tolerance"):
        from_tflite(file("dynamic"), path, tolerance=1e-6)
    made = from_tflite(file("dynamic"), path, tolerance=0.04)
    assert made.verified and not made.notes


def test_more_than_rounding_is_still_refused(
    file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is off by a tenth is no rounding."""
    import tf2onnx

    other = tmp_path / "other.tflite"
    other.write_bytes(converted("dynamic", wrong=True))
    right = tf2onnx.convert.from_tflite
    monkeypatch.setattr(
        tf2onnx.convert, "from_tflite", lambda _, **options: right(str(other), **options)
    )
    with pytest.raises(ExportError, match="computes something else"):
        from_tflite(file("dynamic"), tmp_path / "m.onnx")


def with_custom_operator(name: str, path: Path) -> Path:
    """A file whose second operator is a custom one of this name."""
    from tensorflow.lite.tools import flatbuffer_utils

    concrete = tf.function(
        lambda x: tf.nn.relu(x @ tf.ones((4, 3))) + 1.0, [tf.TensorSpec((1, 4), name="x")]
    ).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(converter.convert()))
    code = model.operatorCodes[-1]
    code.builtinCode = code.deprecatedBuiltinCode = 32
    code.customCode = name.encode()
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Convolution2DTransposeBias", "MediaPipe's own runtime has it"),
        ("edgetpu-custom-op", "compiled for an Edge TPU"),
        ("FlexErf", "SELECT_TF_OPS"),
        ("AcmeTwist", "belongs to another runtime"),
    ],
)
def test_operators_of_other_runtimes_are_named_with_a_way_out(
    name: str, words: str, tmp_path: Path
) -> None:
    path = with_custom_operator(name, tmp_path / "m.tflite")
    assert tflite_quantised.custom_operators(path) == [name]
    with pytest.raises(ExportError, match=rf"custom operator {name}: .*{words}.*export") as caught:
        from_tflite(path, tmp_path / "m.onnx")
    assert "m.tflite" in str(caught.value) and not (tmp_path / "m.onnx").exists()
