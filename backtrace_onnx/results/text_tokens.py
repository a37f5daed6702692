"""The tokens that a model cuts texts into, and what relevance each of them has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.graph.token_tensors import without_padding

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TextTokens:
    """The tokens of an input of texts, as the model reads them.

    Attributes:
        texts: object[samples, tokens]; "" fills up the rows of samples with fewer.
        channels: relevance of the tokens by channel, each shaped like `texts`.
    """

    texts: Array
    channels: tuple[Array, ...]

    @property
    def relevance(self) -> Array:
        """Relevance of the tokens; contrastive: positive - negative."""
        return self.channels[0] if len(self.channels) == 1 else self.channels[0] - self.channels[1]

    def row(self, sample: int) -> tuple[TextToken, ...]:
        """The tokens of one sample in their order, without what only fills up its row."""
        relevance = self.relevance
        return tuple(
            TextToken(
                text,
                float(relevance[sample, k]),
                tuple(float(r[sample, k]) for r in self.channels),
                k,
            )
            for k, text in enumerate(self.texts[sample])
            if text or relevance[sample, k]
        )


@dataclass(frozen=True)
class TextToken:
    """A token and its relevance.

    Attributes:
        channels: relevance by channel. index: its place in the row.
    """

    text: str
    relevance: float
    channels: tuple[float, ...]
    index: int


def read_text_tokens(
    graph: Graph,
    tensors: Mapping[str, Sequence[str]],
    texts: Mapping[str, Array],
    relevance: Mapping[str, Sequence[Array]],
    count: int,
) -> dict[str, TextTokens]:
    """The tokens of inputs of texts, by input; those of several tensors one after another.

    Args:
        tensors: names of the tensors that hold an input's tokens.
        texts, relevance: values and relevance (by channel) of those tensors.
        count: how many samples there are. Inputs whose tokens belong to no one sample are left out.
    """
    found: dict[str, TextTokens] = {}
    axes = SampleAxes(graph)
    for name, own in tensors.items():
        held = [tensor for tensor in own if tensor in texts and tensor in relevance]
        rows = [_rows(texts[t], axes(t), count) for t in held]
        if not held or any(row is None for row in rows):
            continue
        kept = [np.array(row, object) for row in rows]
        for tensor, row in zip(held, kept, strict=True):
            without_padding(graph, tensor, row)
        channels = zip(*(relevance[t] for t in held), strict=True)
        made = [[_rows(r, axes(t), count) for t, r in zip(held, c, strict=True)] for c in channels]
        joined = (np.concatenate([r for r in c if r is not None], axis=-1) for c in made)
        laid = tuple(r.reshape(count, -1) for r in joined)
        found[name] = TextTokens(np.concatenate(kept, axis=-1).reshape(count, -1), laid)
    return found


def _rows(array: Array, axis: int | None, count: int) -> Array | None:
    """The array as [samples, texts, tokens]; None where no axis holds the samples."""
    if axis is not None and axis < array.ndim - 1 and array.shape[axis] == count:
        moved = np.moveaxis(array, axis, 0)
        return moved.reshape(count, -1, array.shape[-1])
    return array.reshape(1, -1, array.shape[-1]) if count == 1 else None


__all__ = ["TextToken", "TextTokens", "read_text_tokens"]
