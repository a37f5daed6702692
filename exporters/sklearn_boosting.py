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
        _register(package)


_BOOSTED = {  # converter of onnxmltools, and what it calls each estimator
    "lightgbm": (
        "lightgbm.operator_converters.LightGbm:convert_lightgbm",
        {
            "LGBMClassifier": "LightGbmLGBMClassifier",
            "LGBMRegressor": "LightGbmLGBMRegressor",
        },
    ),
    "xgboost": (
        "xgboost.operator_converters.XGBoost:convert_xgboost",
        {
            "XGBClassifier": "XGBoostXGBClassifier",
            "XGBRFClassifier": "XGBoostXGBRFClassifier",
            "XGBRegressor": "XGBoostXGBRegressor",
            "XGBRFRegressor": "XGBoostXGBRFRegressor",
        },
    ),
}


def _register(package: str) -> None:
    """Tell skl2onnx of a package's estimators, their converter and what shapes they return."""
    converter, aliases = _BOOSTED[package]
    module, _, function = converter.partition(":")
    convert = getattr(import_module(f"onnxmltools.convert.{module}"), function)
    found = import_module("skl2onnx.common.shape_calculator")
    for kind, alias in aliases.items():
        task = "classifier" if "Classifier" in kind else "regressor"
        shapes = getattr(found, f"calculate_linear_{task}_output_shapes")
        _update(getattr(import_module(package), kind), alias, shapes, convert)


def _update(kind: type, alias: str, shapes: Any, convert: Any) -> None:
    options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    import_module("skl2onnx").update_registered_converter(
        kind, alias, shapes, convert, options=options if "Classifier" in alias else None
    )
