"""Collects the numbers of a network's parts over rows while they stream by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.activation_patching import tensor_values
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.network.numbers import PartNumbers
from backtrace_onnx.network.part_rows import COLUMNS, part_rows, starts
from backtrace_onnx.network.parts import NetworkPart, find_parts
from backtrace_onnx.network.saturation import SaturationCounts, watched

Array = npt.NDArray[Any]


class NetworkSums:
    """Sums over rows, while batches come; rows are added one by one, whatever the batches."""

    def __init__(self, explainer: Explainer, first: Explanation) -> None:
        prepared = explainer._model.straight().output(first.output)
        graph = prepared.plan.graph
        there = frozenset(t for node in prepared.model.proto.graph.node for t in node.output)
        self._explainer, self._graph, self.mode = explainer, graph, first.mode
        self._parts: list[NetworkPart] = find_parts(explainer, first, graph)
        shape = (len(self._parts), len(COLUMNS))
        self._sums, self._counts = np.zeros(shape), np.zeros(shape, np.int64)
        self._totals = np.zeros(4)
        self._saturation = [SaturationCounts(node, graph) for node in watched(graph, there)]
        self.notes = dict.fromkeys(note.text for note in first.notes if note.sample is None)
        self.rows = 0

    def add(
        self, made: Explanation, other: Explanation | None, feeds: Any, rows: int | None
    ) -> None:
        """Add the first rows of a batch (None: all)."""
        total = made.ledger.total()
        count = total.start.shape[1] if rows is None else rows
        numbers = part_rows(self._parts, made, other, self._graph, count)
        start = starts(made)
        kinds = (total.inputs, total.constants, total.unassigned, total.cut)
        books = [np.broadcast_to(k[0] - k[1:].sum(0), start.shape) for k in kinds]
        shares = np.stack(books, 1) / start[:, None]
        for row in range(count):
            known = ~np.isnan(numbers[row])
            self._sums += np.where(known, numbers[row], 0)
            self._counts += known
            self._totals += shares[row]
        self.rows += count
        self._watch(feeds, count, len(start))

    def numbers(self) -> tuple[PartNumbers, ...]:
        """The means of every part."""
        with np.errstate(invalid="ignore"):
            means = self._sums / self._counts
        saturated = {own.node.name: own.found() for own in self._saturation}
        made = []
        for part, row in zip(self._parts, means, strict=True):
            known = [None if np.isnan(value) else float(value) for value in row]
            measured: dict[str, Any] = dict(zip(COLUMNS, known, strict=True))
            own = saturated.get(part.name) if part.kind == "node" else None
            about = (part.kind, part.name, part.operator, len(part.nodes))
            made.append(PartNumbers(*about, own, **measured))
        return tuple(made)

    @property
    def totals(self) -> tuple[float, float, float, float]:
        """Where relevance went, in parts of the start: inputs, constants, unassigned, cut."""
        inputs, constants, unassigned, cut = (float(t) / max(self.rows, 1) for t in self._totals)
        return inputs, constants, unassigned, cut

    def _watch(self, feeds: Any, rows: int, samples: int) -> None:
        names = tuple(own.node.outputs[0] for own in self._saturation)
        if not names:
            return
        values: Mapping[str, Array] = tensor_values(self._explainer, feeds, names)
        for own, name in zip(list(self._saturation), names, strict=True):
            axis = self._graph.samples.get(name)
            y = np.asarray(values[name])
            if axis is None or axis >= y.ndim or y.shape[axis] != samples:
                self._saturation.remove(own)  # samples do not lie apart in it
                continue
            own.add(np.moveaxis(y, axis, 0), rows)
