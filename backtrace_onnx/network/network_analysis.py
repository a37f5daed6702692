"""A network's parts over the rows of a data set: relevance, books, spread, saturation, classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.explain_batches import ExplainBatches
from backtrace_onnx.data.explain_dataset import Progress
from backtrace_onnx.data.feeds import stream_feeds
from backtrace_onnx.data.reading_notes import ReadingNotes
from backtrace_onnx.errors import RequestError
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.network.collecting import NetworkSums
from backtrace_onnx.network.numbers import PartNumbers, equal_from
from backtrace_onnx.network.parts import Kind

Array = npt.NDArray[Any]
_BATCH = 32


@dataclass(frozen=True)
class NetworkAnalysis:
    """What a network does with relevance, part by part.

    Attributes:
        rows, mode: how many rows, and how they were explained.
        inputs, constants, unassigned, cut: where relevance went, means in parts of the start.
        parts: nodes, layers, modules and inputs, each kind from the answer to the inputs.
        notes: what was left out or assumed, a sentence each.
        equal_from: the layer from which on, back to the inputs, maps of two classes are equal;
            "" where they differ at some input; None where classes were not compared.
    """

    rows: int
    mode: str
    inputs: float
    constants: float
    unassigned: float
    cut: float
    parts: tuple[PartNumbers, ...]
    equal_from: str | None
    notes: tuple[str, ...] = ()

    def of(self, kind: Kind) -> tuple[PartNumbers, ...]:
        """The parts of one kind."""
        return tuple(part for part in self.parts if part.kind == kind)

    def record(self) -> dict[str, Any]:
        """All numbers, as JSON has them."""
        return {"format": 1, **asdict(self)}

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write the picture of the flow through the layers. Raises RequestError."""
        from backtrace_onnx.network.flow_picture import draw
        from backtrace_onnx.report.picture_style import save

        parts = (*self.of("layer"), *self.of("input"))
        save(Path(path), lambda: draw(self.rows, parts, self.title))

    @property
    def title(self) -> str:
        """What is seen, in one sentence."""
        said = f"{self.inputs:.0%} of the relevance arrives at the inputs"
        if self.constants > 0.005:
            said += f", biases and constants absorb {self.constants:.0%}"
        if self.unassigned > 0.005:
            said += f", nobody gets {self.unassigned:.0%}"
        if self.equal_from:
            said += f"; from {self.equal_from} on, maps of two classes are the same"
        return said


def network_analysis(
    model: ModelLike,
    data: Any,
    *,
    batch: int = _BATCH,
    classes: bool = True,
    skip_bad: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> NetworkAnalysis:
    """Follow relevance through a network, part by part, for a sample or a data set.

    Args:
        model: path, bytes or ModelProto.
        data: files as `explain_dataset` takes them; or arrays, a data frame, ... as
            `Explainer.explain` does, explained at once.
        batch: rows that are explained at once; the relevance of all tensors is held for these.
        classes: whether the likeliest class is compared with the next one.
        skip_bad, progress: as in `explain_dataset`.
        options: of `ExplainBatches`: mode, target, labels, sidecar, ...

    Raises:
        InputError: data cannot be read, or do not fit the model.
        RequestError: an option does not fit, the mode tells of the inputs only, or there is no row.
    """
    explain = ExplainBatches(model, batch=batch, **options)
    sums: NetworkSums | None = None
    told = ReadingNotes()
    for feeds, rows, about in _batches(explain, data, told, skip_bad):
        made, other = _explained(explain, feeds, classes)
        sums = sums or NetworkSums(explain.explainer, made)
        sums.add(made, other, feeds, rows)
        if progress is not None:
            progress(sums.rows, max(about, sums.rows))
    if sums is None:
        why = "".join(f"; {sentence}" for sentence in told.sentences)
        raise RequestError(f"there is no row to analyse the network with{why}")
    numbers = sums.numbers()
    found = (numbers, equal_from(numbers), (*told.sentences, *sums.notes))
    return NetworkAnalysis(sums.rows, sums.mode, *sums.totals, *found)


def _batches(
    explain: ExplainBatches, data: Any, told: ReadingNotes, skip_bad: bool
) -> Iterator[tuple[Any, int | None, int]]:
    """Inputs, how many of their samples count (None: all), and about how many rows there are."""
    several = isinstance(data, Sequence) and not isinstance(data, str | bytes) and bool(data)
    listed = several and all(isinstance(one, str | os.PathLike) for one in data)
    if listed or isinstance(data, str | os.PathLike):
        yield from stream_feeds(explain, data, told, skip_bad=skip_bad)
    else:
        yield data, None, 0


def _explained(
    explain: ExplainBatches, feeds: Any, classes: bool
) -> tuple[Explanation, Explanation | None]:
    """The explanations of the answers, and of the next likeliest class."""
    made = explain.explanation(feeds, keep="all")
    second = _second(made) if classes else None
    other = None if second is None else explain.explanation(feeds, keep="all", target=second)
    return made, other


def _second(made: Explanation) -> Array | None:
    """int64[samples]: the likeliest class other than the one explained; None without classes."""
    if made.task != "classification" or made.target is None or made.target.ndim != 1:
        return None
    if made.binary:
        return 1 - made.target
    y = made.outputs.get(made.output)
    if y is None:
        return None
    scores = made.layout.rows(np.asarray(y, np.float64))
    scores = scores.reshape(len(scores), -1).copy()
    if len(scores) != len(made.target) or scores.shape[1] < 2:
        return None
    scores[np.arange(len(scores)), made.target] = -np.inf
    best: Array = scores.argmax(1)
    return best
