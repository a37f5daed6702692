"""Samples whose maps are the same bit for bit: told once, not drawn again and again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from hashlib import blake2b

import numpy as np

from backtrace_onnx.propagation.ledger import KINDS
from backtrace_onnx.report.answers import explained_answer, predicted_answer, rival_answer
from backtrace_onnx.report.explained_sample import ExplainedSample


def find_same_maps(subjects: Sequence[ExplainedSample]) -> list[int | None]:
    """For every sample the number of the first one with the same inputs and relevance, if any."""
    return _repeated([_map(subject) for subject in subjects])


def find_same_pictures(subjects: Sequence[ExplainedSample]) -> list[int | None]:
    """For every sample the number of the first one whose pictures look the same, if any.

    Twins whose answers, boxes, originals or books differ have pictures of their own.
    """
    return _repeated([(_map(subject), *_around(subject)) for subject in subjects])


def _repeated(keys: Sequence[Hashable]) -> list[int | None]:
    """For every key the place of the first equal one, if that is another."""
    seen: dict[Hashable, int] = {}
    firsts = [seen.setdefault(key, number) for number, key in enumerate(keys)]
    return [first if first < number else None for number, first in enumerate(firsts)]


def in_words(same_as: int) -> str:
    """What is said in place of a table or a picture; samples count from 1."""
    return f"the same relevance as sample {same_as + 1}, bit for bit: it does not tell them apart"


def _around(subject: ExplainedSample) -> tuple[Hashable, ...]:
    """What pictures of a sample show beside its map."""
    answers = tuple(
        str(a)
        for a in (explained_answer(subject), rival_answer(subject), predicted_answer(subject))
    )
    mask = None if subject.mask is None else subject.mask.tobytes()
    originals = tuple((name, x.tobytes()) for name, x in subject.originals.items())
    ledger = subject.explanation.ledger
    rows = [getattr(e, kind)[:, subject.sample] for e in ledger.values() for kind in KINDS]
    start = ledger.total().start[:, subject.sample]
    books = np.stack([start, *rows]).tobytes()
    return (*answers, subject.box, tuple(subject.warnings), mask, originals, books)


def _map(subject: ExplainedSample) -> bytes:
    """A digest of what a picture of the sample would show."""
    digest = blake2b(digest_size=16)
    for name, x in subject.explanation.inputs.items():
        for array in (x, *(values[name] for _, values in subject.channels)):
            own = np.asarray(subject.own(array, name))
            text = repr(own.tolist()) if own.dtype.kind == "O" else own.tobytes()
            digest.update(text.encode() if isinstance(text, str) else text)
    return digest.digest()
