"""What an export hands back: the files, the interface, and how far it was verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class ExportWarning(UserWarning):
    """Something about an export that its user should know."""


@dataclass(frozen=True)
class Check:
    """One output compared between the framework and onnxruntime.

    Attributes:
        inputs: what both were run on, in words.
        difference: largest |difference|; 0 for outputs that are no floats.
        scale: largest |value| of the output.
    """

    output: str
    inputs: str
    difference: float
    scale: float

    def __str__(self) -> str:
        return (
            f"output {self.output!r} on {self.inputs}: largest difference {self.difference:.3g} "
            f"where values reach {self.scale:.3g}"
        )


@dataclass(frozen=True)
class Exported:
    """An .onnx file that was written.

    Attributes:
        files: the model, and the file with its weights if they are over 2 GB.
        inputs, outputs: type and shape in words, by name.
        exporter: what wrote the graph.
        checks: comparisons made; empty if verification was turned off.
        notes: what else a user should know, a sentence each, without full stop.
    """

    path: Path
    files: tuple[Path, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    opset: int
    exporter: str
    checks: tuple[Check, ...] = field(default=())
    notes: tuple[str, ...] = ()

    @property
    def verified(self) -> bool:
        """Whether the file was compared with the framework."""
        return bool(self.checks)

    @property
    def difference(self) -> float:
        """Largest difference found, relative to the output's largest value."""
        parts = (c.difference / c.scale for c in self.checks if c.scale)
        return max(parts, default=0.0)
