"""Several walks of one question: the same start at other inputs, many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.explanation_maker import input_axes
from backtrace_onnx.engines.outcome import Outcome, Progress
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.ids import find_ids
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.methods.named import METHODS
from backtrace_onnx.propagation.ledger import Balance, Ledger
from backtrace_onnx.results.reach import check_finite
from backtrace_onnx.targets.axis_search import GivenAxes
from backtrace_onnx.targets.question import OWN_START, Question
from backtrace_onnx.targets.start_site import CHOSEN

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Ask = Callable[[Question, Arrays], Outcome]
PART = 1 << 28  # bytes of the model's tensors that are held at once


@dataclass(frozen=True)
class Point:
    """Inputs at which a row of the batch is to be explained.

    Attributes:
        row: number of the row.
        moved: the inputs that differ from those of the row.
    """

    row: int
    moved: Arrays


@dataclass(frozen=True)
class Slopes:
    """What one walk found.

    Attributes:
        slopes: of the inputs that move, float64, shaped like them.
        score: what is explained, float64[samples].
    """

    slopes: dict[str, Array]
    score: Array


class Walker:
    """Walks of `gradient`, all from the start that the answer to a batch chooses.

    A row is a sample, where the model takes any number of them and keeps them apart; else it is
    the whole batch.

    Args:
        ask: explains a question at inputs by one walk.
        question: what is asked, by a method of several walks.
        feeds: the batch, by input. graph: the model's.
        keep: tensors whose slopes the first walk keeps.

    Attributes:
        method: that of the walks.
        first: the walk at the batch itself. names: the inputs that move.
        rows: the inputs of every row.
    """

    def __init__(
        self, ask: Ask, question: Question, feeds: Arrays, graph: Graph, keep: Iterable[str] = ()
    ) -> None:
        self._ask, self._mode = ask, question.method.name
        output = graph.aliases.get(question.output, question.output)
        method = replace(METHODS["gradient"], name=self._mode.partition("(")[0])
        self.method = method
        plain = replace(question, method=method, keep=frozenset({output, *keep}))
        self.first = self._found(plain, feeds)
        self._start = np.asarray(self.first.relevance[output][0])
        samples = self.first.axes.samples
        self._question = replace(
            plain,
            task=OWN_START if question.task == OWN_START else CHOSEN,
            target=None,
            scaler=None,
            axes=GivenAxes(
                "none" if samples is None else samples, None, None, question.axes.labels
            ),
            keep=frozenset(),
            open=False,
            booked=self.first.ledger.mixed or bool(question.through),
        )
        self._axes = input_axes(feeds, graph, self.first)
        self._samples, self._feeds = samples, dict(feeds)
        self.names = self._moving(graph) if _walks_elsewhere(question) else ()
        self._batched = bool(self.names) and self._takes_batches(graph)
        count = self.count if self._batched else 1
        self.rows = [
            {name: self.row(name, x, i) for name, x in feeds.items()} for i in range(count)
        ]
        self._most = max(1, PART * count // max(1, self.first.held))

    @property
    def count(self) -> int:
        """Number of samples of the batch."""
        return int(self.first.ledger.total().start.shape[1])

    @property
    def score(self) -> Array:
        """What is explained, float64[samples]."""
        return np.asarray(self.first.ledger.total().start[0])

    def sample_axis(self, name: str) -> int | None:
        """Where the samples of an input lie; None where it is one for all."""
        return self._axes[name]

    def matters(self, name: str) -> bool:
        """Whether the score depends on an input, as far as slopes tell."""
        reached = {n for n in self._feeds if np.any(self.first.relevance[n][0])}
        return name in reached or not reached

    def row(self, name: str, x: Array, row: int) -> Array:
        """The part of a row in an array shaped like an input of the batch."""
        axis = self._axes[name] if self._batched else None
        return x if axis is None else x.take([row], axis)

    def own(self, row: int, totals: Array) -> Array:
        """The totals, float64[samples], of a row's samples."""
        return totals[row : row + 1] if self._batched else totals

    def sums(self, relevance: Arrays) -> Array:
        """Total over the inputs of a row, float64[its samples]."""
        count = 1 if self._batched else self.count
        made = np.zeros(count)
        for name, r in relevance.items():
            axis = self._axes[name]
            if axis is None:  # of no one sample: of all alike
                made += r.sum(dtype=np.float64) / count
            else:
                made += np.moveaxis(r, axis, 0).reshape(count, -1).sum(1, dtype=np.float64)
        return made

    def noise(self, name: str, x: Array, rng: np.random.Generator) -> Array:
        """Normal noise for an input of a row, the same for every sample, of their ranges' size."""
        axis = self._axes[name]
        own = tuple(i for i in range(x.ndim) if i != axis)
        wide = x.astype(np.float64)
        high, low = np.nanmax(wide, own, keepdims=True), np.nanmin(wide, own, keepdims=True)
        spans = np.where(high > low, high - low, np.abs(high))
        shape = [1 if i == axis else n for i, n in enumerate(x.shape)]
        made: Array = spans * rng.standard_normal(shape)
        return made

    def walk(self, points: Iterable[Point]) -> Iterator[Slopes]:
        """What the walks at these points find, in their order; as many at once as fit.

        Raises InputError where the model has no finite answer at one of them.
        """
        left = iter(points)
        while part := list(islice(left, self._most if self._batched else 1)):
            yield from self._together(part)

    def outcome(
        self,
        rows: Sequence[Arrays],
        start: Array,
        inputs: Array,
        notes: Iterable[Note] = (),
    ) -> Outcome:
        """The relevance of all rows as one outcome; what `inputs` lack of `start` is unassigned."""
        totals = [
            np.asarray(x, np.float64)[None] for x in (start, inputs, start * 0, start - inputs)
        ]
        relevance = {name: [self._joined(name, rows)] for name in self._feeds}
        notes = (*self.first.notes, *notes)
        return replace(
            self.first,
            relevance=relevance,
            slopes={},
            ledger=Ledger({}, Balance(*totals)),
            notes=notes,
        )

    def _joined(self, name: str, rows: Sequence[Arrays]) -> Array:
        """The relevance of an input; 0 where it does not move."""
        if name not in rows[0]:
            return np.zeros(self._feeds[name].shape, self._start.dtype)
        axis = self._axes[name]
        parts = [row[name] for row in rows]
        whole = parts[0] if axis is None else np.concatenate(parts, axis)
        return whole.astype(self._start.dtype)

    def _moving(self, graph: Graph) -> tuple[str, ...]:
        """The inputs that are numbers of any size. Raises RequestError where others matter."""
        ids = find_ids(graph)
        moving = [n for n, x in self._feeds.items() if x.dtype.kind == "f" and n not in ids]
        for name in self._feeds.keys() - set(moving):
            if name in ids or np.any(self.first.relevance[name][0]):
                what = "ids" if name in ids else f"{self._feeds[name].dtype} values"
                raise RequestError(
                    f"mode {self._mode!r}: input {name!r} holds {what}, between which there is "
                    "nothing that a slope could be taken of; take mode attnlrp, lrp or "
                    "gradient_x_input, which stay at the input"
                )
        return tuple(moving)

    def _takes_batches(self, graph: Graph) -> bool:
        """Whether samples may be put beside each other, as many as we like."""
        if self._samples is None or self.first.ledger.mixed:
            return False
        for name in self._feeds:
            axis, shape = self._axes[name], graph.type(name).shape
            fixed = axis is None or shape is None or isinstance(shape[axis], int)
            if fixed and (name in self.names or axis is not None):
                return False
        return True

    def _found(self, question: Question, feeds: Arrays) -> Outcome:
        found = self._ask(question, feeds)
        if not question.booked and not _is_finite(found):
            found = self._ask(replace(question, booked=True), feeds)  # whose books tell the node
        check_finite(found.ledger, self._mode, {name: found.relevance[name] for name in feeds})
        return found

    def _together(self, part: Sequence[Point]) -> Iterator[Slopes]:
        """One walk for several points; one for each where the model does not take them so."""
        if len(part) > 1:
            try:
                found = self._at(part)
            except (InputError, RequestError):
                found = None
            if found is not None and found.ledger.total().start.shape[1] == len(part):
                yield from (self._split(found, i) for i in range(len(part)))
                return
            self._most = 1
        for point in part:
            try:
                found = self._at([point])
            except (InputError, RequestError) as error:
                raise type(error)(
                    f"at inputs that mode {self._mode!r} makes of those given: {error}"
                ) from None
            yield self._split(found, None)

    def _at(self, part: Sequence[Point]) -> Outcome:
        feeds = {name: self._laid(name, part) for name in self._feeds}
        axis = self._samples
        start = self._start
        if self._batched and axis is not None:
            start = start.take([point.row for point in part], axis)
        return self._found(replace(self._question, start=start), feeds)

    def _laid(self, name: str, part: Sequence[Point]) -> Array:
        axis = self._axes[name]
        own = [point.moved.get(name, self.rows[point.row][name]) for point in part]
        return own[0] if axis is None or len(own) == 1 else np.concatenate(own, axis)

    def _split(self, found: Outcome, i: int | None) -> Slopes:
        """The part of one of several points; None: there is no other."""
        slopes, score = {}, found.ledger.total().start[0]
        for name in self.names:
            whole, axis = np.asarray(found.relevance[name][0]), self._axes[name]
            one = whole if i is None or axis is None else whole.take([i], axis)
            slopes[name] = one.astype(np.float64)
        return Slopes(slopes, score if i is None else score[i : i + 1])


def _is_finite(found: Outcome) -> bool:
    every = (r for channels in found.relevance.values() for r in channels)
    return all(bool(np.isfinite(r).all()) for r in (found.ledger.total().start, *every))


def _walks_elsewhere(question: Question) -> bool:
    return question.method.walks is not None and question.method.walks.moves


__all__ = ["Arrays", "Ask", "Point", "Progress", "Slopes", "Walker"]
