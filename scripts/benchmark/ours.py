"""Our modes as methods of a benchmark, as Python calls them and as compiled files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from shared import THREADS, Array, Explain, Method

import backtrace_onnx as bt

ORDER = (
    "auto",
    "default",
    "contrastive",
    "epsilon",
    "lrp",
    "attnlrp",
    "cp-lrp",
    "cnn",
    "vit",
    "deeplift",
    "gradient",
    "gradient_x_input",
    "integrated_gradients",
    "expected_gradients",
    "smoothgrad",
    "gradcam",
)


def signed(explanation: Any, name: str) -> Array:
    """The map of an explanation; of two channels, what speaks for less what speaks against."""
    if name not in explanation.negative:
        return np.asarray(explanation.relevance[name])
    return np.asarray(explanation.positive[name] - explanation.negative[name])


def mode(explainer: bt.Explainer, name: str, given: str, **how: Any) -> Explain:
    """A mode as a function of inputs and targets.

    Args:
        name: of the mode. given: name of the input. how: further arguments of `explain`.
    """

    def explain(x: Array, targets: Array) -> Array:
        found = explainer.explain(x, mode=name, target=targets, **how)
        return signed(found, given)

    return explain


def compiled(
    explainer: bt.Explainer,
    name: str,
    given: str,
    folder: Path,
    compared: Callable[[Array], Array] | None = None,
) -> Explain:
    """A mode as one ONNX file in onnxruntime, without Python's part.

    Of two channels what speaks for less what speaks against.

    Args:
        compared: x[1, ...] -> baselines[rows, ...] of deeplift, over which its maps are averaged.
    """
    path = folder / "explained.onnx"
    how = {} if compared is None else {"baseline": "required"}
    explainer.compile(path, mode=name, target="required", **how)
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = {o.name for o in session.get_outputs()}
    wanted = [f"relevance/{given}"]
    if wanted[0] not in outputs:
        wanted = [f"positive/{given}", f"negative/{given}"]

    def explain(x: Array, targets: Array) -> Array:
        made = session.run(wanted, {given: x, "target": np.asarray(targets, np.int64)})
        return np.asarray(made[0] if len(made) == 1 else made[0] - made[1])

    def against(x: Array, target: Array) -> Array:
        rows = compared(x) if compared is not None else x
        fed = {given: np.repeat(x, len(rows), 0), f"baseline/{given}": rows}
        fed["target"] = np.repeat(np.asarray(target, np.int64), len(rows))
        return np.asarray(session.run(wanted, fed)[0].mean(0, keepdims=True))

    if compared is None:
        return explain
    ones = np.arange  # each sample by itself: it has baselines of its own
    return lambda x, t: np.concatenate([against(x[[i]], t[[i]]) for i in ones(len(x))])


__all__ = ["ORDER", "Method", "compiled", "mode", "signed"]
