"""From scikit-learn, LightGBM and XGBoost to .onnx, by skl2onnx and onnxmltools."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from backtrace_onnx.exporters.comparing import Array, ExpectedAnswers, Feeds
from backtrace_onnx.exporters.exported import Exported, ExportWarning
from backtrace_onnx.exporters.extras import need
from backtrace_onnx.exporters.repairing import check_opset
from backtrace_onnx.exporters.sklearn_answers import find_answer, second_score
from backtrace_onnx.exporters.sklearn_boosting import register
from backtrace_onnx.exporters.sklearn_converting import convert
from backtrace_onnx.exporters.sklearn_graphs import (
    correct_shapes,
    flatten_labels,
    name_inputs,
    turn_scores,
)
from backtrace_onnx.exporters.sklearn_parts import parts
from backtrace_onnx.exporters.sklearn_rows import ExampleRows
from backtrace_onnx.exporters.training import fill_visits
from backtrace_onnx.exporters.writing import publish, staging

OPSET = 18
_REMEDY = (
    "Either its converter is wrong, or the model needs float64 where ONNX computes in float32; "
    "scale the features, or raise the tolerance (--tolerance) where that is small enough for you"
)
_UNCOUNTED = (
    "what training counted is not known of {} of {} trees, so that explanations take leaves to be "
    "equally likely; count them with backtrace_onnx.count_visits(path, inputs)"
)
_ENCODERS = ("categories_", "n_categories_", "vocabulary_")


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
        example: some rows: an array of numbers or of texts, which becomes the input `features`, or
            a table with named columns (a DataFrame, or arrays by name), each of which becomes an
            input. A list of texts is one column.
        verify: compare with onnxruntime on the rows and on random ones; numbers are compared as
            float32, in which the file computes. Categories are drawn from the rows.
        tolerance: largest difference relative to an output's largest value; default 1e-4.

    Classifiers have the outputs `label` and `probabilities`; without probabilities the latter are
    the scores of `decision_function`, of two classes behind their negative. Trees get the counts of
    their training (scikit-learn's and LightGBM's samples, XGBoost's cover), which explanations
    weigh leaves by.

    Warns:
        ExportWarning where trees are not found again in the estimator.

    Raises:
        ExportError: there is no converter, or the file computes something else; then nothing is
            written.
    """
    need("sklearn", "sklearn", "from_sklearn")
    skl2onnx = need("skl2onnx", "sklearn", "from_sklearn")
    check_opset(opset, int(skl2onnx.__max_supported_opset__), "skl2onnx")
    rows = ExampleRows(example)
    with staging(path) as staged, _quiet():
        register(model)
        proto = convert(model, rows.types(), opset)
        name_inputs(proto, list(rows.feeds))
        found, count = fill_visits(proto, model)
        _settle(model, rows, proto)
        reference = _reference(model, rows, proto, tolerance) if verify else None
        made = publish(proto, Path(path), staged, "skl2onnx", reference)
    if found < count:
        warnings.warn(_UNCOUNTED.format(count - found, count), ExportWarning, stacklevel=2)
    return made


def _looks_up(model: Any, proto: onnx.ModelProto) -> bool:
    """Whether some values are told apart only: by an encoder, or by trees that ask for equality."""
    if any(hasattr(part, name) for part in parts(model) for name in _ENCODERS):
        return True
    attributes = (a for node in proto.graph.node for a in node.attribute)
    return any(a.name == "nodes_modes" and b"BRANCH_EQ" in a.strings for a in attributes)


def _settle(model: Any, rows: ExampleRows, proto: onnx.ModelProto) -> None:
    """One label per row, scores of two classes in the order of the classes, shapes as they are."""
    found = _first_run(proto, rows.feeds)
    correct_shapes(proto, found)
    if len(found) != 2:
        return
    flatten_labels(proto, found[0])
    second = second_score(model, rows.table(rows.feeds))
    if second is not None:
        turn_scores(proto, found[1], second)


def _reference(
    model: Any, rows: ExampleRows, proto: onnx.ModelProto, tolerance: float | None
) -> ExpectedAnswers:
    answer = find_answer(model, rows.table(rows.feeds), _first_run(proto, rows.feeds))
    return ExpectedAnswers(
        lambda feeds: answer(rows.table(feeds)),
        rows.feeds,
        tolerance=tolerance,
        jumps=True,
        remedy=_REMEDY,
        trials=partial(rows.trials, categories=_looks_up(model, proto)),
    )


def _first_run(proto: onnx.ModelProto, feeds: Feeds) -> list[Array]:
    """What the file answers, for its shapes; nothing where it does not run, which is told later."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return [np.asarray(y) for y in session.run(None, dict(feeds))]
    except Exception:  # onnxruntime raises many types
        return []


@contextmanager
def _quiet() -> Iterator[None]:
    """Talk of the converters, and of estimators about names of columns, left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
