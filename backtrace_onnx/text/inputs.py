"""How texts become the integer inputs of a model: ids, mask, types and positions, padded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.input_checking import describe, spell
from backtrace_onnx.graph.token_limit import token_limit
from backtrace_onnx.text.kv_cache import empty_caches
from backtrace_onnx.text.tokenizer_file import Encoded, Text, TokenizerFile

Array = npt.NDArray[Any]
_IDS = "input_ids"
_INTEGERS = frozenset({TensorProto.INT64, TensorProto.INT32})


@dataclass(frozen=True)
class Companions:
    """Names of the inputs that go with the ids; None where the model has no such input."""

    mask: str | None = None
    types: str | None = None
    positions: str | None = None


@dataclass(frozen=True)
class TextInput:
    """How a text becomes an input of token ids, and the inputs that go with it.

    Attributes:
        source: the tokenizer, or the file where it lies; read on first use.
        name: input that takes the ids; None: input_ids, or the only integer matrix.
        length: tokens that every text is padded to.
        most: tokens that a text may have, where that is less than the model reads.
        truncate: whether longer texts are cut; else they are refused.
        special: whether special tokens are put around the text.
        given: names of the inputs that go with the ids, where they are not the usual ones.
    """

    source: TokenizerFile | Path
    name: str | None = None
    length: int | None = None
    most: int | None = None
    truncate: bool = False
    special: bool = True
    given: Companions = Companions()

    @cached_property
    def tokenizer(self) -> TokenizerFile:
        """The tokenizer. Raises InputError."""
        return self.source if isinstance(self.source, TokenizerFile) else TokenizerFile(self.source)

    def describe(self) -> str:
        """What the input takes, in words."""
        return "a text in quotes, or @FILE with one text a line"

    def encode(self, texts: Sequence[Text], graph: Graph) -> dict[str, Array]:
        """The inputs for some texts: int arrays [texts, tokens] by name, padded to one length.

        Raises InputError where a text is empty or too long, or cannot be padded.
        """
        if not texts:
            raise InputError("there is no text to read")
        name = find_ids(graph, self.name)
        found = companions(name, graph.inputs, self.given)
        most = self._most(graph, name, found.positions)
        rows = [self._encoded(text, most) for text in texts]
        length = self._length(graph, name) or max(len(row.ids) for row in rows)
        if found.mask is None and any(len(row.ids) < length for row in rows):
            self._check_padding(name, len({len(row.ids) for row in rows}) > 1)
        made = _filled(rows, length, self.tokenizer)
        arrays = {name: made["ids"], found.mask: made["mask"], found.types: made["types"]}
        arrays[found.positions] = made["positions"]
        fed = {key: _typed(key, array, graph) for key, array in arrays.items() if key is not None}
        return {**empty_caches(graph, len(texts)), **fed}

    def last(self, feeds: Mapping[str, Array]) -> npt.NDArray[np.int64]:
        """int64[samples]: place of every text's last token, -1 where no padding follows it."""
        ids = feeds[find_ids_among(feeds, self.name)]
        mask = self.mask(feeds)
        if mask is None:
            return np.full(len(ids), -1, np.int64)
        return _from_end(mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1), mask.shape[1])

    def asked(self, feeds: Mapping[str, Array]) -> npt.NDArray[np.int64]:
        """int64[samples]: where a token is to be found: each text's first [MASK], else its end."""
        ids = feeds[find_ids_among(feeds, self.name)]
        hidden = ids == self.tokenizer.mask if self.tokenizer.mask is not None else ids < 0
        places = _from_end(hidden.argmax(1), ids.shape[1])
        return np.where(hidden.any(1), places, self.last(feeds))

    def targets(
        self, feeds: Mapping[str, Array], token: str | int | None = None
    ) -> npt.NDArray[np.int64]:
        """int64[samples, 2]: (place, token) that follows each text's end, or is at its [MASK].

        Without a `token` it is -1, the likeliest. Raises RequestError where it is not one token.
        """
        places = self.asked(feeds)
        chosen = -1 if token is None else self.tokenizer.token_id(token)
        return np.stack([places, np.full_like(places, chosen)], axis=1)

    def without_words(self, feeds: Mapping[str, Array], token: str) -> dict[str, Array]:
        """The ids with the "pad" or "mask" token for each that is not special, by input.

        Raises RequestError where the tokenizer has no such token.
        """
        name = find_ids_among(feeds, self.name)
        put = self.tokenizer.pad if token == "pad" else self.tokenizer.mask
        if put is None:
            raise RequestError(f"{self.tokenizer.path} names no {token} token; give ids instead")
        ids = feeds[name]
        return {name: np.where(self.tokenizer.are_special(ids), ids, put).astype(ids.dtype)}

    def mask(self, feeds: Mapping[str, Array]) -> npt.NDArray[np.bool_] | None:
        """Where the ids are no padding, bool[samples, tokens]; None where nothing says so."""
        name = find_ids_among(feeds, self.name)
        found = companions(name, tuple(feeds), self.given).mask
        return None if found is None else np.asarray(feeds[found])[:, -feeds[name].shape[1] :] != 0

    def _encoded(self, text: Text, most: int | None) -> Encoded:
        found = self.tokenizer.encode(text, special=self.special)
        if not found.ids:
            raise InputError(f"the text {text!r} has no tokens; there is nothing to explain")
        if most is None or len(found.ids) <= most:
            return found
        if self.truncate:
            return self.tokenizer.encode(text, special=self.special, most=most)
        shown = str(text) if len(str(text)) <= 40 else f"{str(text)[:40]}..."
        raise InputError(
            f"the text {shown!r} has {len(found.ids)} tokens; the model reads at most {most}: "
            "shorten it, or have it cut (--truncate; in Python Tokenizer.feeds(truncate=True))"
        )

    def _most(self, graph: Graph, name: str, positions: str | None) -> int | None:
        """The most tokens of a text: as asked for, as fixed, or as there are positions."""
        limits = (self.most, self._length(graph, name), token_limit(graph, positions))
        return min((limit for limit in limits if limit is not None), default=None)

    def _length(self, graph: Graph, name: str) -> int | None:
        """The number of tokens that texts are padded to, where it is fixed."""
        shape = graph.type(name).shape
        own = shape[1] if shape is not None and isinstance(shape[1], int) else None
        if self.length and own and self.length != own:
            raise InputError(f"length is {self.length}, but input {name!r} takes {own} tokens")
        return self.length or own

    def _check_padding(self, name: str, unequal: bool) -> None:
        if unequal:
            raise InputError(
                "the model has no attention mask, so that texts of different lengths cannot be "
                "padded without changing its answer; give them one at a time"
            )
        if self.tokenizer.pad is None:
            raise InputError(
                f"{self.tokenizer.path}: names no padding token, which input {name!r} needs"
            )


