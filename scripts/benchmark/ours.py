"""Our modes as methods of a benchmark, as Python calls them and as compiled files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
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


def mode(
    explainer: bt.Explainer,
    name: str,
    given: str,
    feeds: Callable[[Array], Any] | None = None,
    **how: Any,
) -> Explain:
    """A mode as a function of inputs and targets.

    Args:
        name: of the mode. given: name of the input. how: further arguments of `explain`.
        feeds: x -> the model's inputs, where it has several.
    """

    def explain(x: Array, targets: Array) -> Array:
        found = explainer.explain(feeds(x) if feeds else x, mode=name, target=targets, **how)
        return signed(found, given)

    return explain


def compiled(
    explainer: bt.Explainer,
    name: str,
    given: str,
    compared: Callable[[Array], Array] | None = None,
    feeds: Callable[[Array], dict[str, Array]] | None = None,
) -> Explain:
    """A mode as one ONNX file in onnxruntime, without Python's part; made when it is first asked.

    Of two channels what speaks for less what speaks against.

    Args:
        compared: x[1, ...] -> baselines[rows, ...] of deeplift, over which its maps are averaged.
        feeds: x -> the model's inputs, where it has several.
    """
    fed = feeds or (lambda x: {given: x})

    @cache
    def session() -> ort.InferenceSession:
        how = {} if compared is None else {"baseline": "required"}
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "explained.onnx"
            explainer.compile(path, mode=name, target="required", tensors=[given], **how)
            return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, Array], targets: Array) -> Array:
        outputs = {o.name for o in session().get_outputs()}
        plain = f"relevance/{given}"
        wanted = [plain] if plain in outputs else [f"positive/{given}", f"negative/{given}"]
        made = session().run(wanted, {**inputs, "target": np.asarray(targets, np.int64)})
        return np.asarray(made[0] if len(made) == 1 else made[0] - made[1])

    def against(x: Array, target: Array) -> Array:
        rows = compared(x) if compared is not None else x
        many = {given: np.repeat(x, len(rows), 0), f"baseline/{given}": rows}
        found = run(many, np.repeat(np.asarray(target, np.int64), len(rows)))
        return np.asarray(found.mean(0, keepdims=True))

    if compared is None:
        return lambda x, targets: run(fed(x), targets)
    ones = np.arange  # each sample by itself: it has baselines of its own
    return lambda x, t: np.concatenate([against(x[[i]], t[[i]]) for i in ones(len(x))])


__all__ = ["ORDER", "Method", "compiled", "mode", "signed"]
