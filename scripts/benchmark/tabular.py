"""The tabular benchmark: networks of four layers on German Credit and Adult census.

Usage: python scripts/benchmark/tabular.py [german] [adult], with the packages of requirements.txt
installed. Every method explains the score (the logit) of the predicted class of 200 held-out rows
that no tuning has seen, a number for each column. Writes results/tabular.json cell by cell, and
goes on where it was stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ours
import torch
from credit_data import BACKGROUND, MLP, TITLES, Table, network, read_table
from shared import SEED, THREADS, Array, Cells, Explain, Method, chained, costs, interval

import backtrace_onnx as bt
from backtrace_onnx import metrics

ROWS = 200
DRAWS = 5
LIME_SAMPLES = 1000
SHAP_SAMPLES = 1000
SLOW, FEW = ("KernelSHAP (shap)", "LIME (lime)"), 25
"""What takes long is explained again on the randomised network for fewer rows."""
INPUT = "features"
MODES = ("lrp", "default", "contrastive", "gradient_x_input")
EACH = "deeplift, each row"
NO_BACKGROUND = "auto, no background"
COMPARED = (EACH, "deeplift", "integrated_gradients", "expected_gradients")


def our_methods(file: Any, table: Table, background: Array) -> Iterator[Method]:
    """Our modes; those that compare have the background that peers have."""
    explainer = bt.Explainer(file)
    mean = background.mean(0)
    for name in (*MODES, *COMPARED, "auto", NO_BACKGROUND):
        how: dict[str, Any] = {}
        if name in COMPARED or name == "auto":
            how["background"] = background
        if name == "integrated_gradients":
            how = {"baseline": mean, "steps": 16}
        if name == EACH:
            how = {"baseline": list(background)}
        called = ours.mode(explainer, name.partition(",")[0], INPUT, **how)
        fast = _compiled(explainer, name, background)
        yield Method(name, "ours", _by_column(called, table), fast and _by_column(fast, table))


def _compiled(explainer: bt.Explainer, name: str, background: Array) -> Explain | None:
    """The file of a mode; None where there is none, or it is that of another one."""
    if name in (NO_BACKGROUND, "auto", "integrated_gradients", "expected_gradients"):
        return None
    if name in (EACH, "deeplift"):
        rows = background if name == EACH else background.mean(0, keepdims=True)
        return ours.compiled(explainer, "deeplift", INPUT, lambda x: rows)
    return ours.compiled(explainer, name, INPUT)


def _by_column(explain: Explain, table: Table) -> Explain:
    return lambda codes, targets: table.in_columns(explain(table.encode(codes), targets))


def peers(model: MLP, table: Table, background: Array, codes: Array) -> Iterator[Method]:
    """KernelSHAP and LIME on columns, DeepSHAP and integrated gradients on slots."""
    yield Method("KernelSHAP (shap)", "peer", kernel_shap(model, table, background))
    yield Method("LIME (lime)", "peer", lime(model, table, codes))
    yield Method("DeepSHAP (shap)", "peer", _by_column(deep_shap(model, background), table))
    yield Method("IG, 50 steps (captum)", "peer", _by_column(captum_ig(model, background), table))


def _scores(model: MLP, table: Table) -> Callable[[Array], Array]:
    def scores(codes: Array) -> Array:
        with torch.no_grad():
            return np.asarray(model(torch.from_numpy(table.encode(np.asarray(codes)))).numpy())

    return scores


def kernel_shap(model: MLP, table: Table, background: Array) -> Explain:
    """shap's KernelExplainer of the score by columns, 1,000 samples."""
    import shap
    from shap.utils._legacy import DenseData

    members = [np.flatnonzero(table.units == i) for i in range(len(table.names))]
    data = DenseData(background, table.names, members)

    def scores(x: Array) -> Array:
        with torch.no_grad():
            return np.asarray(model(torch.from_numpy(x.astype(np.float32))).numpy())

    def explain(codes: Array, targets: Array) -> Array:
        explainer, made = shap.KernelExplainer(scores, data), []
        for row, target in zip(table.encode(codes), targets, strict=True):
            np.random.seed(SEED)
            values = explainer.shap_values(row, nsamples=SHAP_SAMPLES, silent=True)
            made.append(np.asarray(values)[:, target])
        return np.stack(made)

    return explain


def lime(model: MLP, table: Table, codes: Array) -> Explain:
    """lime's tabular explainer of the score, 1,000 samples, all columns."""
    from lime.lime_tabular import LimeTabularExplainer

    scores = _scores(model, table)
    explainer = LimeTabularExplainer(
        table.codes[: table.train],
        mode="regression",
        categorical_features=list(table.categories),
        discretize_continuous=False,
        random_state=SEED,
    )

    def explain(x: Array, targets: Array) -> Array:
        made = np.zeros(x.shape)
        mean, deviation = explainer.scaler.mean_, explainer.scaler.scale_
        for i, (row, target) in enumerate(zip(x, targets, strict=True)):
            found = explainer.explain_instance(
                row,
                lambda c, t=target: scores(c)[:, t],
                num_features=x.shape[1],
                num_samples=LIME_SAMPLES,
            )
            for column, weight in found.local_exp[1]:
                scaled = (row[column] - mean[column]) / deviation[column]
                made[i, column] = weight * (1 if column in table.categories else scaled)
        return made

    return explain


