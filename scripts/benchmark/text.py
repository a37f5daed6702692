"""The text benchmark: sentences about films, judged by MiniLM.

Usage: python scripts/benchmark/text.py, with the packages of requirements.txt installed. Every
method explains the score (the logit) of the predicted class of 200 held-out sentences that no
tuning has seen, a number for each token. A token is left out by hiding it from all others and from
the mean at the end. Writes results/text.json cell by cell, and goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import ours
import torch
from shared import (
    FAILED,
    THREADS,
    Array,
    Cells,
    Explain,
    Method,
    Samples,
    chained,
    cost,
    interval,
    twin,
)
from text_models import MODEL, feeds, reader, sentences
from text_peers import floors, peers

import backtrace_onnx as bt
from backtrace_onnx import metrics

SENTENCES, STEPS, INPUT = 200, 5, "input_ids"
MODES = ("default", "contrastive", "lrp", "attnlrp", "cp-lrp", "vit", "gradient_x_input")


def our_methods() -> Iterator[Method]:
    """Our modes."""
    explainer = bt.Explainer(MODEL)
    for name in (*MODES, "auto"):
        explain = ours.mode(explainer, name, INPUT, feeds)
        fast = None if name == "auto" else ours.compiled(explainer, name, INPUT, feeds=feeds)
        yield Method(name, "ours", explain, fast)


class Measured:
    """The metrics: a method enters, numbers of a cell leave."""

    def __init__(self, texts: Sequence[Array]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        self._session = ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        self.texts = texts
        logits = [self._session.run(None, feeds(ids))[0][0] for ids in texts]
        self.targets = np.argmax(logits, 1)

    def probabilities(self, ids: Array) -> Callable[[Array], Array]:
        """The probabilities where words are hidden: seen[copies, words] -> [copies, 2]."""

        def predict(seen: Array) -> Array:
            whole = np.ones((len(seen), ids.shape[1]), np.int64)
            whole[:, 1:-1] = seen
            many = np.repeat(ids, len(seen), 0)
            logits = np.asarray(self._session.run(None, feeds(many, whole))[0])
            e = np.exp(logits - logits.max(1, keepdims=True))
            return np.asarray(e / e.sum(1, keepdims=True))

        return predict

    def __call__(self, explain: Explain) -> dict[str, Any]:
        found: dict[str, list[float]] = {"morf": [], "lerf": []}
        for ids, target in zip(self.texts, self.targets, strict=True):
            relevance = np.asarray(explain(ids, np.array([target])), np.float64)[:, 1:-1]
            seen = np.ones(relevance.shape, np.float32)
            for order, areas in found.items():
                how: Any = {"order": order, "steps": STEPS}
                curve = metrics.flip(self.probabilities(ids), seen, relevance, target, **how)
                areas.append(float(curve.area[0]))
        morf, lerf = (np.array(found[name]) for name in ("morf", "lerf"))
        areas = {"morf": morf, "lerf": lerf, "auc": lerf - morf}
        return {"samples": len(morf), **{name: interval(v) for name, v in areas.items()}}


def _cost(method: Method, texts: Sequence[Array], targets: Array) -> dict[str, Any]:
    """As `shared.costs`, of sentences of different lengths."""

    def turned(explain: Explain) -> Explain:
        return lambda numbers, own: explain(texts[int(numbers[0])], own)

    numbers = np.arange(len(texts))
    usual = cost(turned(method.explain), numbers, targets)
    made = {"ms": usual.wall, "cpu_ms": usual.cpu}
    if method.fast is not None:
        fast = cost(turned(method.fast), numbers, targets)
        made |= {"compiled_ms": fast.wall, "compiled_cpu_ms": fast.cpu}
    return made


def run(cells: Cells, *, tuning: bool = False) -> None:
    """All methods."""
    texts, truth = sentences(tuning=tuning)
    chosen = np.linspace(0, len(texts) - 1, SENTENCES).astype(int)
    texts, truth = [texts[i] for i in chosen], truth[chosen]
    measured = Measured(texts)
    right = round(float(np.mean(measured.targets == truth)), 4)
    about = {"samples": len(texts), "accuracy": right, "held_out": len(texts)}
    cells.describe("reviews", title="MiniLM on reviews of films", **about)
    few = [(texts[i], measured.targets[i : i + 1]) for i in range(3)]
    earlier: list[Method] = []
    for method in chained(our_methods(), peers(reader()), floors()):
        made = cells.fill(
            "reviews", method, lambda m=method: _cell(m, measured, cells, earlier, few)
        )
        if FAILED not in made:
            earlier.append(method)


def _cell(
    method: Method, measured: Measured, cells: Cells, earlier: Sequence[Method], few: Samples
) -> Mapping[str, Any]:
    same = twin(method, earlier, few) if method.name == "auto" else None
    if same is not None and cells.has("reviews", same):
        return cells.of("reviews", same)
    numbers = measured(method.fast or method.explain)
    if method.family != "floor":
        numbers |= _cost(method, measured.texts, measured.targets)
    return numbers


def main() -> int:
    torch.set_num_threads(THREADS)
    cells = Cells("text")
    run(cells)
    return cells.told()


if __name__ == "__main__":
    raise SystemExit(main())
