"""Estimators by from_sklearn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cases import Case
from estimators import Estimator, estimators

from backtrace_onnx.exporters import from_sklearn


def cases() -> Iterator[Case]:
    """Every estimator, alone and in a pipeline."""
    for name, estimator in estimators():
        boosted = name.removeprefix("Pipeline ").startswith(("LGBM", "XGB"))
        family = "boosting" if boosted else "scikit-learn"
        yield Case(family, name, "onnxmltools" if boosted else "skl2onnx", _maker(estimator))


def _maker(estimator: Estimator):  # type: ignore[no-untyped-def]
    def make(path: Path) -> dict[str, np.ndarray]:
        model, rows = estimator.fitted()
        from_sklearn(model, rows, path)
        x = np.asarray(rows)
        return {"features": x if x.ndim == 2 else x[:, None]}

    return make
