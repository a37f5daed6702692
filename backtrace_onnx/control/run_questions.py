"""What must be known of a run before a model can be written out straight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from backtrace_onnx.errors import CompileError


@dataclass(frozen=True)
class RunQuestion:
    """A number that a run of the model answers.

    Attributes:
        node, operator: who needs it.
        kind: "value" of a tensor, "size" of its axis, or "trips" of a loop.
        about: the tensor, or the loop's name.
        why: what depends on it, in words.
    """

    node: str
    operator: str
    kind: Literal["value", "size", "trips"]
    about: str
    why: str
    axis: int = 0

    @property
    def key(self) -> str:
        """Name of the answer, and of the tensor that holds it."""
        return {
            "value": self.about,
            "size": f"{self.about}@size{self.axis}",
            "trips": f"{self.about}@trips",
        }[self.kind]


def undecided(questions: Mapping[str, RunQuestion]) -> CompileError:
    """The error of writing a model that is another one for other inputs."""
    rows = dict.fromkeys(f"{q.operator} node {q.node!r} ({q.why})" for q in questions.values())
    return CompileError(
        "what the model does depends on its inputs, so its explanation cannot be written as one "
        f"straight ONNX model: {', '.join(rows)}; use explain instead, or export the model with "
        "fixed shapes and static control flow"
    )
