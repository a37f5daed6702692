"""The numbers of one part of a network, as they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backtrace_onnx.network.parts import Kind
from backtrace_onnx.network.saturation import Saturation

ALIKE = 0.999
"""The cosine from which on maps of two classes count as equal: a proposal."""


@dataclass(frozen=True)
class PartNumbers:
    """One part of a network, and means over rows in parts of what each row started with.

    Attributes:
        kind, name, operator: as of `NetworkPart`. nodes: how many it has.
        received: relevance from outside of it. absorbed: what its biases and constants took.
            unassigned: what got to nobody in it. None of an input.
        positive, negative: relevance of what it hands on forwards, by sign, as sizes; None where
            samples do not lie apart there, as the next three.
        entropy, effective: over how much of it |relevance| is spread, from 0 to 1: Shannon's
            entropy, and the effective number of entries in parts of all.
        classes_alike: cosine of the maps of the likeliest class and the next.
        saturation: of a node whose values have an end.
    """

    kind: Kind
    name: str
    operator: str
    nodes: int
    saturation: Saturation | None = None
    received: float | None = None
    absorbed: float | None = None
    unassigned: float | None = None
    positive: float | None = None
    negative: float | None = None
    entropy: float | None = None
    effective: float | None = None
    classes_alike: float | None = None


def equal_from(parts: Sequence[PartNumbers]) -> str | None:
    """The layer from which on maps of two classes are equal back to every input."""
    compared = [p for p in parts if p.kind in ("layer", "input") and p.classes_alike is not None]
    if not compared:
        return None
    found = ""
    for part in reversed(compared):
        if part.classes_alike is None or part.classes_alike < ALIKE:
            break
        found = part.name
    return found
