"""Integrated and expected gradients: slopes on lines from references to the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import Outcome
from backtrace_onnx.engines.walker import Point, Walker
from backtrace_onnx.inputs.baselines import Reference, in_words
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.ops.walks import ExpectedGradients, IntegratedGradients

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
        moved = {}
        for name, x in self.x.items():
            x0 = self.x0[name]
            moved[name] = (x0 + place * (x - x0)).astype(x.dtype)
        return Point(self.row, moved)

    def settle(self, mean: Mapping[str, Array], steps: int) -> None:
        """Take the mean slope on the line."""
        self.relevance, self.steps = _times(self.x, self.x0, mean), steps

    @property
    def done(self) -> bool:
        """Whether relevance adds up to the difference of the scores, as well as it must."""
        missing = self.y - self.y0 - self.walker.sums(self.relevance)
        return bool(np.all(np.abs(missing) <= _allowed(self.y, self.y0)))


def integrated_gradients(
    walker: Walker, how: IntegratedGradients, references: Sequence[Reference], told: Told
) -> Outcome:
    """(x - x0) times the mean slope on the line, for the mean of the references."""
    lines = [
        _line(walker, row, reference) for row in range(len(walker.rows)) for reference in references
    ]
    for line, found in zip(lines, walker.walk(line.at(0.0) for line in lines), strict=True):
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
    return _made(walker, rows, y0, note, "more points on the line (steps=) leave less")


def _integrate(walker: Walker, lines: Sequence[_Line], steps: int, told: Told) -> None:
    """Gauss-Legendre sums of the slopes on some lines."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    places, weights = (places + 1) / 2, weights / 2
    walked = walker.walk(line.at(float(place)) for line in lines for place in places)
    for done, line in enumerate(lines, 1):
        mean = {name: np.zeros(x.shape) for name, x in line.x.items()}
        for weight in weights:
            for name, slope in next(walked).slopes.items():
                mean[name] += weight * slope
        line.settle(mean, steps)
        told(done, len(lines))


def expected_gradients(
    walker: Walker, how: ExpectedGradients, references: Sequence[Reference], told: Told
) -> Outcome:
    """The mean of (x - b) times the slope, over drawn rows b of a background and places."""
    drawn, places = _draws(how, len(references))
    rows, y0 = [], []
    for row in range(len(walker.rows)):
        lines = {b: _line(walker, row, references[b]) for b in sorted(set(drawn))}
        answers = walker.walk(line.at(0.0) for line in lines.values())
        scores = {b: found.score for b, found in zip(lines, answers, strict=True)}
        mean: dict[str, Array] = {}
        found = walker.walk(lines[b].at(a) for b, a in zip(drawn, places, strict=True))
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
    return _made(walker, rows, np.concatenate(y0), note, "more draws (samples=) leave less")


def _draws(how: ExpectedGradients, rows: int) -> tuple[list[int], list[float]]:
    """BackgroundRows, each as often as the others, and places, one in each part of the line."""
    rng, count = np.random.default_rng(how.seed), how.samples
    order = [rng.permutation(rows) for _ in range(-(-count // rows))]
    places = (rng.permutation(count) + rng.random(count)) / count
    return [int(b) for b in np.concatenate(order)[:count]], [float(a) for a in places]


def _line(walker: Walker, row: int, reference: Reference) -> _Line:
    x = {name: walker.rows[row][name] for name in walker.names}
    x0 = {name: walker.row(name, reference.arrays[name], row) for name in walker.names}
    return _Line(walker, row, x, x0, walker.own(row, walker.score))


def _times(
    x: Mapping[str, Array], x0: Mapping[str, Array], m: Mapping[str, Array]
) -> dict[str, Array]:
    """(x - x0) m; nothing where a value is missing."""
    far = {name: np.subtract(x[name], x0[name], dtype=np.float64) for name in x}
    return {name: np.where(np.isnan(d), 0.0, d) * m[name] for name, d in far.items()}


def _mean(every: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.mean([own[name] for own in every], 0) for name in every[0]}


def _allowed(y: Array, y0: Array) -> Array:
    rounding = _ROUNDING * np.maximum(np.abs(y), np.abs(y0))
    return np.asarray(ENOUGH * np.abs(y - y0) + rounding)


def _made(
    walker: Walker, rows: Sequence[Mapping[str, Array]], y0: Array, note: Note, remedy: str
) -> Outcome:
    inputs = np.concatenate([walker.sums(row) for row in rows])
    y = walker.score
    doubts = _residues(y, y0, inputs, remedy)
    return walker.outcome(rows, y - y0, inputs, (note, *doubts))


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