def deep_shap(model: MLP, background: Array) -> Explain:
    """shap's DeepExplainer with the background."""
    import shap

    explainer = shap.DeepExplainer(model, torch.from_numpy(background))

    def explain(x: Array, targets: Array) -> Array:
        values = np.asarray(explainer.shap_values(torch.from_numpy(x), check_additivity=False))
        return values[np.arange(len(x)), :, targets]

    return explain


def captum_ig(model: MLP, background: Array) -> Explain:
    """captum's integrated gradients from the background's mean."""
    from captum.attr import IntegratedGradients

    method, mean = IntegratedGradients(model), torch.from_numpy(background.mean(0)[None])

    def explain(x: Array, targets: Array) -> Array:
        asked = torch.from_numpy(np.asarray(targets))
        made = method.attribute(torch.from_numpy(x), baselines=mean, target=asked, n_steps=50)
        return np.asarray(made.detach().numpy())

    return explain


def floors(table: Table) -> Iterator[Method]:
    """What knows nothing of the model."""

    def drawn(codes: Array, targets: Array) -> Array:
        return np.random.default_rng(SEED).standard_normal(codes.shape)

    def size(codes: Array, targets: Array) -> Array:
        return table.in_columns(np.abs(table.encode(codes)))

    yield Method("random", "floor", drawn)
    yield Method("size of the input", "floor", size)


def randomised(model: MLP, path: Path) -> tuple[Any, MLP]:
    """The network with all its weights drawn anew, as ONNX and in torch."""
    proto = metrics.randomised_model(path, seed=SEED)
    from onnx import numpy_helper

    arrays = {i.name: numpy_helper.to_array(i) for i in proto.graph.initializer}
    other = MLP(model.fc1.in_features)
    other.load_state_dict({n: torch.tensor(arrays[n]) for n in model.state_dict()})
    return proto, other.eval()


class Measured:
    """The metrics of one data set: relevance by column enters, numbers of a cell leave."""

    def __init__(self, path: Path, table: Table, background: Array, codes: Array) -> None:
        logits = bt.BlackBox(path, batch=4096)
        self.x, self.units, self.background = table.encode(codes), table.units, background
        self.targets = logits(self.x).argmax(1)
        self._logits = logits
        self._first = [int(np.flatnonzero(table.units == i)[0]) for i in range(codes.shape[1])]

    def _probabilities(self, x: Array) -> Array:
        logits = self._logits(x)
        e = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(e / e.sum(1, keepdims=True))

    def __call__(self, relevance: Array, anew: Array) -> dict[str, list[float]]:
        """Intervals of all metrics; `anew` is the relevance of the randomised network."""
        spread = np.zeros(self.x.shape)
        spread[:, self._first] = relevance
        asked: dict[str, Any] = {"units": self.units, "replace": "background"}
        asked |= {"background": self.background, "target": self.targets}
        found = {
            "correlation": [
                metrics.faithfulness_correlation(self._logits, self.x, spread, seed=s, **asked)
                for s in range(DRAWS)
            ],
            "abpc": [
                metrics.abpc(self._probabilities, self.x, spread, seed=s, **asked)
                for s in range(DRAWS)
            ],
            "complexity": [metrics.complexity(relevance)],
            "mprt": [np.abs(metrics.similarity(relevance[: len(anew)], anew))],
            "rise": [metrics.complexity(anew) / metrics.complexity(relevance[: len(anew)]) - 1],
        }
        return {name: interval(np.mean(parts, 0)) for name, parts in found.items()}


def run(name: str, cells: Cells, *, tuning: bool = False) -> None:
    """All methods on one table."""
    table = read_table(name)
    model, path, about = network(table)
    rows = np.array(list(table.held_out(tuning=tuning)))[:ROWS]
    codes = table.codes[rows]
    around = np.random.default_rng(SEED).choice(table.train, BACKGROUND, replace=False)
    background = table.encode(table.codes[around])
    measured = Measured(path, table, background, codes)
    cells.describe(name, title=TITLES[name], samples=len(rows), **about)
    proto, other = randomised(model, path)
    known = table.codes[around]
    pairs = [
        (our_methods(path, table, background), our_methods(proto, table, background)),
        (peers(model, table, background, known), peers(other, table, background, known)),
        (floors(table), floors(table)),
    ]
    for own, changed in pairs:
        for method, twin in zip(chained(own), chained(changed), strict=True):
            cells.fill(name, method, lambda m=method, t=twin: _cell(m, t, codes, measured))


def _cell(method: Method, twin: Method, codes: Array, measured: Measured) -> dict[str, Any]:
    """The numbers of a method; its twin explains the randomised network."""
    few = FEW if method.name in SLOW else len(codes)
    relevance = method.explain(codes, measured.targets)
    anew = twin.explain(codes[:few], measured.targets[:few])
    numbers = {"samples": len(codes), **measured(relevance, anew)}
    return numbers if method.family == "floor" else numbers | costs(method, codes, measured.targets)


def main() -> int:
    torch.set_num_threads(THREADS)
    cells = Cells("tabular")
    for name in sys.argv[1:] or TITLES:
        run(name, cells)
    return cells.told()


if __name__ == "__main__":
    raise SystemExit(main())
