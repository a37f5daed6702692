"""One sample's inputs as one array, and changed copies of that array as inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SampleView:
    """The inputs of one sample that carry relevance, as one array x[1, ...].

    One input is itself, its samples along the first axis; of several, all entries lie side by side,
    x[1, entries], as float64, or as objects where one holds texts.

    Attributes:
        feeds: all inputs of the sample, a batch of one where the model takes batches.
        names: inputs that are meant. axes: where the samples of every input lie, None where an
            input is one for all samples.
    """

    feeds: Mapping[str, Array]
    names: tuple[str, ...]
    axes: Mapping[str, int | None]

    @classmethod
    def of(cls, feeds: Mapping[str, Array], names: Sequence[str], graph: Graph) -> SampleView:
        """The view of a sample. Raises RequestError where no input carries relevance."""
        if not names:
            raise RequestError("no input of the model carries relevance; there is nothing to weigh")
        found = SampleAxes(graph)
        axes = {name: None if (at := found(name)) is None else int(at) for name in feeds}
        return cls(feeds, tuple(names), axes)

    @property
    def x(self) -> Array:
        """The inputs that are meant: [1, ...]."""
        return self.packed(self.feeds)

    @property
    def floats(self) -> bool:
        """Whether all that is meant are floats."""
        return all(self.feeds[name].dtype.kind == "f" for name in self.names)

    @property
    def most(self) -> int | None:
        """How many copies the model takes at once: 1 where it takes no batches."""
        return 1 if all(self.axes[name] is None for name in self.names) else None

    def packed(self, arrays: Mapping[str, Array]) -> Array:
        """Arrays by input, such as relevance, laid out as `x` is: [samples, ...]."""
        rows = [self._rows(name, arrays[name]) for name in self.names]
        if len(rows) == 1:
            return rows[0]
        kind: Any = object if any(r.dtype.kind in "OUS" for r in rows) else np.float64
        return np.concatenate([r.reshape(len(r), -1).astype(kind) for r in rows], axis=1)

    def packed_size(self, name: str) -> int:
        """How many entries of `x` are those of an input."""
        return int(self._rows(name, self.feeds[name])[0].size)

    def inputs(self, x: Array) -> dict[str, Array]:
        """What the model is fed for copies x[copies, ...] of the sample."""
        made = {n: self._repeated(n, len(x)) for n in self.feeds if n not in self.names}
        at = 0
        for name in self.names:
            own = self._rows(name, self.feeds[name])
            size = own[0].size
            part = x if len(self.names) == 1 else x[:, at : at + size]
            rows = part.reshape(len(x), *own.shape[1:]).astype(own.dtype)
            axis = self.axes[name]
            made[name] = rows[0] if axis is None else np.moveaxis(rows, 0, axis)
            at += size
        return made

    def _rows(self, name: str, array: Array) -> Array:
        axis = self.axes[name]
        return array[None] if axis is None else np.moveaxis(array, axis, 0)

    def _repeated(self, name: str, times: int) -> Array:
        x, axis = self.feeds[name], self.axes[name]
        return x if axis is None else np.repeat(x, times, axis)


__all__ = ["SampleView"]
