"""Integrated and expected gradients: slopes on lines from references to the inputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.tensors_inside import told_inside
from backtrace_onnx.engines.walk_points import Point
from backtrace_onnx.engines.walker import Walker
from backtrace_onnx.inputs.baselines import Reference, in_words
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.methods.line_parts import drawn_parts, even_parts
from backtrace_onnx.ops.walks import ExpectedGradients, IntegratedGradients
from backtrace_onnx.targets.question import Span
from backtrace_onnx.targets.start_notes import empty_notes

Array = npt.NDArray[Any]
Told = Callable[[int, int], None]
LADDER = (16, 32, 64, 128, 256)
ENOUGH = 0.01  # of the difference to the reference: what may be left unassigned
_ROUNDING = 1e-6  # of the scores themselves


@dataclass
class _Line:
    """The way from one reference to one row of a batch, and what was found on it.

    Attributes:
        x, x0: its ends, by input that moves.
        y, y0: the scores there, float64[samples of the row].
        relevance: float64, by input. missing: what of y - y0 it does not make up.
    """

    walker: Walker
    row: int
    x: Mapping[str, Array]
    x0: Mapping[str, Array]
    y: Array
    y0: Array = field(default_factory=lambda: np.zeros(0))
    relevance: dict[str, Array] = field(default_factory=dict)
    steps: int = 0

    def at(self, place: float) -> Point:
        """The inputs at a place from 0, the reference, to 1."""
        return Point(self.row, self._moved(place))

    def part(self, place: float, low: float, high: float) -> Point:
        """The same, weighed by what changes along the part of the line from low to high."""
        dtype = self.walker.dtype
        changes = {
            name: ((high - low) * far).astype(dtype) for name, far in _far(self.x, self.x0).items()
        }
        ends = (self._moved(high), self._moved(low), changes)
        return Point(self.row, self._moved(place), Span(*ends), high - low)

    def _moved(self, place: float) -> dict[str, Array]:
        moved = {}
        for name, x in self.x.items():
            x0 = self.x0[name]
            moved[name] = (x0 + place * (x - x0)).astype(x.dtype)
        return moved

    def settle(self, mean: Mapping[str, Array], steps: int) -> None:
        """Take the mean slope on the line."""
        self.relevance, self.steps = _times(self.x, self.x0, mean), steps

    @property
    def done(self) -> bool:
        """Whether relevance adds up to the difference of the scores, as well as it must."""
        missing = self.y - self.y0 - self.walker.sums(self.relevance)
        return bool(np.all(np.abs(missing) <= _allowed(self.y, self.y0)))


def integrated_gradients(
    walker: Walker,
    how: IntegratedGradients,
    references: Sequence[Reference],
    told: Told,
    keep: Collection[str] = (),
) -> Outcome:
    """(x - x0) times the mean slope on the line, for the mean of the references.

    `keep`: tensors inside that are told of, too.
    """
    ends = [walker.moved.feeds(reference.arrays) for reference in references]
    lines = [_line(walker, row, x0) for row in range(len(walker.rows)) for x0 in ends]
    begins = walker.walk((line.at(0.0) for line in lines), back=False)
    for line, found in zip(lines, begins, strict=True):
        line.y0 = found.score
    left = lines
    for steps in LADDER if how.steps is None else (how.steps,):
        _integrate(walker, left, steps, told)
        left = [line for line in left if not line.done]
        if not left:
            break
    groups = [lines[i : i + len(references)] for i in range(0, len(lines), len(references))]
    rows = [_mean([line.relevance for line in group]) for group in groups]
    y0 = np.concatenate([np.mean([line.y0 for line in group], 0) for group in groups])
    most = max(line.steps for line in lines)
    some = f"{LADDER[0]} to {most}" if how.steps is None and most > LADDER[0] else f"{most}"
    what = in_words(references)
    note = Note(f"the score is compared with that of {what}: {some} points on the line to it")
    made = _made(walker, rows, y0, note, "more points on the line (steps=) leave less")

    def parts(wide: Walker, row: int) -> Iterator[Point]:
        own = groups[row] if len(wide.rows) == len(groups) else [line for g in groups for line in g]
        for i, x0 in enumerate(ends):
            steps = max(line.steps for line in own[i :: len(ends)])
            line = _line(wide, row, x0)
            yield from (line.part(*part) for part in even_parts(steps))

    return told_inside(walker, made, keep, parts, 1 / len(ends)) if keep else made


def _integrate(walker: Walker, lines: Sequence[_Line], steps: int, told: Told) -> None:
    """Gauss-Legendre sums of the slopes on some lines."""
    parts = even_parts(steps)
    weights = parts.highs - parts.lows
    walked = walker.walk(line.at(float(place)) for line in lines for place in parts.places)
    for done, line in enumerate(lines, 1):
        mean = {name: np.zeros(x.shape) for name, x in line.x.items()}
        for weight in weights:
            for name, slope in next(walked).slopes.items():
                mean[name] += weight * slope
        line.settle(mean, steps)
        told(done, len(lines))


def expected_gradients(
    walker: Walker,
    how: ExpectedGradients,
    references: Sequence[Reference],
    told: Told,
    keep: Collection[str] = (),
) -> Outcome:
    """The mean of (x - b) times the slope, over drawn rows b of a background and places.

    `keep`: tensors inside that are told of, too.
    """
    drawn, parts = drawn_parts(how, len(references))
    ends = {b: walker.moved.feeds(references[b].arrays) for b in sorted(set(drawn))}
    rows, y0 = [], []
    for row in range(len(walker.rows)):
        lines = {b: _line(walker, row, x0) for b, x0 in ends.items()}
        answers = walker.walk((line.at(0.0) for line in lines.values()), back=False)
        scores = {b: found.score for b, found in zip(lines, answers, strict=True)}
        mean: dict[str, Array] = {}
        found = walker.walk(lines[b].at(a) for b, a in zip(drawn, parts.places, strict=True))
        for b, walked in zip(drawn, found, strict=True):
            for name, r in _times(lines[b].x, lines[b].x0, walked.slopes).items():
                mean[name] = mean.get(name, 0.0) + r / len(drawn)
        rows.append(mean)
        y0.append(np.mean([scores[b] for b in drawn], 0))
        told(row + 1, len(walker.rows))
    note = Note(
        f"the score is compared with its mean over {len(set(drawn))} of the background's "
        f"{len(references)} row(s): {len(drawn)} draws, seed {how.seed}"
    )
    made = _made(walker, rows, np.concatenate(y0), note, "more draws (samples=) leave less")

    def points(wide: Walker, row: int) -> Iterator[Point]:
        lines = {b: _line(wide, row, x0) for b, x0 in ends.items()}
        return (lines[b].part(*part) for b, part in zip(drawn, parts, strict=True))

    return told_inside(walker, made, keep, points) if keep else made


def _line(walker: Walker, row: int, reference: Mapping[str, Array]) -> _Line:
    x = {name: walker.rows[row][name] for name in walker.names}
    x0 = {name: walker.row(name, reference[name], row) for name in walker.names}
    return _Line(walker, row, x, x0, walker.own(row, walker.score))


def _times(
    x: Mapping[str, Array], x0: Mapping[str, Array], m: Mapping[str, Array]
) -> dict[str, Array]:
    """(x - x0) m; nothing where a value is missing."""
    return {name: d * m[name] for name, d in _far(x, x0).items()}


def _far(x: Mapping[str, Array], x0: Mapping[str, Array]) -> dict[str, Array]:
    far = {name: np.subtract(x[name], x0[name], dtype=np.float64) for name in x}
    return {name: np.where(np.isnan(d), 0.0, d) for name, d in far.items()}


def _mean(every: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.mean([own[name] for own in every], 0) for name in every[0]}


def _allowed(y: Array, y0: Array) -> Array:
    rounding = _ROUNDING * np.maximum(np.abs(y), np.abs(y0))
    return np.asarray(ENOUGH * np.abs(y - y0) + rounding)


def _made(
    walker: Walker, rows: Sequence[Mapping[str, Array]], y0: Array, note: Note, remedy: str
) -> Outcome:
    sums, y = [walker.sums(row) for row in rows], walker.score
    inputs = np.concatenate(sums)
    doubts = _residues(y, y0, inputs, remedy)
    some = [any(r.any() for r in row.values()) for row in rows]  # though scores may be the same
    empty = empty_notes(np.abs(y - y0)[None] + np.repeat(some, [len(own) for own in sums]))
    return walker.outcome(rows, y - y0, inputs, (*empty, note, *doubts))


def _residues(y: Array, y0: Array, inputs: Array, remedy: str) -> Iterator[Note]:
    """Samples whose relevance does not add up to the difference of the scores."""
    missing = np.abs(y - y0 - inputs)
    for sample in np.flatnonzero(missing > _allowed(y, y0)):
        whole = abs(float(y[sample] - y0[sample]))
        share = f"{100 * missing[sample] / whole:.2g} %" if whole else f"{missing[sample]:.2g}"
        yield Note(
            f"{share} of the difference to the baseline is unassigned; {remedy}", int(sample)
        )


__all__ = ["expected_gradients", "integrated_gradients"]
