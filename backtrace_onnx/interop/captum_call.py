"""A call in captum's words: tensors or arrays in the model's order in, attributions alike out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError

Array = npt.NDArray[Any]


def as_feeds(names: Sequence[str], inputs: Any, more: Any) -> dict[str, Array]:
    """Inputs by name, of a tensor or a tuple in the model's order, and what follows them.

    Raises RequestError where they are too many or too few.
    """
    given = [*_listed(inputs), *(() if more is None else _listed(more))]
    if len(given) != len(names):
        raise RequestError(
            f"the model takes {len(names)} inputs ({', '.join(names)}), and {len(given)} are given"
        )
    return {name: as_array(x) for name, x in zip(names, given, strict=True)}


def as_target(target: Any) -> Any:
    """captum's target as ours: an index, a tuple, or one for each sample, a list or tensor."""
    if target is None or isinstance(target, int | tuple):
        return target
    if isinstance(target, list):
        return np.array(target)
    found = as_array(target)
    return found.item() if found.ndim == 0 else found


def attributions(inputs: Any, names: Sequence[str], relevance: Mapping[str, Array]) -> Any:
    """Relevance of `inputs` as they were given: a tuple of a tuple, tensors of tensors."""
    made = tuple(_like(x, relevance[n]) for x, n in zip(_listed(inputs), names, strict=False))
    return made if isinstance(inputs, tuple) else made[0]


def as_array(x: Any) -> Array:
    """A tensor's numbers, or an array as it is; of lists that are none, objects, for an error."""
    if hasattr(x, "detach"):
        return np.asarray(x.detach().cpu().numpy())
    try:
        return np.asarray(x)
    except ValueError:
        return np.asarray(x, object)


def _like(x: Any, relevance: Array) -> Any:
    if not hasattr(x, "detach"):
        return relevance
    import torch

    return torch.from_numpy(np.ascontiguousarray(relevance)).to(x.device)


def _listed(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


__all__ = ["as_array", "as_feeds", "as_target", "attributions"]
