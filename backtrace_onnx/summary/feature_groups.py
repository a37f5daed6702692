"""Groups of features: what their members mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.similar_names import find_alike

REST = "the rest"


def membership(
    groups: Mapping[str, Sequence[str]], features: Sequence[str]
) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    """Names of the groups, and float64[features, groups]: 1 where a feature is in one.

    A member is a feature's name, or one with * and ?. What no group holds is a group of its own.
    Raises RequestError for a member that is none, and where a feature is in two groups.
    """
    if not groups:
        return (), np.zeros((len(features), 0))
    owner: dict[int, str] = {}
    for name, members in groups.items():
        if isinstance(members, str) or not members:
            raise RequestError(f"group {name!r}: give a list of features, not {members!r}")
        for member in members:
            for place in _places(member, features):
                if owner.setdefault(place, name) != name:
                    raise RequestError(
                        f"groups {owner[place]!r} and {name!r} both hold {features[place]!r}; a "
                        "feature is in one group at most"
                    )
    names = tuple(groups) + ((REST,) if len(owner) < len(features) else ())
    made = np.zeros((len(features), len(names)))
    for place in range(len(features)):
        made[place, names.index(owner.get(place, REST))] = 1.0
    return names, made


def _places(member: str, features: Sequence[str]) -> list[int]:
    found = [i for i, n in enumerate(features) if n == member or fnmatchcase(n, member)]
    if not found:
        close = find_alike(member, features)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        raise RequestError(f"no feature is called {member!r}{meant}")
    return found
