"""What a language model's words rest on: one token rather than another, and each of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.input_checking import check_inputs
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.targets.checking import find_target
from backtrace_onnx.text.inputs import find_ids

if TYPE_CHECKING:
    from backtrace_onnx.explainer import Explainer
    from backtrace_onnx.explanation import Explanation
    from backtrace_onnx.graph.graph import Graph

Array = npt.NDArray[Any]
ROWS = 8  # tokens of a continuation that are explained in one pass


@dataclass(frozen=True)
class Contrast:
    """A start that asks why `target` rather than `other`: 1 for the one, 1 against the other.

    In signed modes these are the scores themselves: what is explained is their difference, which a
    constant added to all scores does not change.

    In modes with one channel both are one start, +1 and -1: sharing there is linear in relevance,
    so that the explanation is that of `target` minus that of `other`. Mode default knows no signs:
    what differs there is little. In contrastive mode the target starts R+ and the other R-, which
    never mix; an entry whose value is negative starts the opposite channel, because there relevance
    goes to what made it negative: what speaks against `other` speaks for `target`.

    Attributes:
        target, other: as `target` of `explain`: a class, or for an output [batch, position, token]
            a token or (position, token), the last position if none is given.
        ends: int64[samples], the place after the last token of each text; default: the output's
            end.
    """

    target: Any
    other: Any
    ends: npt.NDArray[np.int64] | None = field(default=None, repr=False, compare=False)

    def ending(self, ends: npt.NDArray[np.int64] | None) -> Contrast:
        """The same where texts end at these places, int64[samples]; None: nothing tells anew."""
        return self if ends is None else replace(self, ends=ends)

    def between(
        self, y: Array, policy: Policy, scores: Array | None, sides: Array | None
    ) -> Array | tuple[Array, Array]:
        """The start for y, made of `scores` whose contributions lie on one of the `sides`."""
        values = y if scores is None else scores
        good, bad = (_one(asked, y, self.ends) for asked in (self.target, self.other))
        if (good == bad).all():
            raise RequestError(f"target and other are the same: {self.target!r}")
        if policy.channels < 2:
            return (good - bad) * values if policy.signed else good - bad
        turn = values < 0 if sides is None else (values < 0) & (sides <= 0) | (sides < 0)
        return np.where(turn, bad, good), np.where(turn, good, bad)

    def __call__(self, y: Array, channels: int) -> Array | tuple[Array, Array]:
        """The start for an output y[samples, ...]. Raises RequestError where it does not fit."""
        good, bad = (_one(asked, y, self.ends) for asked in (self.target, self.other))
        if (good == bad).all():
            raise RequestError(f"target and other are the same: {self.target!r}")
        if channels < 2:
            return good - bad
        keep, turn = y >= 0, y < 0
        return good * keep + bad * turn, bad * keep + good * turn


@dataclass(frozen=True)
class Continuation:
    """One explanation for each token of a continuation.

    Attributes:
        ids: int64[tokens], the whole sequence, context and continuation.
        first: place of the first token that is explained.
        relevance: float[explained, tokens], what each explained token owes to each token of the
            sequence; in contrastive mode for minus against. Exactly 0 from the token itself on.
        positive, negative: the channels, shaped alike; `negative` is None in modes with one.
        logits: float64[explained], the model's value of each explained token.
        probabilities: float64[explained], the softmax of all tokens' values at its position.
        parts: the explanations themselves, of up to ROWS tokens each.
    """

    ids: npt.NDArray[np.int64]
    first: int
    relevance: Array
    positive: Array
    negative: Array | None
    logits: Array
    probabilities: Array
    parts: tuple[Explanation, ...]


def explain_continuation(
    explainer: Explainer,
    feeds: Mapping[str, Any],
    count: int,
    *,
    mode: str = "default",
    output: str | None = None,
    ids: str | None = None,
    rows: int = ROWS,
) -> Continuation:
    """Explain each of the last `count` tokens of a sequence, from the position before it.

    The sequence is read once for every explained token, `rows` of them in one batch where the model
    takes one. What follows a token cannot carry relevance for it in a model that reads forwards.

    Args:
        explainer: that of a language model whose output is [batch, position, token].
        feeds: inputs of one sequence, context and continuation together, unpadded.
        count: how many tokens the continuation has.
        mode, output: as in `Explainer.explain`.
        ids: input that takes the token ids; default: input_ids, or the only integer matrix.
        rows: how many tokens are explained in one batch.

    Raises:
        InputError: the feeds do not fit the model.
        RequestError: `count` leaves no context, or the feeds hold several sequences.
    """
    name = find_ids(explainer.graph, ids)
    arrays = check_inputs(dict(feeds), explainer.graph)
    sequence = arrays[name]
    length = sequence.shape[1]
    if len(sequence) != 1:
        raise RequestError(f"a continuation is explained for one sequence, not {len(sequence)}")
    if not 1 <= count < length:
        raise RequestError(
            f"{count} of {length} tokens: a continuation has one token at least and one before it"
        )
    places = np.arange(length - count, length)
    parts = tuple(
        explainer.explain(
            repeated(arrays, explainer.graph, len(some)),
            mode=mode,
            output=output,
            task="generation",
            target=np.stack([some - 1, sequence[0, some]], axis=1),
        )
        for some in _chunks(places, rows if _takes_batches(explainer.graph, name) else 1)
    )
    return _joined(parts, name, np.asarray(sequence[0], np.int64), length - count)


def repeated(feeds: Mapping[str, Array], graph: Graph, times: int) -> dict[str, Array]:
    """One sample's feeds as a batch of the same sample."""
    axes = SampleAxes(graph)
    found = {}
    for name, x in feeds.items():
        axis = axes(name)
        single = axis is not None and axis < x.ndim and x.shape[axis] == 1
        found[name] = np.repeat(x, times, axis) if single and axis is not None else x
    return found


