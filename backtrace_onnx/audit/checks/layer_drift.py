"""The check against baseline models, layer by layer: where do reasons begin to differ?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.activation_patching import patch
from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.checks.row_drift import ALIKE, cosines
from backtrace_onnx.audit.intervention import MOVES, moved
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import BacktraceError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes

Array = npt.NDArray[Any]
AT_ONCE = 16
UNITS = 10
"""Of a layer: one unit in so many is replaced, those whose share grew most."""


@dataclass(frozen=True)
class Layer:
    """A tensor that two models have in common.

    Attributes:
        was, now: its name in the old and the new model. operator: what makes it in the new one; ""
            of an input. cosine: the median over rows. moved: mean |share| now less that before,
            float64[units].
    """

    was: str
    now: str
    operator: str
    cosine: float
    moved: Array

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        renamed = {"before": self.was} if self.was != self.now else {}
        return {
            "tensor": self.now,
            **renamed,
            "operator": self.operator,
            "cosine": round(self.cosine, 6),
        }


def compare_layers(old: AuditedModel, new: AuditedModel, rows: Array) -> list[Layer]:
    """The tensors that relevance of the same answers meets in both models, from the output back.

    Raises SkipCheck where there are none but inputs.
    """
    pairs = match_tensors(old.explainer.graph, new.explainer.graph)
    kept: dict[tuple[str, str], list[tuple[Array, Array]]] = {}
    for at in range(0, len(rows), AT_ONCE):
        part = rows[at : at + AT_ONCE]
        target = None if old.whole.target is None else old.whole.target[part]
        was, now = (_relevance(one, part, target) for one in (old, new))
        for a, b in pairs:
            if a in was and b in now and was[a].shape == now[b].shape:
                kept.setdefault((a, b), []).append((was[a], now[b]))
    graph = new.explainer.graph
    makers = {tensor: node.operator for node in graph.nodes for tensor in node.outputs}
    if not any(b in makers for _, b in kept):
        raise SkipCheck(f"{old.model} and this model have no inner tensors in common")
    made = []
    for (a, b), parts in kept.items():
        first, second = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        grown = np.abs(_shares(second)).mean(0) - np.abs(_shares(first)).mean(0)
        cosine = float(np.median(cosines(first, second)))
        made.append(Layer(a, b, makers.get(b, ""), cosine, grown))
    return made


def match_tensors(old: Graph, new: Graph) -> list[tuple[str, str]]:
    """Tensors of two graphs that are one layer, from the output back: by name.

    Where inner names differ altogether: by the order of operators and ranks, as far as they agree.
    """
    made, before = ([n for node in graph.nodes for n in node.outputs] for graph in (new, old))
    if {*made} & {*before} - {*new.outputs}:
        there = {*before, *old.inputs}
        return [(name, name) for name in (*made[::-1], *new.inputs) if name in there]
    rows = [
        [
            (node.outputs[0], (node.operator, graph.type(node.outputs[0]).rank))
            for node in graph.nodes
        ]
        for graph in (old, new)
    ]
    first, second = ([kind for _, kind in own] for own in rows)
    found = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    pairs = [(rows[0][m.a + i][0], rows[1][m.b + i][0]) for m in found for i in range(m.size)]
    return pairs[::-1] + [(name, name) for name in new.inputs if name in old.inputs]


def _relevance(subject: AuditedModel, rows: Array, target: Array | None) -> dict[str, Array]:
    """float64[rows, units] by tensor, of all that have samples."""
    settings = subject.settings
    found = subject.explainer.explain(
        subject.data.rows(rows),
        **subject.settled,
        output=settings.output,
        task=settings.task,
        target=target,
        sidecar=subject.sidecar,
        keep="all",
    )
    axes, made = SampleAxes(subject.explainer.graph), {}
    for name, relevance in found.relevance.items():
        axis = axes(name)
        if axis is None or relevance.shape[int(axis)] != len(rows):
            continue
        own = np.moveaxis(np.asarray(relevance, np.float64), int(axis), 0)
        made[name] = own.reshape(len(rows), -1)
    return made


def _shares(relevance: Array) -> Array:
    sizes = np.abs(relevance).sum(1, keepdims=True)
    made: Array = np.divide(relevance, sizes, out=np.zeros_like(relevance), where=sizes > 0)
    return made


def _layers(case: Case) -> Measured:
    new, rows = case.subject, case.subject.drawn(case.rows)
    if new.fixed is not None:
        raise SkipCheck(f"the model takes {new.fixed} sample(s) at once, always")
    every = [compare_layers(old, new, rows) for old in case.earlier]
    nearest = int(np.argmax([_least(layers) for layers in every]))
    layers, old = every[nearest], case.models[nearest]
    differ = next((i for i, layer in enumerate(layers) if layer.cosine < ALIKE), None)
    evidence: dict[str, Any] = {
        "rows": len(rows),
        "layers": [layer.record() for layer in layers],
    }
    among = [
        _least(compare_layers(a, b, rows)) for a in case.models for b in case.models if a is not b
    ]
    bound = min(among, default=None)
    if differ is None:
        text = f"in none of {len(layers)} layers the median cosine is below {ALIKE:g}"
        return Measured(_least(layers), text, evidence, among=bound, of=case.some(len(rows)))
    layer = layers[differ]
    what = f"{layer.operator or 'input'} {layer.now!r}"
    text = f"from the output back reasons begin to differ at {what} (cosine {layer.cosine:.2f})"
    gained = _replaced(old, new, layer, rows)
    evidence["units_gained"] = gained
    of = case.some(len(rows))
    return Measured(_least(layers), text, evidence, _confirms(gained), bound, of=of)


def _least(layers: list[Layer]) -> float:
    return min(layer.cosine for layer in layers)


def _confirms(moved: Mapping[str, float]) -> bool | None:
    return moved["now"] - moved["before"] >= MOVES if moved else None


def _replaced(old: AuditedModel, new: AuditedModel, layer: Layer, rows: Array) -> dict[str, float]:
    """How far scores move, in standard deviations, as units of a layer take other rows' values.

    They are those whose share grew most. Empty where the tensor cannot be given to the model.
    """
    units = np.argsort(-layer.moved, kind="stable")[: max(1, len(layer.moved) // UNITS)]
    donors = np.roll(np.arange(len(rows)), 1 + new.seed % max(1, len(rows) - 1))
    made = {}
    for name, subject, tensor in (("before", old, layer.was), ("now", new, layer.now)):
        axis = SampleAxes(subject.explainer.graph)(tensor)

        def taken(values: Array, axis: Any = axis) -> Array:
            whole = np.moveaxis(values, int(axis), 0)
            flat = whole.reshape(len(whole), -1).copy()
            flat[:, units] = flat[donors][:, units]
            return np.moveaxis(flat.reshape(whole.shape), 0, int(axis))

        feeds = subject.data.rows(rows)
        if tensor in feeds:
            scores = subject.scores({**feeds, tensor: taken(feeds[tensor])})
        else:
            try:
                outputs = patch(subject.explainer, feeds, {tensor: taken})
                scores = subject.read_scores(outputs[subject.whole.first.output])
            except (BacktraceError, KeyError):
                return {}
        made[name] = round(moved(subject, scores, rows).score, 6)
    return made


CHECKS = (
    Check(
        "layer-drift",
        "At which layer do reasons begin to differ?",
        "at least",
        ALIKE,
        PROPOSAL,
        "warning",
        _layers,
        rows=64,
    ),
)
