"""What is audited: a model with its data, explained as often as checks ask."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.activation_patching import tensor_values
from backtrace_onnx.audit.data import Data, read_data
from backtrace_onnx.audit.explained_rows import Explained, JoinedRows, join_explained
from backtrace_onnx.audit.features import Features, find_features
from backtrace_onnx.audit.row_notes import note_rows
from backtrace_onnx.audit.settings import AuditSettings
from backtrace_onnx.data.opened_rows import rows_at_once
from backtrace_onnx.data.reading import Data as Rows
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.background_rows import read_rows
from backtrace_onnx.inputs.files import InputReader
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.sidecar import Sidecar, meaning_of, with_tokenizer
from backtrace_onnx.propagation.ledger import Balance
from backtrace_onnx.propagation.mode_choice import AUTO, picked_baseline

Array = npt.NDArray[Any]


class AuditedModel:
    """A model and its rows of data.

    Args:
        model: path of an .onnx file. rows: the data, as `read_data` takes them.
        seed: of every draw that is made.

    Raises BacktraceError where the model or the data cannot be read.
    """

    def __init__(
        self,
        model: Path,
        rows: Rows,
        settings: AuditSettings,
        sidecar: Sidecar | None = None,
        seed: int = 0,
    ) -> None:
        self.model, self.settings, self.seed = model, settings, seed
        self.explainer = Explainer(model, on_unsupported="stop")
        graph = self.explainer.graph
        self.sidecar = sidecar = with_tokenizer(sidecar, settings.tokenizer, graph)
        if sidecar:
            _check(sidecar, model, graph)
        self.compared: Mapping[str, Any] = {}  # what modes that compare take, as `explain`
        if settings.background is not None:
            reader = InputReader(graph, sidecar)
            self.compared = {"background": read_rows(Path(settings.background), reader)}
        kept = KeptColumns.named(settings.label or (), settings.ids, settings.groups)
        self.data: Data = read_data(rows, graph, sidecar, kept)
        self.features: Features = find_features(self.data, sidecar)

    @cached_property
    def whole(self) -> Explained:
        """The explanations of all rows, of what the model answers to each.

        The relevance of inputs' entries is kept where a mask is held against it.
        """
        return self.explain(self.data.feeds, entries=self.settings.mask is not None)

    @cached_property
    def sha256(self) -> str:
        """Of the model's file."""
        return hashlib.sha256(self.model.read_bytes()).hexdigest()

    @property
    def fixed(self) -> int | None:
        """How many samples the model takes at once, where that is fixed."""
        sizes = [self.explainer.graph.type(n).shape for n in self.features.owner]
        return next((s[0] for s in sizes if s and isinstance(s[0], int)), None)

    @property
    def labels(self) -> tuple[str, ...]:
        """What classes are called, as the sidecar says, or else the model's file."""
        said = meaning_of(self.sidecar, self.whole.first.output).labels
        told = () if said else self.explainer.class_labels
        return said or (told if len(told) == self.whole.scores.shape[1] else ())

    @property
    def settled(self) -> dict[str, Any]:
        """The mode that explains, and what it compares with, as `explain` takes them."""
        mode = self.whole.first.mode
        own = picked_baseline(mode) if self.settings.mode == AUTO and not self.compared else None
        return {"mode": mode, **self.compared, **({} if own is None else {"baseline": own})}

    @property
    def classes(self) -> bool:
        """Whether the model classifies."""
        return self.whole.target is not None

    def explain(
        self,
        feeds: Mapping[str, Array],
        target: Array | None = None,
        of: Any = None,
        *,
        entries: bool = True,
    ) -> Explained:
        """The explanations of some rows, by this explainer or that `of` another model.

        `entries`: whether the relevance of inputs' entries is kept beside that of features.
        Raises RequestError where the model's answers are neither classes nor numbers.
        """
        explainer = of or self.explainer
        count = len(next(feeds[name] for name in self.features.owner))
        size = self.fixed or rows_at_once(self.explainer.graph)
        made = JoinedRows(count)
        for at in range(0, count, size):
            rows = np.minimum(np.arange(at, at + size), count - 1)
            rows = rows if self.fixed else np.unique(rows)
            own = {n: x if n in self.data.shared else x[rows] for n, x in feeds.items()}
            asked = None if target is None else target[rows]
            found = self._explained(explainer, own, asked, min(size, count - at))
            made.add(found if entries else replace(found, relevance={}))
        return made.whole()

    def scores(self, feeds: Mapping[str, Array]) -> Array:
        """float64[rows, classes]: what the model answers; of a regression one column."""
        first = self.whole.first
        count, size = len(next(feeds[name] for name in self.features.owner)), self.fixed or 4096
        made = []
        for at in range(0, count, size):
            rows = np.minimum(np.arange(at, at + size), count - 1)
            rows = rows if self.fixed else np.unique(rows)
            own = {n: x if n in self.data.shared else x[rows] for n, x in feeds.items()}
            y = tensor_values(self.explainer, own, (first.output,))[first.output]
            made.append(_scores(first, y)[: count - at])
        return np.concatenate(made)

    def read_scores(self, output: Array) -> Array:
        """float64[rows, classes] of what the model returned at its explained output."""
        return _scores(self.whole.first, output)

    def drawn(self, most: int, among: Array | None = None) -> Array:
        """int64[at most that many]: rows drawn from all or some, in their order."""
        rows = np.arange(self.data.count) if among is None else among
        if len(rows) <= most:
            return rows
        rng = np.random.default_rng(self.seed)
        return np.sort(rng.choice(rows, most, replace=False))

    def mixed(self, origin: Array) -> dict[str, Array]:
        """Inputs whose features come from several rows: origin int64[copies, features] says which.

        So a feature is replaced by what it is in another row, a whole category at a time.
        """
        made = {n: self.data.feeds[n] for n in self.data.shared}
        for name, owner in self.features.owner.items():
            x = self.data.feeds[name]
            flat = x.reshape(len(x), -1)
            mixed = flat[origin[:, owner], np.arange(len(owner))]
            made[name] = mixed.reshape(len(origin), *x.shape[1:])
        return made

    def _explained(
        self, explainer: Explainer, feeds: Mapping[str, Array], target: Array | None, count: int
    ) -> Explained:
        s = self.settings
        how: dict[str, Any] = {"mode": s.mode, "output": s.output, "task": s.task, **self.compared}
        found = explainer.explain(feeds, target=target, sidecar=self.sidecar, **how)
        if found.task not in ("classification", "regression"):
            raise RequestError(
                "audits and reasons take classifications and regressions, and this is a "
                f"{found.task}"
            )
        relevance = {n: np.asarray(found.relevance[n])[:count] for n in self.features.owner}
        y = found.outputs.get(found.output)
        if y is None:
            y = tensor_values(explainer, feeds, (found.output,))[found.output]
        totals = found.ledger.total()
        books = (totals.start, totals.inputs, totals.constants, totals.unassigned, totals.cut)
        channels = len(totals.start)
        size = len(next(feeds[n] for n in self.features.owner))
        kept = Balance(*(np.broadcast_to(b, (channels, size))[:, :count] for b in books))
        goal = None if found.target is None else np.asarray(found.target).reshape(-1)[:count]
        scores = _scores(found, y)[:count]
        sums, notes = self.features.sums(relevance), note_rows(found.notes, count)
        return Explained(relevance, sums, goal, scores, kept, found, notes)


def _check(sidecar: Sidecar, model: Path, graph: Graph) -> None:
    try:
        sidecar.check(graph.inputs, graph.outputs)
    except InputError as error:
        raise InputError(f"{model}: {error}") from None


def _scores(found: Explanation, y: Any) -> Array:
    """float64[rows, classes]; two columns of a decision between two classes."""
    rows = found.layout.rows(np.asarray(y, np.float64))
    flat = rows.reshape(len(rows), -1)
    if found.target is None:
        total: Array = flat.sum(1, keepdims=True)
        return total
    if found.binary:
        return np.hstack([1 - flat if found.binary == "probability" else -flat, flat])
    return flat


__all__ = ["AuditedModel", "Explained", "join_explained"]
