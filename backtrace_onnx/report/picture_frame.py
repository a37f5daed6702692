"""What relevance of a picture is drawn on: the picture itself, padding and crop undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.inputs.placement import Placement
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.targets.boxes import Box

Array = npt.NDArray[Any]
LARGEST = 1200  # pixels of the longer side that are drawn


@dataclass(frozen=True)
class Frame:
    """A picture and the part of the input that shows it.

    Attributes:
        picture: uint8[H, W, 3], made smaller where it is large.
        size: width and height in the pixels that places are told in.
        placement: where the picture lies in the input; None: it is the input.
    """

    picture: npt.NDArray[np.uint8]
    size: tuple[int, int]
    placement: Placement | None = None

    @property
    def whole(self) -> Box:
        """Left, right, bottom and top of the picture, as axes take them."""
        return (-0.5, self.size[0] - 0.5, self.size[1] - 0.5, -0.5)

    @property
    def shown(self) -> Box:
        """Left, right, bottom and top of the part of the picture that the input shows."""
        if self.placement is None:
            return self.whole
        left, top, right, bottom = self.placement.part
        return (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)

    def cut(self, values: Array) -> Array:
        """The part of a map [H, W] over the input that lies on the picture, not on its padding."""
        if self.placement is None:
            return values
        left, top, right, bottom = self.placement.inside
        return values[top:bottom, left:right]

    def padding(self, values: Array) -> float | None:
        """The sum of a map over the input's padding; None where it has none."""
        if self.placement is None or not self.placement.padded():
            return None
        return float(values.sum(dtype=np.float64) - self.cut(values).sum(dtype=np.float64))

    def back(self, box: Box) -> Box:
        """A box given in pixels of the input, in pixels of the picture."""
        return box if self.placement is None else self.placement.back(box)


def find_frame(subject: ExplainedSample, name: str, seen: npt.NDArray[np.uint8]) -> Frame:
    """The frame of an input that shows `seen`: the original where it is known and placed."""
    placement = find_placement(subject, name)
    if placement is None:
        return Frame(seen, (seen.shape[1], seen.shape[0]))
    entry, original = subject.image(name), subject.originals[name]
    ratio = min(1.0, LARGEST / max(original.size))
    small = original.convert("L" if entry and entry.color == "gray" else "RGB")
    if ratio < 1:
        wide, high = (max(1, round(n * ratio)) for n in original.size)
        small = small.resize((wide, high))
    return Frame(np.asarray(small.convert("RGB"), np.uint8), original.size, placement)


def find_placement(subject: ExplainedSample, name: str) -> Placement | None:
    """Where an original lies in an input; None where it is not known, or fills it all."""
    entry, original = subject.image(name), subject.originals.get(name)
    if entry is None or original is None or (entry.resize == "stretch" and entry.part is None):
        return None
    return entry.place(original.size)
