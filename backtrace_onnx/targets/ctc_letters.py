"""Outputs read step by step: the letters that a CTC model's steps spell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Letter:
    """A run of steps whose likeliest class is the same, and no blank.

    Attributes:
        entry: the class. step: where in the run it is likeliest; what is explained.
        first, last: the first step of the run, and the one after its last.
        text: what the class is called.
    """

    entry: int
    step: int
    first: int
    last: int
    text: str

    @property
    def target(self) -> tuple[int, int]:
        """As `target` of `explain`: (step, class)."""
        return self.step, self.entry

    @property
    def place(self) -> str:
        """Its steps in words."""
        one = self.last - self.first == 1
        return f"step {self.first}" if one else f"steps {self.first}-{self.last - 1}"


def read_letters(y: Any, *, blank: int = 0, labels: Sequence[str] = ()) -> list[Letter]:
    """The letters that one sample's steps y[steps, classes] spell, in order.

    The likeliest class of every step; repeated ones are one letter, blanks are none. A negative
    blank counts from the end. Raises RequestError for another shape or a blank out of range.
    """
    values = np.asarray(y)
    if values.ndim != 2 or not values.size:
        raise RequestError(f"letters are read from y[steps, classes], not from {values.shape}")
    classes = values.shape[1]
    if not -classes <= blank < classes:
        raise RequestError(f"blank {blank} is out of range: a step has {classes} classes")
    best = values.argmax(axis=1)
    found, at = [], 0
    for entry, run in groupby(best.tolist()):
        last = at + len(list(run))
        if entry != blank % classes:
            step = at + int(values[at:last, entry].argmax())
            text = labels[entry] if entry < len(labels) else f"[{entry}]"
            found.append(Letter(entry, step, at, last, text))
        at = last
    return found


def spelled(letters: Sequence[Letter]) -> str:
    """The text that letters make."""
    return "".join(letter.text for letter in letters)
