"""Samples whose maps are the same bit for bit: told once, not drawn again and again."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from backtrace_onnx.report.subject import Subject


def find_twins(subjects: Sequence[Subject]) -> list[int | None]:
    """For every sample the number of the first one with the same inputs and relevance, if any."""
    seen: dict[bytes, int] = {}
    found: list[int | None] = []
    for number, subject in enumerate(subjects):
        first = seen.setdefault(_map(subject), number)
        found.append(first if first < number else None)
    return found


def in_words(twin: int) -> str:
    """What is said in place of a table or a picture; samples count from 1."""
    return f"the same relevance as sample {twin + 1}, bit for bit: it does not tell them apart"


def _map(subject: Subject) -> bytes:
    """A digest of what a picture of the sample would show."""
    digest = blake2b(digest_size=16)
    for name, x in subject.explanation.inputs.items():
        for array in (x, *(values[name] for _, values in subject.channels)):
            own = np.asarray(subject.own(array))
            text = repr(own.tolist()) if own.dtype.kind == "O" else own.tobytes()
            digest.update(text.encode() if isinstance(text, str) else text)
    return digest.digest()
