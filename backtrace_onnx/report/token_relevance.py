"""The tokens of a text and their relevance: as they follow each other, and as words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.results.text_tokens import TextToken
from backtrace_onnx.text.token_spelling import Token

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TokenRelevance:
    """A token, or the tokens of a word, and their relevance.

    Attributes:
        text: as people read it, with the space before it.
        channels: relevance by channel.
        index: place of its first token.
    """

    text: str
    relevance: float
    channels: tuple[float, ...]
    index: int


@dataclass(frozen=True)
class TextRelevance:
    """A text as it is shown.

    Attributes:
        marks: the tokens of the text, or its words. special: the tokens put around it.
        padding: how many tokens fill it up; `filled` is their |relevance|, which should be 0.
    """

    marks: tuple[TokenRelevance, ...]
    special: tuple[TokenRelevance, ...]
    padding: int
    filled: float

    @property
    def limit(self) -> float:
        """The largest |relevance| of the text, or 1 where there is none: gets the full colour."""
        own = [abs(m.relevance) for m in self.marks] or [abs(m.relevance) for m in self.special]
        return max(own, default=0.0) or 1.0

    @property
    def total(self) -> float:
        """Sum of |relevance|, special tokens included."""
        return sum(abs(mark.relevance) for mark in (*self.marks, *self.special)) or 1.0


def read_text_relevance(subject: ExplainedSample, name: str) -> TextRelevance:
    """The text that an input holds. Raises InputError where its tokenizer cannot be read."""
    entry = subject.text(name)
    if entry is None:
        return _cut(subject.cut(name))
    ids = subject.own(subject.explanation.inputs[name], name)
    mask = entry.mask(subject.explanation.inputs)
    present = np.ones(ids.size, bool) if mask is None else np.asarray(subject.own(mask, name))
    relevance = subject.relevance(name).astype(np.float64)
    channels = [subject.own(values[name], name) for _, values in subject.channels]
    tokens = entry.tokenizer.tokens(ids[present])
    places = np.flatnonzero(present)
    special = [k for k, token in enumerate(tokens) if token.special]
    groups = (
        _words(tokens) if subject.words else ([k] for k, t in enumerate(tokens) if not t.special)
    )

    def marked(group: list[int]) -> TokenRelevance:
        at = places[group]
        text = b"".join(tokens[k].raw for k in group).decode("utf-8", "replace")
        sums = tuple(float(channel[at].sum(dtype=np.float64)) for channel in channels)
        return TokenRelevance(text, float(relevance[at].sum()), sums, int(at[0]))

    return TextRelevance(
        tuple(marked(group) for group in groups),
        tuple(marked([k]) for k in special),
        int((~present).sum()),
        float(np.abs(relevance[~present]).sum()),
    )


def _cut(tokens: Iterable[TextToken]) -> TextRelevance:
    """A text that the model itself cuts into tokens, which are its words."""
    marks = [TokenRelevance(f" {t.text}", t.relevance, t.channels, t.index) for t in tokens]
    marks[:1] = [replace(mark, text=mark.text[1:]) for mark in marks[:1]]
    return TextRelevance(tuple(marks), (), 0, 0.0)


def word_places(subject: ExplainedSample, name: str) -> list[tuple[str, list[int]]]:
    """The words of a text, without the spaces and marks around them, and the places they take."""
    entry = subject.text(name)
    if entry is None:
        raise ValueError(f"{name} is no text")
    ids = subject.own(subject.explanation.inputs[name], name)
    mask = entry.mask(subject.explanation.inputs)
    places = np.arange(ids.size) if mask is None else np.flatnonzero(subject.own(mask, name))
    tokens = entry.tokenizer.tokens(ids[places])
    found: list[tuple[str, list[int]]] = []
    for group in _words(tokens):
        text = b"".join(tokens[k].raw for k in group).decode("utf-8", "replace").strip()
        at = [int(places[k]) for k in group]
        bare = text.strip(_MARKS)
        inner = [k for k in group if tokens[k].raw.decode("utf-8", "replace").strip().strip(_MARKS)]
        found.append((text, at))
        if bare and bare != text:
            found.append((bare, [int(places[k]) for k in inner]))
    return found


_MARKS = ".,;:!?\"'()[]{}\u2026\u2013\u2014"


def beside(subject: ExplainedSample) -> list[tuple[str, float]]:
    """Inputs other than the texts that relevance reached, and how much of it."""
    names = [name for name in subject.explanation.inputs if not subject.is_text(name)]
    sums = [(name, float(subject.relevance(name).sum(dtype=np.float64))) for name in names]
    return [(name, r) for name, r in sums if r]


def _words(tokens: Iterable[Token]) -> Iterator[list[int]]:
    """Places of the tokens of each word."""
    word: list[int] = []
    for place, token in enumerate(tokens):
        if word and (token.begins or token.special):
            yield word
            word = []
        if not token.special:
            word.append(place)
    if word:
        yield word
