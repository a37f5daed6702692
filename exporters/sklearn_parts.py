"""The estimators that an estimator holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def parts(model: Any) -> Iterator[Any]:
    """An estimator and those inside of it, as given and as fitted, each once."""
    yield from _parts(model, set())


def _parts(thing: Any, seen: set[int]) -> Iterator[Any]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    inner: Any = ()
    if isinstance(thing, list | tuple):
        inner = thing
    elif isinstance(thing, Mapping):
        inner = thing.values()
    elif isinstance(thing, np.ndarray) and thing.dtype == object:
        inner = thing.flat
    elif hasattr(thing, "get_params") or type(thing).__module__.startswith("sklearn."):
        yield thing
        inner = getattr(thing, "__dict__", {}).values()
    for part in inner:
        yield from _parts(part, seen)