def entries_of(
    asked: Any, y: Array, ends: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """int64[samples]: the entry of every flattened sample of y that `asked` means."""
    found = find_target(asked, y, "generation" if y.ndim == 3 else "classification", ends=ends)
    if found is None or found.ndim != (2 if y.ndim == 3 else 1):
        raise RequestError(f"a contrast takes one entry for each sample, not {asked!r}")
    flat = found[:, 0] * y.shape[2] + found[:, 1] if y.ndim == 3 else found
    return np.asarray(flat, np.int64)


def _one(asked: Any, y: Array, ends: npt.NDArray[np.int64] | None) -> Array:
    """Ones at an entry of every sample of y, zeros elsewhere."""
    start = np.zeros((len(y), y[0].size), np.float64)
    start[np.arange(len(y)), entries_of(asked, y, ends)] = 1
    return start.reshape(y.shape)


def _chunks(places: Array, rows: int) -> Iterator[Array]:
    for at in range(0, len(places), rows):
        yield places[at : at + rows]


def _takes_batches(graph: Graph, name: str) -> bool:
    shape = graph.type(name).shape
    return shape is None or not isinstance(shape[0], int)


def _joined(
    parts: tuple[Explanation, ...], name: str, ids: npt.NDArray[np.int64], first: int
) -> Continuation:
    positive = np.concatenate([part.positive[name] for part in parts])
    negative = (
        np.concatenate([part.negative[name] for part in parts]) if parts[0].negative else None
    )
    logits, probabilities = _scores(parts)
    whole = positive if negative is None else positive - negative
    return Continuation(ids, first, whole, positive, negative, logits, probabilities, parts)


def _scores(parts: tuple[Explanation, ...]) -> tuple[Array, Array]:
    """The value and the softmax of every explained token at its position."""
    values, shares = [], []
    for part in parts:
        y = np.asarray(part.outputs[part.output], np.float64)
        for row, (place, token) in zip(y, np.asarray(part.target), strict=True):
            raised = np.exp(row[place] - row[place].max())
            values.append(row[place, token])
            shares.append(raised[token] / raised.sum())
    return np.array(values), np.array(shares)
