"""One walk for each reference, and their mean: DeepLIFT with several is DeepSHAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.walker import Ask
from backtrace_onnx.inputs.baselines import Reference, in_words
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.propagation.ledger import KINDS, Balance, Entry, Ledger, Sizes
from backtrace_onnx.targets.question import Question

Array = npt.NDArray[Any]


def rescaled(
    ask: Ask, question: Question, feeds: Mapping[str, Array], references: Sequence[Reference]
) -> Outcome:
    """The mean of the walks that compare to each of the references, and of their books."""
    found = [
        ask(replace(question, reference={**feeds, **reference.arrays}), feeds)
        for reference in references
    ]
    note = Note(f"the score is compared with that of {in_words(references)}")
    notes = (*found[0].notes, note)
    if len(found) == 1:
        return replace(found[0], notes=notes)
    relevance = {
        name: [_mean([one.relevance[name][0] for one in found])] for name in found[0].relevance
    }
    slopes = {name: [_mean([one.slopes[name][0] for one in found])] for name in found[0].slopes}
    books = _mean_books([one.ledger for one in found])
    return replace(found[0], relevance=relevance, slopes=slopes, ledger=books, notes=notes)


def _mean(arrays: Sequence[Any]) -> Array:
    """In float64, whatever is averaged; in the first one's type."""
    first = np.asarray(arrays[0])
    total = np.zeros(first.shape)
    for array in arrays:
        total += array
    made: Array = (total / len(arrays)).astype(first.dtype)
    return made


def _mean_books(ledgers: Sequence[Ledger]) -> Ledger:
    first = ledgers[0]
    entries = {name: _mean_entry([ledger[name] for ledger in ledgers]) for name in first}
    balance = Balance(*_means(Balance, [ledger.total() for ledger in ledgers]))
    sizes = Sizes(*_means(Sizes, [ledger.sizes for ledger in ledgers]))
    cut = {name: _mean([ledger.cut[name] for ledger in ledgers]) for name in first.cut}
    return Ledger(entries, balance, mixed=first.mixed, sizes=sizes, cut=cut)


def _means(kind: type[Any], every: Sequence[Any]) -> list[Array]:
    names = [field.name for field in fields(kind)]
    return [_mean([getattr(one, name) for one in every]) for name in names]


def _mean_entry(every: Sequence[Entry]) -> Entry:
    incoming, data, constants, unassigned = (
        _mean([getattr(one, kind) for one in every]) for kind in KINDS
    )
    sent = {name: _mean([one.sent[name] for one in every]) for name in every[0].sent}
    first = every[0]
    return Entry(first.node, first.operator, incoming, data, constants, unassigned, sent)
