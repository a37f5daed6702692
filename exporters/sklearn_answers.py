"""What an estimator answers, as the file that skl2onnx wrote of it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from backtrace_onnx.exporters.comparing import Array

Answer = Callable[[Any], list[Array]]
"""From rows to what the estimator says of them."""


def find_answer(model: Any, rows: Any, found: Sequence[Array]) -> Answer:
    """The one of the estimator's methods whose answers are shaped like what the file returns.

    Where none is, the first one that the estimator has.
    """
    known = list(_answers(model))
    for answer in known:
        try:
            shapes = [y.shape for y in answer(rows)]
        except Exception:  # a method that the estimator has not, or that does not take these rows
            continue
        if shapes == [np.shape(z) for z in found]:
            return answer
    return known[0] if known else lambda rows: [_dense(model.transform(rows))]


def second_score(model: Any, rows: Any) -> Array | None:
    """The score of the second of two classes, [rows]; None where there are others or none."""
    if not hasattr(model, "decision_function") or hasattr(model, "predict_proba"):
        return None
    score = np.asarray(model.decision_function(rows))
    return score if score.ndim == 1 and len(getattr(model, "classes_", ())) == 2 else None


def _answers(model: Any) -> Iterator[Answer]:
    if hasattr(model, "predict_proba"):
        yield lambda rows: [_label(model, rows), _dense(model.predict_proba(rows))]
        yield lambda rows: [_label(model, rows), *map(_dense, model.predict_proba(rows))]
    if hasattr(model, "decision_function"):
        yield lambda rows: [_label(model, rows), _scores(model, rows)]
        yield lambda rows: [_label(model, rows), _both(model, rows)]
        yield lambda rows: [_label(model, rows)[:, None], _scores(model, rows)]
        yield lambda rows: [_label(model, rows), _scores(model, rows)[:, 0]]
        yield lambda rows: [_label(model, rows)[:, None], _scores(model, rows)[:, 0]]
    if getattr(_last(model), "voting", "") == "hard":
        yield lambda rows: [_label(model, rows), _votes(model, rows)]
    if hasattr(model, "predict"):
        if hasattr(model, "transform"):
            yield lambda rows: [_label(model, rows), _dense(model.transform(rows))]
        yield lambda rows: [_standing(_label(model, rows))]
    if hasattr(model, "transform"):
        yield lambda rows: [_standing(_dense(model.transform(rows)))]


def _label(model: Any, rows: Any) -> Array:
    return np.asarray(model.predict(rows))


def _scores(model: Any, rows: Any) -> Array:
    return _standing(np.asarray(model.decision_function(rows)))


def _both(model: Any, rows: Any) -> Array:
    """The scores of both classes where the estimator says that of the second: files have two."""
    score = np.asarray(model.decision_function(rows))
    votes = type(_last(model)).__name__ == "OneVsOneClassifier"  # counted from 0 to 1
    return np.stack([1 - score if votes else -score, score], axis=-1)


def _votes(model: Any, rows: Any) -> Array:
    """The share of votes of every class, which files of hard votes have for probabilities."""
    last = _last(model)
    inner = rows if last is model else model[:-1].transform(rows)
    labels = np.stack([np.asarray(part.predict(inner)) for part in last.estimators_], axis=1)
    cast = labels[:, :, None] == np.arange(len(last.classes_))
    return np.asarray(np.average(cast, axis=1, weights=last.weights))


def _last(model: Any) -> Any:
    return model[-1] if hasattr(model, "steps") else model


def _standing(y: Array) -> Array:
    return y if y.ndim > 1 else y[:, None]


def _dense(y: Any) -> Array:
    return np.asarray(y.toarray() if hasattr(y, "toarray") else y)
