"""The metrics that modes are held to, by the names that users ask for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.reading import Reading
from backtrace_onnx.inputs.picture_shapes import picture_axes
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.metrics import axioms, faithfulness, robustness
from backtrace_onnx.metrics.complexity import complexity, sparseness
from backtrace_onnx.metrics.localisation import mass_inside, rank_inside
from backtrace_onnx.metrics.randomisation import class_sensitivity, similarity
from backtrace_onnx.metrics.scores import correlation
from backtrace_onnx.metrics.units import relevance_of_units, units_of

Better = Literal["larger", "smaller"]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        better: which numbers are.
        question: what it answers, in words.
        measure: the number of one reading; raises RequestError where it cannot be told.
        has_floor: whether what tells anything has a better number than relevance that is drawn.
    """

    name: str
    better: Better
    question: str
    measure: Callable[[Reading], float]
    has_floor: bool = False


def _units(reading: Reading) -> Any:
    return _by_units(reading, reading.relevance)


def _by_units(reading: Reading, values: Any) -> Any:
    row = reading.row
    return relevance_of_units(values, row.x, *units_of(row.x, row.parts.units))[0]


def _correlation(reading: Reading) -> float:
    return reading.row.sets.correlation(_units(reading))


def _estimate(reading: Reading) -> float:
    return correlation(_units(reading), reading.row.singles.lost)


def _morf(reading: Reading) -> float:
    return float(reading.curve("morf").area[0])


def _lerf(reading: Reading) -> float:
    return float(reading.curve("lerf").area[0])


def _abpc(reading: Reading) -> float:
    return _lerf(reading) - _morf(reading)


def _insertion(reading: Reading) -> float:
    return float(reading.curve("morf", insertion=True).area[0])


def _fidelity(reading: Reading) -> float:
    row = reading.row
    told = {**row.how, "runs": max(2, row.effort.sets // 10)}
    found = faithfulness.fidelity(row.predict, row.x, reading.relevance, 0, **told)
    return float(found.difference[0])


def _completeness(reading: Reading) -> float:
    row, told = reading.row, reading.row.how
    told = {"replace": told["replace"], "background": told["background"]}
    return abs(float(axioms.completeness(row.predict, row.x, reading.relevance, 0, **told)[0]))


def _moved(reading: Reading) -> robustness.Sensitivity:
    row = reading.row
    if row.parts.radius is None:
        raise RequestError("noise is added to numbers, and the inputs hold ids, texts or integers")
    told: Any = {"radius": row.parts.radius, "samples": row.effort.draws, "seed": row.effort.seed}
    return robustness.sensitivity(reading.explain, row.x, **told)


def _most(reading: Reading) -> float:
    return float(_moved(reading).most[0])


def _mean(reading: Reading) -> float:
    return float(_moved(reading).mean[0])


def _complexity(reading: Reading) -> float:
    return float(complexity(_units(reading)[None])[0])


def _sparseness(reading: Reading) -> float:
    return float(sparseness(_units(reading)[None])[0])


def _of_class(reading: Reading) -> float:
    row = reading.row
    if len(_units(reading)) < 2:
        raise RequestError("one part makes no map that could be another one")
    other = reading.explain(row.x, row.runner_up)
    return float(class_sensitivity(reading.relevance, other)[0])


def _conservation(reading: Reading) -> float:
    books = reading.balance
    start, reached = books.start[:, 0], books.inputs[:, 0]
    size = float(np.abs(start).sum())
    return float(np.abs(start - reached).sum()) / size if size else math.nan


def _randomisation(reading: Reading) -> float:
    own, other = _units(reading), _by_units(reading, reading.randomised)
    if len(own) < 2:
        raise RequestError("one part has no ranks to compare")
    return abs(float(similarity(own[None], other[None])[0])) if own.any() else math.nan


def _mass(reading: Reading) -> float:
    return float(mass_inside(*_places(reading))[0])


def _rank(reading: Reading) -> float:
    return float(rank_inside(*_places(reading))[0])


def _places(reading: Reading) -> tuple[Any, Any]:
    """[1, places]: relevance of pixels, their channels summed, of columns or of entries; and
    whether each should matter."""
    row, r, inside = reading.row, reading.relevance, reading.row.mask
    if row.parts.kind == "picture":
        axes = picture_axes(row.x[0])
        assert axes is not None
        others = tuple(1 + axis for axis in range(row.x.ndim - 1) if axis not in axes)
        return r.sum(others).reshape(1, -1), inside.any(others).reshape(1, -1)
    return _by_units(reading, r)[None], _by_units(reading, inside)[None] > 0


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "faithfulness-correlation",
            "larger",
            "does relevance of sets of units go with what the score loses without them?",
            _correlation,
            has_floor=True,
        ),
        Metric(
            "faithfulness-estimate",
            "larger",
            "does that of every unit go with what the score loses without it?",
            _estimate,
            has_floor=True,
        ),
        Metric("abpc", "larger", "does the order of relevance tell what matters?", _abpc, True),
        Metric(
            "morf", "smaller", "how soon does the score fall, the most relevant first?", _morf, True
        ),
        Metric("lerf", "larger", "how long does it stay, the least relevant first?", _lerf, True),
        Metric(
            "insertion", "larger", "how soon is it back, the most relevant first?", _insertion, True
        ),
        Metric("fidelity", "larger", "the same, with few units gone at a time", _fidelity, True),
        Metric("completeness", "smaller", "what is missing of the score?", _completeness),
        Metric(
            "conservation",
            "smaller",
            "what part of what a mode hands back is missing at the inputs?",
            _conservation,
        ),
        Metric("sensitivity-max", "smaller", "how far does noise move it, at most?", _most),
        Metric("sensitivity-mean", "smaller", "and in the mean?", _mean),
        Metric("complexity", "smaller", "over how many units is it spread?", _complexity),
        Metric("sparseness", "larger", "on how few units does it lie?", _sparseness),
        Metric("class-sensitivity", "larger", "does the runner-up have another map?", _of_class),
        Metric(
            "randomisation",
            "smaller",
            "is it ranked alike where the model's weights are random?",
            _randomisation,
        ),
        Metric("mass-inside", "larger", "what part of it lies inside the mask?", _mass, True),
        Metric("rank-inside", "larger", "what part of its top ranks lies there?", _rank, True),
    )
}
DEFAULT = (
    "faithfulness-correlation",
    "abpc",
    "fidelity",
    "class-sensitivity",
    "complexity",
)
LOCALISATION = ("mass-inside", "rank-inside")
"""Those that need a mask."""


def find_metrics(names: Sequence[str]) -> list[Metric]:
    """The metrics that names mean, each once. Raises RequestError for a name that is none."""
    for name in names:
        if name not in METRICS:
            close = find_alike(name, list(METRICS))
            told = f"did you mean {close[0]}?" if close else f"there are: {', '.join(METRICS)}"
            raise RequestError(f"unknown metric {name!r}; {told}")
    return [METRICS[name] for name in dict.fromkeys(names or DEFAULT)]


def number(value: float) -> float | None:
    """A number as JSON has it: None for what is none."""
    return float(value) if np.isfinite(value) else None


__all__ = ["DEFAULT", "LOCALISATION", "METRICS", "Metric", "find_metrics", "number"]
