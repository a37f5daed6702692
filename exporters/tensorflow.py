"""From Keras models, SavedModels and TFLite files to .onnx, by tf2onnx."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from backtrace_onnx.exporters.comparing import ExpectedAnswers
from backtrace_onnx.exporters.exported import Exported
from backtrace_onnx.exporters.extras import need
from backtrace_onnx.exporters.repairing import check_opset
from backtrace_onnx.exporters.writing import publish, staging

OPSET = 18
_NEWEST = 18  # that tf2onnx writes
_REMEDY = (
    "tf2onnx translated an operator wrongly (try another opset or version of it), or both round "
    "differently: raise the tolerance (--tolerance) where the difference is small enough for you"
)
_ROUNDED = (
    "The file is quantised, and its interpreter rounds at every layer. Raise the tolerance "
    "(--tolerance) where the difference is small enough for you, or export the model it was "
    "quantised from"
)


def from_keras(
    model: Any,
    path: str | os.PathLike[str],
    *,
    example: Any = None,
    opset: int = OPSET,
    verify: bool = True,
    tolerance: float | None = None,
) -> Exported:
    """Write a Keras model, as it predicts, as an .onnx file that computes the same.

    Args:
        model: a Keras 3 model on the TensorFlow backend.
        path: the file to write. Weights over 2 GB together go to `<path>.data`.
        example: inputs as the model takes them; needed where the model was never called, and good
            for the verification where inputs are ids or otherwise limited.
        verify: compare with onnxruntime on the example, or random inputs, of several batch sizes.
        tolerance: largest difference relative to an output's largest value; default 1e-4.

    Raises:
        ExportError: the model cannot be exported, or the file computes something else; then
            nothing is written.
    """
    _needed("from_keras")
    check_opset(opset, _NEWEST, "tf2onnx")
    from backtrace_onnx.exporters import tf_graphs
    from backtrace_onnx.exporters.keras_models import Prediction

    prediction = Prediction(model, example)
    with staging(path) as staged:
        with prediction.stating_layers():
            proto = tf_graphs.convert(prediction.graph(), opset, large=prediction.large)
        prediction.state_layers(proto)
        reference = ExpectedAnswers(
            prediction.run, prediction.feeds, tolerance=tolerance, remedy=_REMEDY
        )
        return publish(proto, Path(path), staged, "tf2onnx (Keras)", reference if verify else None)


def from_saved_model(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    example: Any = None,
    signature: str = "serving_default",
    opset: int = OPSET,
    verify: bool = True,
    tolerance: float | None = None,
) -> Exported:
    """Write a signature of a TensorFlow SavedModel as an .onnx file that computes the same.

    `example` is arrays by the signature's input names, or one array where there is one input;
    without it random numbers are compared. The other arguments, and what is raised, are those of
    `from_keras`.
    """
    _needed("from_saved_model")
    check_opset(opset, _NEWEST, "tf2onnx")
    from backtrace_onnx.exporters import tf_graphs
    from backtrace_onnx.exporters.saved_models import Signature

    loaded = Signature(Path(folder), signature, example)
    with staging(path) as staged:
        proto = tf_graphs.convert(loaded.graph(), opset, large=loaded.large)
        reference = ExpectedAnswers(loaded.run, loaded.feeds, tolerance=tolerance, remedy=_REMEDY)
        return publish(
            proto, Path(path), staged, "tf2onnx (SavedModel)", reference if verify else None
        )


def from_tflite(
    file: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    example: Any = None,
    opset: int = OPSET,
    verify: bool = True,
    tolerance: float | None = None,
) -> Exported:
    """Write a TFLite file as an .onnx file that computes the same.

    Inputs and outputs have the names of the file's signature, where there is one. Recurrent layers
    need a file that was converted for a fixed batch. Quantised files are compared with a tolerance
    of 5 %, as their interpreter rounds at every layer; quantised outputs become the numbers that
    they stand for, and activations of 16 bits need opset 21. `notes` of what is handed back says
    so. The other arguments, and what is raised, are those of `from_saved_model`.
    """
    _needed("from_tflite")
    check_opset(opset, _NEWEST, "tf2onnx")
    from backtrace_onnx.exporters import tflite_quantised
    from backtrace_onnx.exporters.tflite_files import Lite

    lite = Lite(Path(file), example)
    allowed, remedy = tolerance, _REMEDY
    if lite.quantised:
        allowed, remedy = tolerance or tflite_quantised.TOLERANCE, _ROUNDED
    with staging(path) as staged:
        proto = lite.convert(opset)
        reference = ExpectedAnswers(lite.run, lite.feeds, tolerance=allowed, remedy=remedy)
        made = publish(proto, Path(path), staged, "tf2onnx (TFLite)", reference if verify else None)
    if lite.quantised and verify and tolerance is None:
        lite.notes.append(
            f"the file is quantised, and its interpreter rounds at every layer: differences up to "
            f"{allowed:.0%} were allowed (--tolerance asks for another limit)"
        )
    return replace(made, notes=tuple(lite.notes))


def _needed(doing: str) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
    need("tensorflow", "tensorflow", doing)
    need("tf2onnx", "tensorflow", doing)
