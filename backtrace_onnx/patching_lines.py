"""Mean slopes on the line between two runs, for estimates of what patching would do.

The line is that of integrated gradients; slopes of tensors inside are taken at its points (EAP-IG,
Hanna et al. 2024, arXiv 2403.17806). Ids have no points between them: there the line is one of what
they look up, and the model behind that is explained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.first_floats import first_floats

if TYPE_CHECKING:
    from backtrace_onnx.explainer import Explainer
    from backtrace_onnx.explanation import Explanation

Array = npt.NDArray[Any]
_OF_INPUTS = ("tokenizer", "sidecar")
_CLOSE = 1e-3  # of the largest output: how near the end of the line is to the clean run


def mean_slopes(
    explainer: Explainer,
    made: Mapping[str, Explanation],
    names: Sequence[str],
    steps: int,
    asked: Mapping[str, Any],
) -> dict[str, Array]:
    """The mean slope of tensors over Gauss-Legendre points of the line, float64, by name.

    Args:
        made: the explanations of both runs, "clean" and "corrupt".
        asked: what `explain` was asked for besides.

    Raises RequestError where the runs differ by more than numbers that inputs hold or look up.
    """
    explainer, ends, asked = _line(explainer, made, asked)
    places, weights = np.polynomial.legendre.leggauss(steps)
    total: dict[str, Array] = {}
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        at = {name: _between(*pair, place) for name, pair in ends.items()}
        found = explainer.explain(at, keep=list(names), **asked)
        for name in names:
            total[name] = total.get(name, 0.0) + weight * found.slopes[name].astype(np.float64)
    return total


def _between(corrupt: Array, clean: Array, place: float) -> Array:
    if corrupt is clean:
        return corrupt
    moved: Array = corrupt + place * (clean - corrupt)
    return moved.astype(corrupt.dtype)


def _line(
    explainer: Explainer, made: Mapping[str, Explanation], asked: Mapping[str, Any]
) -> tuple[Explainer, dict[str, tuple[Array, Array]], dict[str, Any]]:
    """The model behind the first numbers that differ, these at both ends, and how it is asked."""
    own, theirs = (dict(made[side].inputs) for side in ("corrupt", "clean"))
    differing = [name for name in own if not np.array_equal(own[name], theirs[name])]
    ids = [name for name in differing if own[name].dtype.kind != "f"]
    moved = {name: (own[name], theirs[name]) for name in differing if name not in ids}
    asked = {key: x for key, x in asked.items() if not (ids and key in _OF_INPUTS)}
    if ids:
        model = explainer._model.read(own)[0]
        firsts = first_floats(model.graphs.nodes, ids)
        values = [model.values(model.read(x)[1], tuple(firsts)) for x in (own, theirs)]
        found = {name: (values[0][name], values[1][name]) for name in firsts}
        found = {name: x for name, x in found.items() if not np.array_equal(*x)}
        explainer = explainer._behind(own, list(found))
        moved |= found
    given = {name: moved.get(name, (x, x)) for name, x in own.items()} | moved
    ends = {name: given[name] for name in explainer.graph.inputs}
    _check_end(explainer, {name: pair[1] for name, pair in ends.items()}, made["clean"])
    return explainer, ends, asked


def _check_end(explainer: Explainer, feeds: Mapping[str, Array], clean: Explanation) -> None:
    """Raises RequestError where the line does not end at the clean run."""
    model, read = explainer._model.read(dict(feeds))
    output = clean.output
    want = np.asarray(clean.outputs[output])
    found = model.values(read, (output,))[output]
    largest = np.abs(want).max(initial=0.0)
    if found.shape != want.shape or np.abs(found - want).max(initial=0.0) > _CLOSE * largest:
        differ = ", ".join(map(repr, _whole_numbers(clean, feeds)))
        raise RequestError(
            f"clean and corrupt differ in {differ or 'inputs'} by more than what is looked up "
            'there, a mask perhaps, between which there is no line; take at="both", or inputs of '
            "the same mask"
        )


def _whole_numbers(clean: Explanation, feeds: Mapping[str, Array]) -> Iterator[str]:
    for name, x in clean.inputs.items():
        if not (name in feeds and np.array_equal(feeds[name], x)) and x.dtype.kind != "f":
            yield name


__all__ = ["mean_slopes"]
