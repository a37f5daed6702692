"""Small language models, with and without a cache, and what they are fed."""

from __future__ import annotations

import numpy as np

from backtrace_onnx import Explanation
from tests.graphs import Array

SIZE = 20
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
IDS = np.array([[3, 1, 4, 1, 5, 9, 2]])


def feeds(ids: Array = IDS) -> dict[str, Array]:
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def channels(made: Explanation, name: str = "input_ids") -> list[Array]:
    parts = [made.positive[name]]
    return [*parts, made.negative[name]] if made.negative else parts