def find_ids(graph: Graph, name: str | None = None) -> str:
    """The input that takes token ids. Raises InputError where that is none, or not clear."""
    matrices = [
        n
        for n in graph.inputs
        if graph.type(n).dtype in _INTEGERS and graph.type(n).rank in (2, None)
    ]
    if name is None:
        name = _IDS if _IDS in graph.inputs or len(matrices) != 1 else matrices[0]
    if name not in graph.inputs:
        raise InputError(
            f"the model has no input {name!r} for token ids; it has: {describe(graph)}"
        )
    if name not in matrices:
        raise InputError(f"input {name!r} takes {spell(graph.type(name))}, no token ids")
    return name


def find_ids_among(feeds: Mapping[str, Array], name: str | None = None) -> str:
    """The input that takes token ids, found among the arrays that are fed."""
    if name is not None:
        return name
    matrices = [n for n, x in feeds.items() if x.ndim == 2 and x.dtype.kind in "iu"]
    return _IDS if _IDS in feeds else matrices[0]


def companions(name: str, inputs: Iterable[str], given: Companions = Companions()) -> Companions:
    """Inputs that go with the ids `name`: the given ones, or those named as exporters do.

    Raises InputError for a given name that is no input.
    """
    there, stem = tuple(inputs), name.removesuffix(_IDS)
    for chosen in (given.mask, given.types, given.positions):
        if chosen is not None and chosen not in there:
            raise InputError(f"the model has no input {chosen!r}; it has: {', '.join(there)}")

    def usual(word: str) -> str | None:
        return f"{stem}{word}" if name.endswith(_IDS) and f"{stem}{word}" in there else None

    return Companions(
        given.mask or usual("attention_mask") or usual("input_mask"),
        given.types or usual("token_type_ids") or usual("segment_ids"),
        given.positions or usual("position_ids"),
    )


def read_feeds(
    given: Any, tokenizer: TokenizerFile | str | os.PathLike[str], graph: Graph
) -> tuple[dict[str, Array], dict[str, TextInput]]:
    """What texts, or texts and arrays by input name, become; and which inputs were texts."""
    tokenizer = tokenizer if isinstance(tokenizer, TokenizerFile) else TokenizerFile(tokenizer)
    named = dict(given) if isinstance(given, Mapping) else {find_ids(graph): given}
    texts = {name: _texts(value) for name, value in named.items()}
    entries = {n: TextInput(tokenizer, name=n) for n, found in texts.items() if found}
    if not entries:
        raise InputError("tokenizer is given, but no text; give a text, or a list of texts")
    feeds: dict[str, Array] = {}
    for name, entry in entries.items():
        feeds |= entry.encode(texts[name] or [], graph)
    return feeds | {n: value for n, value in named.items() if n not in entries}, entries


def token_names(
    feeds: Mapping[str, Array], entries: Mapping[str, TextInput]
) -> dict[str, tuple[str, ...]]:
    """The tokens of a single text as names of its places; {} for a batch, whose texts differ."""
    return {
        name: tuple(t.text.strip() or t.piece for t in entry.tokenizer.tokens(feeds[name][0]))
        for name, entry in entries.items()
        if len(feeds[name]) == 1
    }


def _from_end(places: Array, count: int) -> npt.NDArray[np.int64]:
    """Places, the last of all as -1: a model may return no other."""
    return np.where(places == count - 1, -1, places).astype(np.int64)


def _texts(value: Any) -> list[Text] | None:
    """Texts, if that is what the value is."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, str) for v in value):
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(v, str | tuple) for v in value):
        return list(value)
    return None


def _filled(rows: Sequence[Encoded], length: int, tokenizer: TokenizerFile) -> dict[str, Array]:
    shape = (len(rows), length)
    ids = np.full(shape, tokenizer.pad or 0, np.int64)
    mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for i, row in enumerate(rows):
        at = slice(length - len(row.ids), None) if tokenizer.pads_left else slice(0, len(row.ids))
        ids[i, at], mask[i, at], types[i, at] = row.ids, 1, row.types
    positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    return {"ids": ids, "mask": mask, "types": types, "positions": positions}


def _typed(name: str, array: Array, graph: Graph) -> Array:
    kind = graph.type(name)
    if kind.rank not in (2, None):
        raise InputError(f"input {name!r} takes {spell(kind)}, which cannot be made of a text")
    dtype = helper.tensor_dtype_to_np_dtype(kind.dtype) if kind.dtype else array.dtype
    return array.astype(dtype)
