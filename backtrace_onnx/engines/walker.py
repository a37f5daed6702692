"""Several walks of one question: the same start at other inputs, many of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from backtrace_onnx.engines.explanation_maker import input_axes
from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.walk_points import Point, Slopes, is_finite
from backtrace_onnx.engines.walked_model import Array, Arrays, MovingModel, WalkedModel
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.methods.named import METHODS
from backtrace_onnx.propagation.ledger import Balance, Ledger, of_samples
from backtrace_onnx.results.reach import check_finite
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.axis_search import GivenAxes
from backtrace_onnx.targets.question import OWN_START, Question, Span
from backtrace_onnx.targets.start_site import CHOSEN

PART = 1 << 28  # bytes of the model's tensors that are held at once


class Walker:
    """Walks of `gradient`, all from the start that the answer to a batch chooses.

    A row is a sample, where the model takes any number of them and keeps them apart; else it is
    the whole batch.

    Args:
        model: what is asked.
        question: by a method of several walks.
        feeds: the batch, by input.
        keep: tensors whose slopes the first walk keeps.

    Attributes:
        method: that of the walks.
        first: the walk at the batch itself.
        moved: the model that is walked elsewhere, behind what ids look up; and its inputs.
        names: those of them that move.
        rows: the inputs of every row.
    """

    def __init__(
        self, model: WalkedModel, question: Question, feeds: Arrays, keep: Iterable[str] = ()
    ) -> None:
        self._mode, self._inputs = question.method.name, dict(feeds)
        graph = model.prepared(question).plan.graph
        output = graph.aliases.get(question.output, question.output)
        method = replace(METHODS["gradient"], name=self._mode.partition("(")[0])
        self.method = method
        plain = replace(question, method=method, keep=frozenset({output, *keep}))
        self.first = self._found(model, plain, feeds)
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
        walks = question.method.walks
        moves = walks is not None and walks.moves
        reached = {name: self.first.relevance[name][0] for name in feeds}
        self.moved = MovingModel(model, question, reached if moves else None)
        self.feeds = self.moved.feeds(feeds)
        self.graph = self.moved.prepared(question).plan.graph
        self._axes = input_axes(self.feeds, self.graph, self.first)
        self.names, self._samples = self.moved.names, samples
        kept = {graph.aliases.get(name, name) for name in question.keep}
        self._before, self._keeps = kept - self.graph.tensors, bool(kept)
        self._lay_out(batched=bool(self.names) and self._takes_batches())

    def _lay_out(self, *, batched: bool, runs: int = 1) -> None:
        """Cut the batch into rows. `runs`: how many forward runs a walk makes."""
        self._batched = batched
        count = self.count if batched else 1
        self.rows = [
            {name: self.row(name, x, i) for name, x in self.feeds.items()} for i in range(count)
        ]
        self._most = max(1, PART * count // max(1, runs * self.first.held))

    def keeping(self, keep: Iterable[str], *, span: bool = False) -> Walker:
        """Walks that keep tensors inside, too; rows are the whole batch where one of these does
        not hold the samples apart.

        `span`: whether they are weighed by what changes along parts of a line.
        """
        made, axes = copy(self), SampleAxes(self.graph)
        own = self._question
        known = {name: self.graph.aliases.get(name, name) for name in keep}
        kept = {name for name in known.values() if name in self.graph.tensors}
        method = replace(self.method, spans=span, reported="relevance" if span else "slope")
        made._question = replace(own, keep=frozenset(kept), booked=True, method=method)
        made._axes = {**self._axes, **{name: axes(name) for name in kept - self.feeds.keys()}}
        apart = all((axis := axes(name)) is not None and axis.alone for name in kept)
        made._lay_out(batched=self._batched and apart, runs=3 if span else 1)
        return made

    @property
    def count(self) -> int:
        """Number of samples of the batch."""
        return int(self.first.ledger.total().start.shape[1])

    @property
    def score(self) -> Array:
        """What is explained, float64[samples]."""
        return np.asarray(self.first.ledger.total().start[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of relevance."""
        return self._start.dtype

    def sample_axis(self, name: str) -> int | None:
        """Where the samples of an input lie; None where it is one for all."""
        return self._axes[name]

    def matters(self, name: str) -> bool:
        """Whether the score depends on an input, as far as slopes tell."""
        reached = {n for n in self.feeds if np.any(self.first.relevance[n][0])}
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

    def walk(self, points: Iterable[Point], *, back: bool = True) -> Iterator[Slopes]:
        """What the walks at these points find, in their order; as many at once as fit. Without
        `back` it is the score alone.

        Raises InputError where the model has no finite answer at one of them.
        """
        left = iter(points)
        while part := list(islice(left, self._most if self._batched else 1)):
            yield from self._together(part, back=back)

    def spanned(self, points: Iterable[Point]) -> Iterator[tuple[float, Slopes]]:
        """The width of the part of a line, and what the walk finds, of every point."""
        every = list(points)
        return zip((point.width for point in every), self.walk(every), strict=True)

    def outcome(
        self,
        rows: Sequence[Arrays],
        start: Array,
        inputs: Array,
        notes: Iterable[Note] = (),
        told: Sequence[Arrays] | None = None,
    ) -> Outcome:
        """The relevance of all rows as one outcome; what `inputs` lack of `start` is unassigned.

        `told`: what is told of inputs that are inputs of the model, where that is another thing.
        """
        totals = [
            np.asarray(x, np.float64)[None] for x in (start, inputs, start * 0, start - inputs)
        ]
        joined = {name: self.joined(name, rows) for name in self.feeds}
        found, books = self.moved.handed_on(joined, self._inputs, self._before)
        if told is not None:
            own = self._inputs.keys() & set(self.names)
            found |= {name: self.joined(name, told) for name in own}
        return replace(
            self.first,
            relevance={name: [x] for name, x in found.items()},
            slopes={},
            ledger=Ledger(books if self._keeps else {}, Balance(*totals)),
            notes=(*self.first.notes, *notes),
        )

    def joined(self, name: str, rows: Sequence[Arrays]) -> Array:
        """An array of every row as one of the batch; 0 where an input does not move."""
        if name not in rows[0]:
            return np.zeros(self.feeds[name].shape, self._start.dtype)
        axis = self._axes[name] if self._batched else None
        parts = [row[name] for row in rows]
        whole = parts[0] if axis is None else np.concatenate(parts, axis)
        return whole.astype(self._start.dtype)

    def _takes_batches(self) -> bool:
        """Whether samples may be put beside each other, as many as we like."""
        if self._samples is None or self.first.ledger.mixed:
            return False
        for name in self.feeds:
            axis, shape = self._axes[name], self.graph.type(name).shape
            fixed = axis is None or shape is None or isinstance(shape[axis], int)
            if fixed and (name in self.names or axis is not None):
                return False
        return True

    def _found(self, model: WalkedModel, question: Question, feeds: Arrays) -> Outcome:
        found = model.ask(question, feeds)
        if not question.booked and not is_finite(found):
            found = model.ask(replace(question, booked=True), feeds)  # whose books tell the node
        check_finite(found.ledger, self._mode, {name: found.relevance[name] for name in feeds})
        return found

    def _together(self, part: Sequence[Point], *, back: bool) -> Iterator[Slopes]:
        """One walk for several points; one for each where the model does not take them so."""
        if len(part) > 1:
            try:
                found = self._at(part, back=back)
            except (InputError, RequestError):
                found = None
            if found is not None and found.ledger.total().start.shape[1] == len(part):
                yield from (self._split(found, i) for i in range(len(part)))
                return
            self._most = 1
        for point in part:
            try:
                found = self._at([point], back=back)
            except (InputError, RequestError) as error:
                raise type(error)(
                    f"at inputs that mode {self._mode!r} makes of those given: {error}"
                ) from None
            yield self._split(found, None)

    def _at(self, part: Sequence[Point], *, back: bool) -> Outcome:
        feeds = self._laid(part, [point.moved for point in part])
        axis, start = self._samples, self._start
        if self._batched and axis is not None:
            start = start.take([point.row for point in part], axis)
        question = replace(self._question, start=start, walked=back or self._question.booked)
        if spans := [point.span for point in part if point.span is not None]:
            ends = (self._laid(part, [getattr(span, end) for span in spans]) for end in Span.ENDS)
            question = replace(question, span=Span(*ends))
        return self._found(self.moved, question, feeds)

    def _laid(self, part: Sequence[Point], moved: Sequence[Arrays]) -> dict[str, Array]:
        """Inputs of several points beside each other."""
        found = {}
        for name, axis in self._axes.items():
            if name not in self.feeds:
                continue
            own = [x.get(name, self.rows[p.row][name]) for p, x in zip(part, moved, strict=True)]
            found[name] = own[0] if axis is None or len(own) == 1 else np.concatenate(own, axis)
        return found

    def _split(self, found: Outcome, i: int | None) -> Slopes:
        """The part of one of several points; None: there is no other."""
        ledger = found.ledger if i is None else of_samples(found.ledger, slice(i, i + 1))

        def own(name: str, group: Mapping[str, Channels]) -> Array:
            whole, axis = np.asarray(group[name][0]), self._axes[name]
            one = whole if i is None or axis is None else whole.take([i], axis)
            return one.astype(np.float64)

        kept = self._question.keep & found.relevance.keys()
        sloped = kept & found.slopes.keys()
        return Slopes(
            {name: own(name, found.relevance) for name in self.names},
            ledger.total().start[0],
            {name: own(name, found.relevance) for name in kept},
            {name: own(name, found.slopes) for name in sloped},
            ledger,
        )


__all__ = ["Walker"]
