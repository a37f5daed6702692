"""Patching: what an answer would change if a tensor inside had another run's values, and estimates.

`patch` does it: the model runs with a tensor replaced (activation patching). `patching` estimates
it for every tensor at once, to first order, from one explanation: the difference of the two runs
times the tensor's slope (attribution patching, Syed et al. 2023, arXiv 2310.10348; with the
coefficients of AttnLRP in place of gradients that is RelP, arXiv 2508.21258).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.generation import entries_of
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.graph.tensor_channels import channel_axis
from backtrace_onnx.patching_lines import mean_slopes
from backtrace_onnx.policies import find_method
from backtrace_onnx.targets.language_models import find_tokens
from backtrace_onnx.targets.spatial_tensors import spatial_tensors

if TYPE_CHECKING:
    from backtrace_onnx.explainer import Explainer
    from backtrace_onnx.explanation import Explanation

Array = npt.NDArray[Any]
Side = Literal["corrupt", "clean", "both", "line"]
STEPS = 8
Axes = tuple[int | None, int | None, tuple[int, ...]]
"""Of a tensor: the axis of its samples, that of its channels, and those of its positions."""


@dataclass(frozen=True)
class Weighted:
    """A metric of several entries: the sum of their values times weights.

    Attributes:
        entries: (entry, weight) pairs; an entry is one as `explain` takes a target.
        ends: the place after the last token of each text; default: the output's end.
    """

    entries: tuple[tuple[Any, float], ...]
    ends: npt.NDArray[np.int64] | None = None

    def ending(self, ends: npt.NDArray[np.int64] | None) -> Weighted:
        """The same where texts end at these places, int64[samples]; None: nothing tells anew."""
        return self if ends is None else replace(self, ends=ends)

    def __call__(self, y: Array, channels: int = 1) -> Array:
        """The weights, shaped like an output y[samples, ...]."""
        made = np.zeros((len(y), y[0].size))
        for entry, weight in self.entries:
            made[np.arange(len(y)), entries_of(entry, y, self.ends)] += weight
        return made.reshape(y.shape)


@dataclass(frozen=True)
class Patching:
    """Estimates of what patching each tensor would do.

    Attributes:
        scores: by tensor, shaped like it: (clean - corrupt) times slope; their sum over any part of
            a tensor estimates what patching that part moves the metric by, from corrupt to clean.
        clean, corrupt: the metric of both runs, float64[samples].
        at: the run whose slopes were taken, or both, or the line between them.
        explanation: the explanation that holds these; else that of the corrupt run.
        axes: where samples, channels and positions of the tensors lie, where known.
    """

    scores: Mapping[str, Array]
    clean: Array
    corrupt: Array
    at: Side
    explanation: Explanation
    axes: Mapping[str, Axes] = field(repr=False)

    def totals(self, by: Literal["tensor", "position", "channel"] = "tensor") -> dict[str, Array]:
        """Sums of the scores by tensor name: [samples], or [samples, positions or channels].

        Channels of what is split by heads are heads; positions of a picture are its pixels, of
        other tensors those of their tokens. Tensors without such an axis are left out.
        """
        if by not in ("tensor", "position", "channel"):
            raise RequestError(f"totals are by tensor, position or channel, not {by!r}")
        return {
            name: made
            for name, scores in self.scores.items()
            if (made := self._total(name, scores, by)) is not None
        }

    def _total(self, name: str, scores: Array, by: str) -> Array | None:
        sample, channel, places = self.axes[name]
        kept = {"tensor": (), "position": places, "channel": (channel,)}[by]
        if by != "tensor" and (None in kept or not kept):
            return None
        order = [axis for axis in (sample, *kept) if axis is not None]
        others = tuple(axis for axis in range(scores.ndim) if axis not in order)
        summed = scores.sum(others, dtype=np.float64)
        made: Array = np.transpose(summed, np.argsort(np.argsort(order)))
        return made if sample is not None else made[None]


def patching(
    explainer: Explainer,
    clean: Any,
    corrupt: Any,
    metric: Any,
    *,
    mode: Any = "gradient",
    tensors: Sequence[str] | None = None,
    at: Side = "corrupt",
    steps: int | None = None,
    **options: Any,
) -> Patching:
    """Estimate what each tensor's values of the clean run would do in the corrupt one.

    score = (value in the clean run - value in the corrupt run) * slope

    Slopes of the corrupt run (`at`) estimate what its metric gains where the tensor has clean
    values; those of the clean run what that one loses with corrupt ones. The mean of both ("both")
    is of second order; that over the line between ("line") follows what bends, at a walk a point.

    Args:
        clean, corrupt: inputs of the same shapes, as `Explainer.explain` takes them.
        metric: an entry of the output, as `target`; a `Contrast` of two; or weights by entry.
        mode: one walk of slopes; "gradient" is attribution patching, "attnlrp" RelP.
        tensors: their names; default: all that have a slope.
        at: whose slopes are taken; steps: how many points a line has, by default 8.
        options: others of `explain`: task, output, tokenizer ...

    Raises:
        RequestError: the mode has no slopes, or the two runs do not correspond entry by entry.
        InputError: an input does not fit.
    """
    count = _check(mode, at, steps, tensors)
    keep = "all" if tensors is None else list(tensors)
    asked = {**options, **_asked(metric), "mode": mode}
    sides = {"clean": ["clean"], "both": ["corrupt", "clean"]}.get(at, ["corrupt"])
    made = {}
    for side, x in (("clean", clean), ("corrupt", corrupt)):
        made[side] = explainer.explain(x, keep=keep if side in sides else "inputs", **asked)
    chosen = made[sides[0]]
    graph = explainer._model.read(dict(chosen.inputs))[0].graphs.nodes
    found = [name for name in chosen.slopes if tensors is None or name in tensors]
    names = [name for name in found if graph.type(name).is_float]
    slopes = [made[side].slopes for side in sides]
    values = _both(explainer, made, names)
    if at == "line":
        slopes = [mean_slopes(explainer, made, names, count, _placed(chosen, asked, graph))]
    first, last = (made[side].ledger.total().start[0] for side in ("clean", "corrupt"))
    axes = {name: _axes(graph, chosen.output, name) for name in names}
    return Patching(_scores(values, slopes), first, last, at, chosen, axes)


def _scores(
    found: Mapping[str, Mapping[str, Array]], slopes: Sequence[Mapping[str, Array]]
) -> dict[str, Array]:
    """By tensor: what the clean run has more than the corrupt one, times the mean slope."""

    def score(name: str, clean: Array) -> Array:
        moved = np.subtract(clean, found["corrupt"][name], dtype=np.float64)
        return np.asarray(moved * np.mean([of[name] for of in slopes], 0, np.float64))

    return {name: score(name, clean) for name, clean in found["clean"].items()}


def _check(mode: Any, at: Any, steps: Any, tensors: Any) -> int:
    """The points of a line. Raises RequestError for a mode without slopes, and what is no run."""
    _check_names(tensors)
    method = find_method(mode)
    if method.carrier != "slope" or method.walks is not None or method.compares:
        raise RequestError(
            f"patching takes a mode of one walk that carries slopes (gradient, attnlrp, lrp); mode "
            f"{method.name!r} is none"
        )
    if at not in get_args(Side):
        raise RequestError(
            f"at is the run whose slopes are taken, corrupt, clean or both, or line, not {at!r}"
        )
    if steps is not None and at != "line":
        raise RequestError(f"steps are points of a line: at='line' takes them, at={at!r} does not")
    steps = STEPS if steps is None else steps
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise RequestError(f"steps is the number of points on the line, from 1 on, not {steps!r}")
    return steps


def patch(
    explainer: Explainer, inputs: Any, values: Mapping[str, Array | Callable[[Array], Array]]
) -> dict[str, Any]:
    """Run the model with tensors inside replaced (activation patching); its outputs by name.

    Branches and loops that depend on the inputs stay as they run on `inputs`.

    Args:
        inputs: arrays, as `Explainer.explain` takes them.
        values: by tensor an array in its place, or a function that is given what the model
            computes there and returns one. Several samples may be tried at once where the model
            takes batches: inputs and values are given as many rows.

    Raises:
        RequestError: a tensor is none that the model computes, or a value does not fit.
        InputError: an input does not fit, or the model does not run with these values.
    """
    if not isinstance(values, Mapping):
        raise RequestError(f"values are arrays or functions by tensor, not {type(values).__name__}")
    model, feeds = explainer._model.read(inputs)
    computed = model.values(feeds, tuple(name for name, x in values.items() if callable(x)))
    given = {name: x(computed[name]) if callable(x) else x for name, x in values.items()}
    return model.patched(tuple(values)).run(feeds, given)


def tensor_values(explainer: Explainer, inputs: Any, tensors: Sequence[str]) -> dict[str, Array]:
    """What the model computes at tensors inside, by name.

    Raises RequestError for a name that is none, InputError where an input does not fit.
    """
    _check_names(tensors)
    model, feeds = explainer._model.read(inputs)
    return model.values(feeds, tuple(tensors))


def _check_names(tensors: Any) -> None:
    """Raises RequestError for a text, whose letters are no names."""
    if isinstance(tensors, str):
        raise RequestError(f"tensors is a list of names, as in [{tensors!r}]")


def _asked(metric: Any) -> dict[str, Any]:
    """A metric as `explain` is asked for it."""
    if metric is None or (isinstance(metric, Mapping) and not metric):
        raise RequestError(
            "patching takes a metric, the same for both runs: an entry of the output, a Contrast "
            "of two, or weights by entry"
        )
    if isinstance(metric, Mapping):
        return {"start": Weighted(tuple((entry, _weight(w)) for entry, w in metric.items()))}
    return {"start": metric} if callable(metric) else {"target": metric}


def _weight(given: Any) -> float:
    """The weight of an entry. Raises RequestError for what is no finite number."""
    try:
        weight = float(given)
    except (TypeError, ValueError):
        weight = math.nan
    if not math.isfinite(weight):
        raise RequestError(f"weights of a metric are finite numbers by entry, not {given!r}")
    return weight


def _placed(one: Explanation, asked: Mapping[str, Any], graph: Graph) -> dict[str, Any]:
    """What was asked, said so that it needs no ids: where texts end, and what the task is."""
    tokens = find_tokens(graph, one.output)
    ends = tokens.ends(one.inputs, one.outputs[one.output].shape[1]) if tokens else None
    start = asked.get("start")
    if "target" in asked and one.task == "generation":
        start = Weighted(((asked["target"], 1.0),))
    if start is None:
        return {**asked, "task": one.task}
    kept = {key: x for key, x in asked.items() if key not in ("target", "task")}
    return {**kept, "start": start.ending(ends) if hasattr(start, "ending") else start}


def _both(
    explainer: Explainer, made: Mapping[str, Explanation], names: Sequence[str]
) -> dict[str, dict[str, Array]]:
    """The values of tensors in both runs. Raises RequestError where they do not correspond."""
    read = {side: explainer._model.read(dict(one.inputs)) for side, one in made.items()}
    if read["clean"][0] is not read["corrupt"][0]:
        raise RequestError(
            "clean and corrupt take other branches of the model's control flow, so that their "
            "tensors do not correspond"
        )
    found = {side: model.values(feeds, tuple(names)) for side, (model, feeds) in read.items()}
    for name in names:
        shapes = [found[side][name].shape for side in ("clean", "corrupt")]
        if shapes[0] != shapes[1]:
            raise RequestError(
                f"clean and corrupt must be of one shape: tensor {name!r} has {shapes[0]} in the "
                f"one and {shapes[1]} in the other; pad texts to the same tokens"
            )
    return found


def _axes(graph: Graph, output: str, name: str) -> Axes:
    """Where samples, channels and positions of a tensor lie."""
    rank, channel = graph.type(name).rank or 0, channel_axis(graph, name)
    sample = SampleAxes(graph)(name)
    others = [axis for axis in range(rank) if axis not in (sample, channel)]
    heads = channel == 1 and rank == 4 and name not in spatial_tensors(graph, output)
    places = others[:1] if heads else others
    return None if sample is None else int(sample), channel, tuple(places if channel else ())
