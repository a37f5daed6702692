"""The estimators of LightGBM and XGBoost, told to skl2onnx."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.sklearn_parts import parts


def register(model: Any) -> None:
    """Tell skl2onnx of LightGBM's and XGBoost's estimators, where the model holds one.

    Raises ExportError where their converter is not installed.
    """
    found = {type(part).__module__.partition(".")[0] for part in parts(model)}
    for package in sorted(found & _BOOSTED.keys()):
        if find_spec("onnxmltools") is None:
            raise ExportError(
                f"models of {package} need onnxmltools. Type: pip install 'backtrace-onnx[sklearn]'"
            )
        _BOOSTED[package]()


def _register_lightgbm() -> None:
    lightgbm = import_module("lightgbm")
    convert = import_module("onnxmltools.convert.lightgbm.operator_converters.LightGbm")
    shapes = _shapes()
    for kind, alias, shape in (
        ("LGBMClassifier", "LightGbmLGBMClassifier", shapes[0]),
        ("LGBMRegressor", "LightGbmLGBMRegressor", shapes[1]),
    ):
        _update(getattr(lightgbm, kind), alias, shape, convert.convert_lightgbm)


def _register_xgboost() -> None:
    xgboost = import_module("xgboost")
    convert = import_module("onnxmltools.convert.xgboost.operator_converters.XGBoost")
    shapes = _shapes()
    for kind, alias, shape in (
        ("XGBClassifier", "XGBoostXGBClassifier", shapes[0]),
        ("XGBRFClassifier", "XGBoostXGBRFClassifier", shapes[0]),
        ("XGBRegressor", "XGBoostXGBRegressor", shapes[1]),
        ("XGBRFRegressor", "XGBoostXGBRFRegressor", shapes[1]),
    ):
        _update(getattr(xgboost, kind), alias, shape, convert.convert_xgboost)


_BOOSTED = {"lightgbm": _register_lightgbm, "xgboost": _register_xgboost}


def _shapes() -> tuple[Any, Any]:
    found = import_module("skl2onnx.common.shape_calculator")
    return (
        found.calculate_linear_classifier_output_shapes,
        found.calculate_linear_regressor_output_shapes,
    )


def _update(kind: type, alias: str, shapes: Any, convert: Any) -> None:
    options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    import_module("skl2onnx").update_registered_converter(
        kind, alias, shapes, convert, options=options if "Classifier" in alias else None
    )
