"""Models with an input per column, as skl2onnx writes a ColumnTransformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tests.graphs import FLOAT, INT64, STRING, model, node

Array = npt.NDArray[Any]
JOBS = ("cook", "clerk", "pilot")
WEIGHTS = np.array([[0.5, -0.25], [0.1, 0.2], [1.0, 0.5], [-1.0, 0.25], [0.3, -2.0]], np.float32)
KINDS = {"age": (FLOAT, ["N", 1]), "hours": (INT64, ["N", 1]), "job": (STRING, ["N", 1])}


def people(*, imputed: bool = False) -> onnx.ModelProto:
    """age float, hours int64, job string, each [N, 1] -> y[N, 2], linear in the ones and slots."""
    given = {"imputed_value_floats": [40.0], "replaced_value_float": float("nan")}
    fill = [
        node("Imputer", ["age"], ["known"], domain="ai.onnx.ml", **given),
        node("Reshape", ["known", "one"], ["aged"]),
    ]
    return model(
        [
            *(fill if imputed else [node("Identity", ["age"], ["aged"])]),
            node("Cast", ["hours"], ["worked"], to=FLOAT),
            node("OneHotEncoder", ["job"], ["hot"], domain="ai.onnx.ml", cats_strings=list(JOBS)),
            node("Reshape", ["hot", "shape"], ["slots"]),
            node("Concat", ["aged", "worked", "slots"], ["row"], axis=1),
            node("MatMul", ["row", "w"], ["y"]),
        ],
        KINDS,
        {"y": (FLOAT, ["N", 2])},
        {"shape": np.array([-1, 3]), "one": np.array([-1, 1]), "w": WEIGHTS},
        domains={"ai.onnx.ml": 3},
    )


def contributions(ages: Array, hours: Array, jobs: list[str], target: int) -> Array:
    """What every column adds to an entry of the output: float64[rows, 3]."""
    w = WEIGHTS[:, target].astype(np.float64)
    hot = np.array([w[2 + JOBS.index(job)] if job in JOBS else 0.0 for job in jobs])
    return np.stack([ages * w[0], hours * w[1], hot], 1)
