"""What the colours of a map mean, as pages show it: two ends in words, and the shades between."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.report.picture_panel import ends
from backtrace_onnx.report.picture_style import Scale


@dataclass(frozen=True)
class ScaleLegend:
    """The ends of a scale.

    Attributes:
        kind: which shades lie between: "both" signs, "for" or "against".
        low, high: what the ends mean, with their numbers.
    """

    kind: str
    low: str
    high: str


def legend_of(scale: Scale, mode: str) -> ScaleLegend:
    """The legend of a map's colours."""
    words = ends(scale, mode)
    low, high = (
        word if word == "no relevance" else f"{word}, {bound:+.2g}"
        for word, bound in zip(words, scale.bounds, strict=True)
    )
    kind = "both" if scale.low and scale.high else "against" if scale.low else "for"
    return ScaleLegend(kind, low, high)


__all__ = ["ScaleLegend", "legend_of"]
