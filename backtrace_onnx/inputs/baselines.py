"""Baselines: the inputs that methods compare a sample to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph

Array = npt.NDArray[Any]


def read_baseline(baseline: Any, feeds: Mapping[str, Array], graph: Graph) -> dict[str, Array]:
    """Inputs by name, shaped as they are fed.

    Args:
        baseline: "zeros", or None, which is that; an array; or arrays by input name. What it lacks
            is zeros where inputs are floats, and as it is fed where they are not: masks, lengths.

    Raises RequestError where it does not fit, or where ids are to be explained and it says none.
    """
    given = _by_name(baseline, feeds)
    if not any(graph.type(name).is_float for name in feeds) and not given:
        raise RequestError(
            "the inputs are ids, which have no zero: give a baseline, such as an array of the "
            "padding's id, or use mode attnlrp, which compares to none"
        )
    return {name: _laid(name, x, given.get(name), graph) for name, x in feeds.items()}


def _by_name(baseline: Any, feeds: Mapping[str, Array]) -> dict[str, Any]:
    if baseline is None or (isinstance(baseline, str) and baseline == "zeros"):
        return {}
    if isinstance(baseline, str):
        raise RequestError(f"unknown baseline {baseline!r}; there is: zeros, or give arrays")
    if isinstance(baseline, Mapping):
        if unknown := sorted(baseline.keys() - feeds.keys()):
            raise RequestError(f"the baseline has no input of the model: {', '.join(unknown)}")
        return dict(baseline)
    if len(feeds) > 1:
        names = ", ".join(feeds)
        raise RequestError(f"the model has several inputs ({names}): give a baseline by name")
    return {next(iter(feeds)): baseline}


def _laid(name: str, x: Array, given: Any, graph: Graph) -> Array:
    if given is None:
        return np.zeros_like(x) if graph.type(name).is_float else x
    try:
        array = np.asarray(given).astype(x.dtype)
        return np.ascontiguousarray(np.broadcast_to(array, x.shape))
    except (TypeError, ValueError):
        raise RequestError(
            f"baseline of {name!r}: shape {np.shape(given)} does not fit the input's, {x.shape}"
        ) from None
