"""Explanations made up for pictures and tables: no model is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.explanation import Explanation, combined
from backtrace_onnx.propagation.ledger import Balance, Entry, Ledger

Array = npt.NDArray[Any]


def explanation(
    inputs: Mapping[str, Array],
    relevance: Mapping[str, Array] | None = None,
    against: Mapping[str, Array] | None = None,
    *,
    output: Array | None = None,
    task: str = "classification",
    mode: str = "default",
    target: int = 2,
    samples: int = 1,
    nodes: int = 1,
) -> Explanation:
    """An explanation whose start is 1 per channel: 0.7 to inputs, 0.2 constants, 0.1 unassigned."""
    rng = np.random.default_rng(7)
    relevance = relevance or {n: rng.normal(size=x.shape) for n, x in inputs.items()}
    one = np.ones((2 if against else 1, samples))
    entries = {
        f"node{i}": Entry(f"node{i}", "Gemm", one, one * 0.7, one * 0.2 / nodes, one * 0.1 / nodes)
        for i in range(nodes)
    }
    y = np.tile([[1.0, 2.0, 3.0]], (samples, 1)) if output is None else output
    return Explanation(
        relevance=combined(relevance, against or {}),
        positive=relevance,
        negative=against or {},
        inputs=inputs,
        outputs={"y": y},
        output="y",
        mode="contrastive" if against else mode,
        task=task,
        target=np.full(samples, target) if task == "classification" else None,
        ledger=Ledger(entries, Balance(one, one * 0.7, one * 0.2, one * 0.1)),
    )
