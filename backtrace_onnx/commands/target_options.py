"""Which entry of the output is explained: a label, a token, one of two, each of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.generation import ROWS, Contrast, entries_of, repeated
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.files import Batch
from backtrace_onnx.targets.checking import find_target
from backtrace_onnx.targets.every_target import ALL
from backtrace_onnx.targets.language_models import find_tokens
from backtrace_onnx.targets.named_targets import read_target
from backtrace_onnx.text.inputs import TextInput, find_ids

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TargetChoice:
    """What of the output one part of a batch explains.

    Attributes:
        contrast: in place of task and target, where one entry is set against another.
        each: in place of target, where several are explained: a list, or "all".
    """

    task: str | None
    target: Any = None
    contrast: Contrast | None = None
    each: Any = None

    def options(self, start: str | None = None) -> dict[str, Any]:
        """Arguments of `Explainer.explain`; `start`: where one entry starts."""
        if self.contrast is not None:
            return {"start": self.contrast}
        asked = {"target": self.target} if self.each is None else {"targets": self.each}
        return {"task": self.task, "start": start, **asked}

    def entries(self, made: Explanation, graph: Graph) -> list[tuple[int, ...]]:
        """The two entries of every sample that were set against each other; none otherwise.

        Positions count from the end of each text, as they do in the explanation.
        """
        if self.contrast is None:
            return []
        y = np.asarray(made.outputs[made.output])
        asked = (self.contrast.target, self.contrast.other)
        if made.binary:
            rows = made.layout.rows(y)
            found = [find_target(a, rows, "classification", binary=made.binary) for a in asked]
            both = [entries for entries in found if entries is not None]
        else:
            tokens = find_tokens(graph, made.output)
            ends = tokens.ends(made.inputs, y.shape[1]) if tokens else None
            both = [entries_of(entry, y, ends) for entry in asked]
        return [(int(good), int(bad)) for good, bad in zip(*both, strict=True)]


@dataclass(frozen=True)
class TokenOptions:
    """What is asked of a language model: a token, one that it beats, or a continuation."""

    token: str | None = None
    rather_than: str | None = None
    continuation: str | None = None

    def any(self) -> bool:
        """Whether any of them is asked for."""
        return any(text is not None for text in (self.token, self.rather_than, self.continuation))


def has_vocabulary(graph: Graph, output: str, entry: TextInput) -> bool:
    """Whether an output [batch, position, token] has an entry for every token of the text."""
    shape = graph.type(output).shape or ()
    width = shape[2] if len(shape) == 3 else None
    return isinstance(width, int) and width >= entry.tokenizer.size


def next_tokens(tokens: TokenOptions, entry: TextInput, feeds: Mapping[str, Array]) -> TargetChoice:
    """The token at the [MASK] or the end of every text: the one asked for, or the likeliest."""
    good = entry.targets(feeds, tokens.token)
    if tokens.rather_than is None:
        return TargetChoice("generation", good)
    other = entry.targets(feeds, tokens.rather_than)
    return TargetChoice(None, contrast=Contrast(good, other))


def continued(
    batch: Batch, continuation: str, entry: TextInput, graph: Graph
) -> Iterator[tuple[Batch, TargetChoice]]:
    """Batches that explain every token of a continuation of each text, from the place before it.

    Raises InputError where the continuation changes how the text before it is read.
    """
    name = find_ids(graph, entry.name)
    for text in batch.texts:
        before = entry.tokenizer.encode(text, special=entry.special).ids
        feeds = entry.encode([text + continuation], graph)
        ids = feeds[name][0, : _count(entry, feeds)]
        if tuple(ids[: len(before)]) != before or len(ids) == len(before):
            raise InputError(
                f"the continuation {continuation!r} does not follow {text!r} as tokens of its own; "
                "begin it with a space, or end the text elsewhere"
            )
        places = np.arange(len(before), len(ids))
        words = [token.text for token in entry.tokenizer.tokens(ids[len(before) :])]
        for at in range(0, len(places), rows := _rows(graph, name)):
            some = places[at : at + rows]
            target = np.stack([some - 1, ids[some]], axis=1)
            sources = tuple(f"→ {word!r}" for word in words[at : at + rows])
            part = Batch(repeated(feeds, graph, len(some)), sources)
            yield part, TargetChoice("generation", target)


def _count(entry: TextInput, feeds: Mapping[str, Array]) -> int:
    """Number of tokens of a single text that are no padding."""
    mask = entry.mask(feeds)
    return int(mask.sum()) if mask is not None else next(iter(feeds.values())).shape[1]


def _rows(graph: Graph, name: str) -> int:
    shape = graph.type(name).shape
    return 1 if shape is not None and isinstance(shape[0], int) else ROWS


def targets(
    given: Sequence[str], labels: Sequence[str], samples: slice, count: int
) -> int | tuple[int, ...] | Array | None:
    """The targets of some samples of a batch: one for all, or one for each.

    Raises RequestError for what is no target, or too few of them.
    """
    parsed = [read_target(text, labels) for text in given]
    if len(parsed) < 2:
        return parsed[0] if parsed else None
    if len(parsed) != count:
        raise RequestError(
            f"{len(parsed)} targets for {count} sample(s); give one, or one for each"
        )
    return np.array(parsed[samples])


def each_target(given: Sequence[str], labels: Sequence[str]) -> Any:
    """Several targets that every sample is explained for; None where one is asked for.

    Raises RequestError for what is no target.
    """
    if tuple(given) == (ALL,) and ALL not in labels:
        return ALL
    return [read_target(text, labels) for text in given] or None
