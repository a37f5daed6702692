"""Rows by what the model answers: what is little of all of them may be much of one answer's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.baseline import answers
from backtrace_onnx.audit.subject import AuditedModel

Array = npt.NDArray[Any]
FEWEST = 30
"""Rows of an answer that are looked at by themselves. A proposal."""


@dataclass(frozen=True)
class AnswerPart:
    """Some rows.

    Attributes:
        answer: the one that all of them get; None: these are all rows.
        rows: int64[rows of it].
    """

    answer: str | None
    rows: Array

    @property
    def where(self) -> str:
        """Which rows these are, in words that follow a sentence."""
        return "" if self.answer is None else f" where the answer is {self.answer}"


def answer_parts(subject: AuditedModel) -> list[AnswerPart]:
    """All rows, and those of each answer that enough get; of a regression all only."""
    made = [AnswerPart(None, np.arange(subject.data.count))]
    if not subject.classes:
        return made
    found = answers(subject)
    for answer in sorted(set(found)):
        rows = np.flatnonzero(found == answer)
        if FEWEST <= len(rows) < len(found):
            made.append(AnswerPart(answer, rows))
    return made


__all__ = ["AnswerPart", "answer_parts"]
