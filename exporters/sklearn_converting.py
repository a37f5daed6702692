"""From an estimator to a graph, by skl2onnx, around its gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.sklearn_graphs import (
    guard_powers,
    label_by_scores,
    settle_discriminants,
    settle_outputs,
)
from backtrace_onnx.exporters.sklearn_parts import parts
from backtrace_onnx.model.sessions import first_line

ML_OPSET = 3
_LOCALES = (None, "C.UTF-8", "C")  # None: en_US, which small machines do not have
_REFUSED_SETTINGS = {  # what these say of transform, skl2onnx refuses for predictions, too
    "VotingClassifier": ("flatten_transform", False),
    "RandomTreesEmbedding": ("sparse_output", False),
    "KBinsDiscretizer": ("encode", "onehot-dense"),
}


def convert(model: Any, types: Sequence[Any], opset: int) -> onnx.ModelProto:
    """The graph, with tensors as outputs.

    Raises ExportError where an estimator has no converter, or is not fitted.
    """
    trouble: Exception | None = None
    for options in _choices(model):
        try:
            with _settings(model), _whole_numbers():
                proto = _to_onnx(model, types, opset, options)
        except Exception as error:  # skl2onnx and scikit-learn raise many types
            if trouble is None or "Option 'zipmap' not in" in str(trouble):
                trouble = error
            continue
        settle_outputs(proto)
        settle_discriminants(proto, model)
        guard_powers(proto, model)
        label_by_scores(proto)
        if not _lowers_texts(proto) or _loads(proto):
            return proto
        last = proto
    if trouble is None:
        return last
    raise ExportError(
        f"skl2onnx cannot convert {type(model).__name__}: {_reason(trouble)}"
    ) from None


def _to_onnx(model: Any, types: Sequence[Any], opset: int, options: Any) -> onnx.ModelProto:
    proto: onnx.ModelProto = import_module("skl2onnx").to_onnx(
        model,
        initial_types=list(types),
        target_opset={"": opset, "ai.onnx.ml": ML_OPSET},
        options=options or None,
    )
    return proto


def _choices(model: Any) -> Iterator[dict[int, dict[str, Any]]]:
    """Options to try: tensors instead of maps where the converter knows them, and locales."""
    readers = [part for part in parts(model) if hasattr(part, "build_tokenizer")]
    steps: dict[int, dict[str, Any]] = {
        id(part): {} for part in parts(model) if hasattr(part, "decision_function")
    }
    zipped: list[dict[int, dict[str, Any]]] = [{}, steps]  # named: pipelines add none of their own
    scoring = {id(part): {"raw_scores": True, "zipmap": False} for part in _rests(model)}
    if scoring:
        zipped.insert(0, {**steps, **scoring})
    if hasattr(model, "predict_proba"):
        zipped.insert(0, {id(model): {"zipmap": False}})
    for locale in _LOCALES if readers else _LOCALES[:1]:
        texts = {id(part): {"locale": locale} for part in readers if locale}
        yield from ({**options, **texts} for options in zipped)


def _rests(model: Any) -> Iterator[Any]:
    """One-vs-rest of estimators without probabilities: converters share out their scores."""
    for part in parts(model):
        several = type(part).__name__ == "OneVsRestClassifier" and hasattr(part, "estimators_")
        if several and not hasattr(part, "predict_proba"):
            yield part


def _lowers_texts(proto: onnx.ModelProto) -> bool:
    return any(node.op_type == "StringNormalizer" for node in proto.graph.node)


def _loads(proto: onnx.ModelProto) -> bool:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    except Exception:  # onnxruntime raises many types
        return False
    return True


@contextmanager
def _settings(model: Any) -> Iterator[None]:
    """Settings that change no prediction, meanwhile as skl2onnx wants them."""
    before: list[tuple[Any, str, Any]] = []
    for part in parts(model):
        name, value = _REFUSED_SETTINGS.get(type(part).__name__, ("", None))
        encoder = getattr(part, "one_hot_encoder_", None) if name == "sparse_output" else None
        ordinal = getattr(part, "encode", "") == "ordinal"
        for holder in (part, encoder):
            if name and holder is not None and not ordinal:
                before.append((holder, name, getattr(holder, name)))
                setattr(holder, name, value)
    for part in _rests(model):
        before.append((part, "estimators_", part.estimators_))
        part.estimators_ = [_plain(inner) for inner in part.estimators_]
    try:
        yield
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)


def _plain(estimator: Any) -> Any:
    """The same scores by another estimator, where skl2onnx expects one column and writes two."""
    if type(estimator).__name__ != "LinearSVC":
        return estimator
    made = import_module("sklearn.linear_model").RidgeClassifier()
    made.coef_, made.intercept_ = estimator.coef_, np.atleast_1d(estimator.intercept_)
    made.classes_, made.n_features_in_ = estimator.classes_, estimator.n_features_in_
    return made


@contextmanager
def _whole_numbers() -> Iterator[None]:
    """skl2onnx writes booleans of histogram trees where onnx now takes integers only."""
    module: Any = import_module("skl2onnx.common.tree_ensemble")
    add = module.add_node

    def whole(*args: Any, nodes_missing_value_tracks_true: Any = 0, **kwargs: Any) -> Any:
        missing = int(nodes_missing_value_tracks_true)
        return add(*args, nodes_missing_value_tracks_true=missing, **kwargs)

    module.add_node = whole
    try:
        yield
    finally:
        module.add_node = add


def _reason(error: Exception) -> str:
    """What a converter says, the first line; without the attributes of a node."""
    line = first_line(error)
    return line.partition(" and attributes=")[0]
