"""Where a picture lies in a model's input, and the way back to its own pixels."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.targets.boxes import Box


@dataclass(frozen=True)
class Placement:
    """Which part of a picture which part of an input shows.

    Attributes:
        size: width and height of the picture as it was opened.
        part: the box of the picture that is shown, in its own pixels.
        inside: the box of the input that shows it, in whole pixels; the rest is padding.
        input: width and height of the input.
    """

    size: tuple[int, int]
    part: Box
    inside: tuple[int, int, int, int]
    input: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the picture that a pixel of the input stands for, along x and y."""
        left, top, right, bottom = self.part
        at = self.inside
        return (right - left) / (at[2] - at[0]), (bottom - top) / (at[3] - at[1])

    def back(self, box: Box) -> Box:
        """A box in pixels of the input, in pixels of the picture."""
        (across, down), (left, top) = self.scale, self.part[:2]
        x, y = self.inside[:2]
        return (
            left + (box[0] - x) * across,
            top + (box[1] - y) * down,
            left + (box[2] - x) * across,
            top + (box[3] - y) * down,
        )

    def padded(self) -> bool:
        """Whether the input has padding around the picture."""
        return self.inside != (0, 0, *self.input)


def cropped(part: Box, to: tuple[int, int], shown: tuple[int, int]) -> Box:
    """What is left of a part that becomes `to` pixels, of which the centre is shown."""
    left, top, right, bottom = part
    across, down = (right - left) / to[0], (bottom - top) / to[1]
    x, y = (to[0] - shown[0]) // 2, (to[1] - shown[1]) // 2
    return (
        left + x * across,
        top + y * down,
        left + (x + shown[0]) * across,
        top + (y + shown[1]) * down,
    )
