"""Which explanations are of one sample, and so have one picker: of answers, boxes or letters."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from backtrace_onnx.report.answers import chosen_entry
from backtrace_onnx.report.explained_sample import ExplainedSample


def samples_of(subjects: Sequence[ExplainedSample]) -> list[list[ExplainedSample]]:
    """The subjects, those in one list that follow each other and explain one sample's entries."""
    found: list[list[ExplainedSample]] = []
    before, asked = b"", set[object]()
    known: dict[tuple[int, int, str], bytes] = {}  # explanations of one run share their inputs
    for subject in subjects:
        key = (id(subject.explanation.inputs), subject.sample, subject.source)
        if key not in known:
            known[key] = _digest(subject)
        inputs = known[key]
        entry = (chosen_entry(subject), subject.entries, subject.box)
        if found and inputs == before and entry not in asked and entry[0] is not None:
            found[-1].append(subject)
            asked.add(entry)
        else:
            found.append([subject])
            before, asked = inputs, {entry}
    return found


def _digest(subject: ExplainedSample) -> bytes:
    """Of the sample's inputs and, where it is no step or token of one, of where it came from."""
    digest = blake2b(digest_size=16)
    if subject.task not in ("generation", "ctc"):
        digest.update(subject.source.encode("utf-8", "surrogatepass"))
    for name, x in subject.explanation.inputs.items():
        own = np.asarray(subject.own(x, name))
        text = repr(own.tolist()) if own.dtype.kind == "O" else own.tobytes()
        digest.update(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    return digest.digest()


__all__ = ["samples_of"]
