"""Features: what a report names. Columns of a table, entries of an array, squares of a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.data import Data
from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.inputs.tables import TableInput
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.metrics import grid
from backtrace_onnx.text.inputs import TextInput, companions

Array = npt.NDArray[Any]
MOST = 1000
"""Features that a report and a baseline can hold and people can read."""
SQUARES = 8
"""Of a picture: along its longer side."""


@dataclass(frozen=True)
class Features:
    """The features of a model's inputs.

    Attributes:
        names: of all features.
        owner: by input int64[entries of one sample]: the feature that every entry belongs to.
        categories: by feature, those of a column that is one of several.
        in_texts: whether features are places in texts, which hold other words in each row.
    """

    names: tuple[str, ...]
    owner: Mapping[str, Array]
    categories: Mapping[int, tuple[str, ...]]
    in_texts: bool = False

    def sums(self, values: Mapping[str, Array]) -> Array:
        """float64[rows, features]: the sums of values [rows, ...] over each feature's entries."""
        count = len(next(iter(values.values())))
        made = np.zeros((count, len(self.names)))
        for name, owner in self.owner.items():
            flat = np.asarray(values[name], np.float64).reshape(count, -1)
            np.add.at(made.T, owner, flat.T)
        return made

    def values(self, feature: int, data: Data) -> Array:
        """[rows]: what a feature holds: a number (of many entries their mean), or str."""
        name, owner = next((n, o) for n, o in self.owner.items() if (o == feature).any())
        flat = data.feeds[name].reshape(data.count, -1)[:, owner == feature]
        if feature in self.categories:
            named: Array = np.array(self.categories[feature], object)[flat.argmax(1)]
            return named
        if flat.dtype.kind not in "fiub":
            return np.array([str(row[0]) for row in flat], object)
        made: Array = flat.astype(np.float64).mean(1)
        return made

    def named(self, patterns: Sequence[str]) -> list[int]:
        """The features that names or patterns mean. Raises RequestError for one that is none."""
        found: list[int] = []
        for pattern in patterns:
            own = [i for i, n in enumerate(self.names) if n == pattern or fnmatchcase(n, pattern)]
            if not own:
                close = find_alike(pattern, self.names)
                said = f"did you mean {close[0]!r}?" if close else _some(self.names)
                raise RequestError(f"no feature is called {pattern!r}; {said}")
            found += [i for i in own if i not in found]
        return found


def find_features(data: Data, sidecar: Sidecar | None) -> Features:
    """The features of the inputs. Raises RequestError where they are too many to be named.

    A place in a text is one feature: its token, with its mask, type and position.
    """
    names: list[str] = []
    owner: dict[str, Array] = {}
    categories: dict[int, tuple[str, ...]] = {}
    texts = _texts(data, sidecar)
    for name in (*texts, *data.feeds):
        if name in data.shared or name in owner:
            continue
        x = data.feeds[name]
        entry = sidecar.inputs.get(name) if sidecar else None
        at = len(names)
        if name in texts:
            called, places = _entries(name, x.shape[1:], entry, ())
            names += called
            owner |= dict.fromkeys(texts[name], at + places)
            continue
        if isinstance(entry, TableInput):
            columns = [feature for feature, _ in entry.columns()]
            names += [feature.name for feature in columns]
            widths = [feature.width for feature in columns]
            owner[name] = at + np.repeat(np.arange(len(columns)), widths)
            categories |= {at + i: f.categories for i, f in enumerate(columns) if f.categories}
            continue
        own, places = _entries(name, x.shape[1:], entry, data.names.get(name, ()))
        names += own
        owner[name] = at + places
    return Features(_apart(names, owner), owner, categories, bool(texts))


def _apart(names: Sequence[str], owner: Mapping[str, Array]) -> tuple[str, ...]:
    """The names, with their input's where another has a feature of that name."""
    many = {name for name, count in Counter(names).items() if count > 1}
    if not many:
        return tuple(names)
    inputs = {at: name for name, own in owner.items() for at in np.unique(own).tolist()}
    made = [f"{inputs[i]}.{n}" if n in many else n for i, n in enumerate(names)]
    for twice in (name for name, count in Counter(made).items() if count > 1):
        raise RequestError(f"feature {twice!r} is there twice; name each otherwise in the sidecar")
    return tuple(made)


def _texts(data: Data, sidecar: Sidecar | None) -> dict[str, list[str]]:
    """The inputs of token ids, each first of those that go with it."""
    entries = sidecar.inputs if sidecar else {}
    made: dict[str, list[str]] = {}
    for name, entry in entries.items():
        if isinstance(entry, TextInput) and name in data.feeds:
            own = companions(name, data.feeds, entry.given)
            beside = (own.mask, own.types, own.positions)
            shape = data.feeds[name].shape
            others = [n for n in beside if n is not None and data.feeds[n].shape == shape]
            made[name] = [name, *others]
    return made


def _entries(
    name: str, shape: tuple[int, ...], entry: object, called: Sequence[str]
) -> tuple[list[str], Array]:
    """Names of an input's features, and the feature of each entry."""
    if isinstance(entry, ImageInput) and len(shape) == 3:
        return _squares(name, shape, 0 if entry.layout == "NCHW" else -1)
    size = int(np.prod(shape))
    if size > MOST:
        if isinstance(entry, TextInput):
            raise RequestError(
                f"input {name!r} has {size} tokens, and at most {MOST} are features; shorten "
                'texts, or have them cut (in the sidecar: "max_length" and "truncate")'
            )
        raise RequestError(
            f"input {name!r} has {size} entries, too many to name each; where it is a picture, "
            'the sidecar says so ("kind": "image"), and squares of it are features'
        )
    if len(called) == size:
        return list(called), np.arange(size)
    places = [f"{name}[{', '.join(map(str, at))}]" if at else name for at in np.ndindex(*shape)]
    return places, np.arange(size)


def _squares(name: str, shape: tuple[int, ...], channels: int) -> tuple[list[str], Array]:
    rows, columns = shape[1:] if channels == 0 else shape[:2]
    side = ceil(max(rows, columns) / SQUARES)
    called = [
        f"{name}[{r}:{min(r + side, rows)}, {c}:{min(c + side, columns)}]"
        for r in range(0, rows, side)
        for c in range(0, columns, side)
    ]
    return called, grid(shape, side, channel_axis=channels).reshape(-1)


def _some(names: Sequence[str]) -> str:
    return f"there are: {', '.join(names[:20])}" + (", ..." if len(names) > 20 else "")


__all__ = ["Features", "find_features"]
