"""What an engine returns, whichever of the two ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.messages.notes import Note
from backtrace_onnx.propagation.ledger import Ledger
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
"""Called with (nodes done, nodes) as the walk back goes on."""


@dataclass(frozen=True)
class Outcome:
    """Relevance of the tensors, the ledger, and what was explained.

    Attributes:
        relevance: one array per channel, shaped like the tensor, by tensor name.
        outputs: the model's outputs, by name.
        target: int64[samples], the entries that were explained; None where it is no such entry.
        axes: where samples and classes of the explained output lie.
        notes: what was assumed or is doubtful.
        binary: whether targets are classes 0 and 1, for which the output's one entry stands.
        held: bytes of the model's tensors that were held for the walk.
        texts: the tokens that the model cuts texts into, by tensor.
        slopes: as `relevance`, of the tensors at which slopes travelled.
    """

    relevance: dict[str, Channels]
    ledger: Ledger
    outputs: dict[str, Any]
    target: Array | None
    axes: OutputAxes
    notes: tuple[Note, ...] = ()
    binary: TwoClasses = ""
    held: int = 0
    texts: Mapping[str, Array] = field(default_factory=dict)
    slopes: dict[str, Channels] = field(default_factory=dict)


def bytes_of(arrays: Mapping[str, Any]) -> int:
    """How much memory the tensors of a run take."""
    return sum([x.nbytes if type(x) is np.ndarray else 0 for x in arrays.values()])
