"""Walks that compare to each of several references, and their mean: DeepLIFT so is DeepSHAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.copies import Copies, joined
from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.walked_model import Ask
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.inputs.baselines import Reference, in_words
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.propagation.ledger import KINDS, Balance, Entry, Ledger, Sizes
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.question import Question

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Walk:
    """What one walk found, of the batch so many times."""

    found: Outcome
    copies: int = 1

    def summed(self, array: Any, axis: int) -> Array:
        """The sum over the copies, in float64."""
        whole = np.asarray(array)
        if self.copies == 1 or whole.shape[axis] == 1:  # of no one sample: of all alike
            return whole.astype(np.float64) * self.copies
        shape = (*whole.shape[:axis], self.copies, -1, *whole.shape[axis + 1 :])
        made: Array = whole.reshape(shape).sum(axis, dtype=np.float64)
        return made


def rescaled(
    ask: Ask,
    question: Question,
    feeds: Mapping[str, Array],
    references: Sequence[Reference],
    prepared: PreparedOutput,
) -> Outcome:
    """The mean of the walks that compare to each of the references, and of their books.

    Where tensors are small the batch is repeated, so that one walk is for several references.
    """
    batches = [{**feeds, **reference.arrays} for reference in references]
    note = Note(f"the score is compared with that of {in_words(references)}")
    if len(batches) > 1:
        made = _side_by_side(ask, question, feeds, batches, prepared)
        if made is not None:
            return replace(made, notes=(*made.notes, note))
    found = [ask(replace(question, reference=batch), feeds) for batch in batches]
    notes = (*found[0].notes, note)
    if len(found) == 1:
        return replace(found[0], notes=notes)
    walks = [_Walk(one) for one in found]
    return replace(_mean_outcome(walks, {}), notes=notes)


def _side_by_side(
    ask: Ask,
    question: Question,
    feeds: Mapping[str, Array],
    batches: Sequence[Mapping[str, Array]],
    prepared: PreparedOutput,
) -> Outcome | None:
    """The mean of walks for several references each; None where samples are not apart."""
    own_start = question.start is not None and not hasattr(question.start, "between")
    if own_start or question.through or prepared.tokens:
        return None
    copies = Copies.of(prepared, question, feeds, prepared.trace_of(question.method))
    axes, times = copies.axes(question), min(len(batches), copies.most)
    if axes is None or times < 2:
        return None
    target = copies.entries(question) if question.start is None else None
    walks = []
    for at in range(0, len(batches), times):
        part = batches[at : at + times]
        asked = replace(question, reference=joined(part, axes))
        if target is not None:
            asked = replace(asked, target=np.concatenate([target] * len(part)))
        try:
            found = ask(asked, copies.repeated(len(part), axes))
        except (InputError, RequestError):
            return None
        if not copies.are_apart(found, len(part), axes):
            return None
        walks.append(_Walk(found, len(part)))
    made = _mean_outcome(walks, axes)
    count, first = copies.explained.count, walks[0].found
    entries = None if first.target is None else first.target[:count]
    notes = copies.explained.notes(entries, made.ledger.total().start, first.binary)
    held = first.held // walks[0].copies
    return replace(made, target=entries, notes=notes, outputs=copies.outputs, held=held)


def _mean_outcome(walks: Sequence[_Walk], axes: Mapping[str, int]) -> Outcome:
    """The mean of all; of tensors the samples lie along `axes`."""
    first, books = walks[0].found, _mean_books(walks)
    relevance = _mean_tensors(walks, [walk.found.relevance for walk in walks], axes)
    slopes = _mean_tensors(walks, [walk.found.slopes for walk in walks], axes)
    return replace(first, relevance=relevance, slopes=slopes, ledger=books)


def _mean_tensors(
    walks: Sequence[_Walk], every: Sequence[Mapping[str, Channels]], axes: Mapping[str, int]
) -> dict[str, Channels]:
    return {
        name: [_mean(walks, [own[name][0] for own in every], axes.get(name, 0))]
        for name in every[0]
    }


def _mean(walks: Sequence[_Walk], arrays: Sequence[Any], axis: int = 1) -> Array:
    """In float64, whatever is averaged; in the first one's type. Books have samples second."""
    total: Any = 0.0
    for walk, array in zip(walks, arrays, strict=True):
        total = total + walk.summed(array, axis)
    count, dtype = sum(walk.copies for walk in walks), np.asarray(arrays[0]).dtype
    made: Array = (total / count).astype(dtype)
    return made


def _mean_books(walks: Sequence[_Walk]) -> Ledger:
    ledgers = [walk.found.ledger for walk in walks]
    first = ledgers[0]
    entries = {name: _mean_entry(walks, [own[name] for own in ledgers]) for name in first}
    balance = Balance(*_means(walks, Balance, [own.total() for own in ledgers]))
    sizes = Sizes(*_means(walks, Sizes, [own.sizes for own in ledgers]))
    cut = {name: _mean(walks, [own.cut[name] for own in ledgers]) for name in first.cut}
    return Ledger(entries, balance, mixed=first.mixed, sizes=sizes, cut=cut)


def _means(walks: Sequence[_Walk], kind: type[Any], every: Sequence[Any]) -> list[Array]:
    names = [field.name for field in fields(kind)]
    return [_mean(walks, [getattr(own, name) for own in every]) for name in names]


def _mean_entry(walks: Sequence[_Walk], every: Sequence[Entry]) -> Entry:
    incoming, data, constants, unassigned = (
        _mean(walks, [getattr(own, kind) for own in every]) for kind in KINDS
    )
    first = every[0]
    sent = {name: _mean(walks, [own.sent[name] for own in every]) for name in first.sent}
    return Entry(first.node, first.operator, incoming, data, constants, unassigned, sent)
