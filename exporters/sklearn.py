"""From scikit-learn, LightGBM and XGBoost to .onnx, by skl2onnx and onnxmltools."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.comparing import Array, Feeds, Reference
from backtrace_onnx.exporters.exported import Exported, ExportWarning
from backtrace_onnx.exporters.extras import need
from backtrace_onnx.exporters.repairing import check_opset
from backtrace_onnx.exporters.training import fill_visits
from backtrace_onnx.exporters.writing import publish, staging
from backtrace_onnx.sessions import first_line

OPSET, ML_OPSET = 18, 3
FEATURES = "features"
_REMEDY = (
    "Either its converter is wrong, or the model needs float64 where ONNX computes in float32; "
    "scale the features, or raise the tolerance where that is small enough for you"
)
_UNCOUNTED = (
    "what training counted is not known of {} of {} trees, so that explanations take leaves to be "
    "equally likely; count them with backtrace_onnx.count_visits(path, inputs)"
)


def from_sklearn(
    model: Any,
    example: Any,
    path: str | os.PathLike[str],
    *,
    opset: int = OPSET,
    verify: bool = True,
    tolerance: float | None = None,
) -> Exported:
    """Write a fitted estimator or pipeline as an .onnx file that computes the same.

    Args:
        model: of scikit-learn, LightGBM or XGBoost, or a pipeline that holds such.
        example: some rows: an array, which becomes the input `features`, or a table with named
            columns (a DataFrame, or arrays by name), each of which becomes an input.
        verify: compare with onnxruntime on the rows and on random ones; numbers are compared as
            float32, in which the file computes.
        tolerance: largest difference relative to an output's largest value; default 1e-4.

    Classifiers have the outputs `label` and `probabilities`. Trees get the counts of their training
    (scikit-learn's and LightGBM's samples, XGBoost's cover), which explanations weigh leaves by.

    Warns:
        ExportWarning where trees are not found again in the estimator.

    Raises:
        ExportError: there is no converter, or the file computes something else; then nothing is
            written.
    """
    need("sklearn", "sklearn", "from_sklearn")
    skl2onnx = need("skl2onnx", "sklearn", "from_sklearn")
    check_opset(opset, int(skl2onnx.__max_supported_opset__), "skl2onnx")
    rows = Rows(example)
    with staging(path) as staged, _quiet():
        _register(model)
        proto = _convert(model, rows, opset)
        found, count = fill_visits(proto, model)
        reference = Reference(
            lambda feeds: rows.run(model, feeds),
            rows.feeds,
            tolerance=tolerance,
            jumps=True,
            remedy=_REMEDY,
        )
        made = publish(proto, Path(path), staged, "skl2onnx", reference if verify else None)
    if found < count:
        warnings.warn(_UNCOUNTED.format(count - found, count), ExportWarning, stacklevel=2)
    return made


class Rows:
    """Rows of an example, as the estimator and as the exported model take them."""

    def __init__(self, example: Any) -> None:
        self.columns = _columns(example)
        self._frame = hasattr(example, "columns")
        if self.columns is None:
            self.feeds: Feeds = {FEATURES: _matrix(example)}
        else:
            self.feeds = {name: _column(name, x) for name, x in self.columns.items()}

    def types(self) -> list[tuple[str, Any]]:
        """(name, type) of every input, as skl2onnx wants them."""
        return [(name, _type(name, x)) for name, x in self.feeds.items()]

    def run(self, model: Any, feeds: Feeds) -> list[Array]:
        """What the estimator answers, as the exported model's outputs."""
        given = self._table(feeds)
        if hasattr(model, "predict_proba"):
            return [np.asarray(model.predict(given)), np.asarray(model.predict_proba(given))]
        if hasattr(model, "decision_function") and hasattr(model, "classes_"):
            scores = np.asarray(model.decision_function(given))
            return [
                np.asarray(model.predict(given)),
                scores if scores.ndim > 1 else scores[:, None],
            ]
        if hasattr(model, "decision_function"):  # outliers
            answers = model.predict(given), model.decision_function(given)
            return [np.asarray(y)[:, None] for y in answers]
        if hasattr(model, "cluster_centers_"):
            return [np.asarray(model.predict(given)), np.asarray(model.transform(given))]
        if hasattr(model, "predict"):
            y = np.asarray(model.predict(given))
            return [y if y.ndim > 1 else y[:, None]]
        return [np.asarray(model.transform(given))]

    def _table(self, feeds: Feeds) -> Any:
        if self.columns is None:
            return feeds[FEATURES]
        flat = {name: x.reshape(-1) for name, x in feeds.items()}
        if not self._frame:
            return np.column_stack(list(flat.values()))
        return import_module("pandas").DataFrame(flat)


def _columns(example: Any) -> dict[str, Any] | None:
    if isinstance(example, Mapping):
        return dict(example)
    if hasattr(example, "columns"):
        return {str(name): example[name].to_numpy() for name in example.columns}
    return None


def _matrix(example: Any) -> Array:
    x = np.asarray(example)
    if x.ndim != 2 or x.dtype.kind not in "fiub" or not x.size:
        raise ExportError(
            "the example must be rows of numbers [rows, features], or a table with named columns; "
            f"this is {x.dtype}{list(x.shape)}"
        )
    return x.astype(np.float32)


def _column(name: str, values: Any) -> Array:
    x = np.asarray(values).reshape(-1, 1)
    if x.dtype.kind in "fb":
        return x.astype(np.float32)
    if x.dtype.kind in "iu":
        return x.astype(np.int64)
    if all(isinstance(v, str) for v in x.flat):
        return x.astype(object)
    raise ExportError(f"column {name!r} holds neither numbers nor texts alone")


def _type(name: str, x: Array) -> Any:
    types = import_module("skl2onnx.common.data_types")
    kinds = {"f": "FloatTensorType", "i": "Int64TensorType", "O": "StringTensorType"}
    return getattr(types, kinds[x.dtype.kind])([None, x.shape[1]])


def _convert(model: Any, rows: Rows, opset: int) -> onnx.ModelProto:
    """Raises ExportError where an estimator has no converter, or is not fitted."""
    skl2onnx = import_module("skl2onnx")
    target = {"": opset, "ai.onnx.ml": ML_OPSET}
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    try:
        proto: onnx.ModelProto = skl2onnx.to_onnx(
            model, initial_types=rows.types(), target_opset=target, options=options
        )
    except Exception as error:  # skl2onnx and scikit-learn raise many types
        raise ExportError(
            f"skl2onnx cannot convert {type(model).__name__}: {first_line(error)}"
        ) from None
    return proto


def _register(model: Any) -> None:
    """Tell skl2onnx of LightGBM's and XGBoost's estimators, where the model holds one."""
    found = {type(part).__module__.partition(".")[0] for part in _parts(model)}
    for package in sorted(found & _BOOSTED.keys()):
        if find_spec("onnxmltools") is None:
            raise ExportError(
                f"models of {package} need onnxmltools. Type: pip install 'backtrace-onnx[sklearn]'"
            )
        _BOOSTED[package]()


def _parts(model: Any) -> Iterator[Any]:
    """An estimator and those inside of it."""
    yield model
    inner: Sequence[Any] = []
    if hasattr(model, "get_params"):
        inner = [v for v in model.get_params(deep=True).values() if hasattr(v, "get_params")]
    yield from inner


def _register_lightgbm() -> None:
    lightgbm = import_module("lightgbm")
    convert = import_module("onnxmltools.convert.lightgbm.operator_converters.LightGbm")
    shapes = _shapes()
    _update(lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", shapes[0], convert.convert_lightgbm)
    _update(lightgbm.LGBMRegressor, "LightGbmLGBMRegressor", shapes[1], convert.convert_lightgbm)


def _register_xgboost() -> None:
    xgboost = import_module("xgboost")
    convert = import_module("onnxmltools.convert.xgboost.operator_converters.XGBoost")
    shapes = _shapes()
    _update(xgboost.XGBClassifier, "XGBoostXGBClassifier", shapes[0], convert.convert_xgboost)
    _update(xgboost.XGBRegressor, "XGBoostXGBRegressor", shapes[1], convert.convert_xgboost)


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Talk of the converters, and of estimators about names of columns, left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
