"""Randomisation: an explanation must depend on what the model learned, and on the class.

Sources: model parameter randomisation (Adebayo et al. 2018, arXiv 1810.03292), its efficient form,
the rise of complexity, and its smooth one (Hedström et al. 2024, arXiv 2401.06465).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx

from backtrace_onnx.errors import RequestError
from backtrace_onnx.metrics.complexity import complexity
from backtrace_onnx.metrics.samples import alike, numbers_of
from backtrace_onnx.metrics.scores import correlation
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.model.loading import Model, load
from backtrace_onnx.model.weights import Weights

Array = npt.NDArray[Any]
Order = Literal["top_down", "bottom_up", "independent"]
"""Which weights are drawn anew: those of more and more nodes, from the output or from the input on;
or of one node at a time."""


def similarity(a: Any, b: Any) -> Array:
    """float64[samples]: the rank correlation (Spearman's) of two explanations.

    It is 0 where one of them is the same everywhere, NaN where one is not finite. Raises
    RequestError for what is no array of numbers, is empty, or of another shape.
    """
    a, b = (numbers_of(r, "relevance") for r in (a, b))
    alike(a, b, "two explanations")
    made = np.full(len(a), np.nan)
    for sample in np.flatnonzero(np.isfinite(a).all(1) & np.isfinite(b).all(1)):
        made[sample] = correlation(_ranks(a[sample]), _ranks(b[sample]))
    return made


def class_sensitivity(relevance: Any, other: Any) -> Array:
    """float64[samples]: 1 less the cosine of the maps of two classes, from 0 to 2.

    0 is the same map for both; NaN where one is 0 everywhere, or not finite. Raises RequestError as
    `similarity`.
    """
    a, b = (numbers_of(r, "relevance") for r in (relevance, other))
    alike(a, b, "two explanations")
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine: Array = np.full(len(a), np.nan)
    np.divide((a * b).sum(1), sizes, out=cosine, where=(sizes > 0) & np.isfinite(sizes))
    return 1 - cosine


def randomised_models(
    model: ModelLike, *, order: Order = "top_down", seed: int = 0
) -> Iterator[tuple[str, onnx.ModelProto]]:
    """The model with weights drawn anew, node by node: the name of the node, and the model.

    The weights of a node are its float initializers of two axes or more; new ones are normal, of
    the same mean and deviation. Raises ModelError where the model cannot be loaded, RequestError
    where no node of it has such weights.
    """
    if order not in get_args(Order):
        raise RequestError(f"order is {', '.join(get_args(Order))}, not {order!r}")
    loaded, layers, drawn = _drawn(model, seed)
    changed: dict[str, Array] = {}
    for node, names in layers if order == "bottom_up" else layers[::-1]:
        changed = {} if order == "independent" else changed
        changed |= {name: drawn[name] for name in names}
        yield node, _with_weights(loaded.proto, {**loaded.weights, **changed})


def randomised_model(model: ModelLike, *, seed: int = 0) -> onnx.ModelProto:
    """The model with the weights of all nodes drawn anew: the last of `randomised_models`.

    Raises what that raises.
    """
    loaded, _, drawn = _drawn(model, seed)
    return _with_weights(loaded.proto, {**loaded.weights, **drawn})


def _drawn(model: ModelLike, seed: int) -> tuple[Model, list[tuple[str, list[str]]], Weights]:
    """The model, the names of every node's weights, and new ones for all of them."""
    loaded = load(model)
    layers = _layers(loaded.proto, loaded.weights)
    if not layers:
        raise RequestError(f"{loaded.name}: no node of it has weights to draw anew")
    rng = np.random.default_rng(seed)
    drawn = {
        name: rng.normal(w.mean(), w.std(), w.shape).astype(w.dtype)
        for name, w in ((n, loaded.weights[n]) for _, names in layers for n in names)
    }
    return loaded, layers, drawn


def _layers(proto: onnx.ModelProto, weights: Any) -> list[tuple[str, list[str]]]:
    found = []
    for node in proto.graph.node:
        own = [n for n in node.input if n in weights]
        own = [n for n in own if weights[n].ndim > 1 and weights[n].dtype.kind == "f"]
        if own:
            found.append((node.name, own))
    return found


def _with_weights(proto: onnx.ModelProto, weights: Any) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    del made.graph.initializer[:]
    made.graph.initializer.extend(onnx.numpy_helper.from_array(w, n) for n, w in weights.items())
    return made


@dataclass(frozen=True)
class Randomisation:
    """What became of an explanation as weights were drawn anew.

    Attributes:
        nodes: those whose weights were drawn, in order.
        similarity: float64[nodes, samples]: the rank correlation with the explanation of the model
            as it is; near 0 is right.
        rise: float64[samples]: how much more complex the explanation of the last model is, in parts
            of what it was (the efficient form); above 0 is right, NaN where it was 0.
    """

    nodes: tuple[str, ...]
    similarity: Array
    rise: Array


def model_randomisation(
    explain: Callable[[Any, Array], Any],
    model: ModelLike,
    x: Any,
    *,
    order: Order = "top_down",
    noisy: int = 1,
    noise: float = 0.0,
    rise_of: Callable[[Array], Array] = complexity,
    seed: int = 0,
) -> Randomisation:
    """How an explanation changes as the model's weights are drawn anew, node by node.

    Args:
        explain: (model, x[samples, ...]) -> relevance [samples, ...].
        noisy, noise: the smooth form: every explanation is the mean of as many, of the inputs as
            they are and of others with normal noise, whose deviation is in parts of each
            sample's own range.
        rise_of: how complex explanations are: `complexity`, or the efficient form's own measure,
            `histogram_complexity`.

    Other arguments, and what is raised, are those of `randomised_models`.
    """
    x = np.asarray(x)
    if noisy < 1 or noise < 0:
        raise RequestError("noisy is 1 or more, noise is no negative number")
    spread = noise * np.ptp(x, tuple(range(1, x.ndim)), keepdims=True) if noise else 0

    def explained(of: Any) -> Array:
        rng = np.random.default_rng(seed)
        total = np.asarray(explain(of, x), np.float64)
        for _ in range(noisy - 1):
            at = (x + spread * rng.standard_normal(x.shape[1:])).astype(x.dtype)
            total = total + np.asarray(explain(of, at), np.float64)
        return total / noisy

    own = last = explained(model)
    nodes, found = [], []
    for node, changed in randomised_models(model, order=order, seed=seed):
        last = explained(changed)
        nodes.append(node)
        found.append(similarity(own, last))
    before = rise_of(own)
    rise = np.divide(rise_of(last) - before, before, out=np.full(len(x), np.nan), where=before > 0)
    return Randomisation(tuple(nodes), np.stack(found), rise)


def _ranks(row: Array) -> Array:
    """Ranks; what is equal has the mean of its ranks."""
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    made: Array = (ends - (counts - 1) / 2)[inverse]
    return made


__all__ = [
    "Order",
    "Randomisation",
    "class_sensitivity",
    "model_randomisation",
    "randomised_model",
    "randomised_models",
    "similarity",
]
