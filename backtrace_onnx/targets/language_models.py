"""Outputs of language models: [batch, tokens, vocabulary], and where the tokens of a text end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.text.inputs import companions

Array = npt.NDArray[Any]
_INTEGERS = frozenset({TensorProto.INT64, TensorProto.INT32})
_LARGE = 1000  # fewer classes of a token are labels, unless the table of embeddings has as many
_CARRYING = frozenset({"Abs", "Add", "Cast", "Clip", "Concat", "Div", "Equal", "Expand", "Flatten"})
_CARRYING |= {"Identity", "Less", "Max", "Min", "Mod", "Mul", "Reshape", "Slice", "Squeeze", "Sub"}
_CARRYING |= {"Transpose", "Unsqueeze", "Where"}


@dataclass(frozen=True)
class Tokens:
    """The tokens behind an output [batch, tokens, n].

    Attributes:
        ids: the input that holds them.
        mask: input [batch, tokens] that is 0 where there is padding, if there is one.
        lengths: input [batch] with the number of tokens, if there is one.
    """

    ids: str
    mask: str | None = None
    lengths: str | None = None

    def ends(self, feeds: Mapping[str, Array], count: int) -> npt.NDArray[np.int64] | None:
        """int64[samples]: the place after each text's last token, of `count` in the output.

        None where nothing tells; a text without any token ends with its padding.
        """
        if self.mask is not None and self.mask in feeds:
            mask = feeds[self.mask]
            if mask.ndim != 2 or mask.shape[1] < count:
                return None
            present = mask[:, mask.shape[1] - count :] != 0
            found = count - present[:, ::-1].argmax(1)
            return np.where(present.any(1), found, count).astype(np.int64)
        if self.lengths is not None and self.lengths in feeds:
            lengths = feeds[self.lengths].reshape(-1).astype(np.int64)
            return np.where((lengths > 0) & (lengths <= count), lengths, count)
        return None

    def real(self, feeds: Mapping[str, Array], count: int) -> npt.NDArray[np.bool_] | None:
        """Boolean [samples, count]: which of the output's positions are no padding.

        None where nothing tells; a text without any token is all padding, and taken as it is.
        """
        ends = self.ends(feeds, count)
        if ends is None:
            return None
        if self.mask is None or self.mask not in feeds:
            return np.asarray(np.arange(count) < ends[:, None])
        present = np.asarray(feeds[self.mask][:, -count:] != 0)
        return present | ~present.any(1, keepdims=True)


def find_tokens(graph: Graph, output: str) -> Tokens | None:
    """The tokens that an output has one row for; None where it shares no axis with integer ids."""
    shape = graph.type(output).shape
    if shape is None or len(shape) != 3:
        return None
    alike = [name for name in _matrices(graph) if _same(graph, name, shape[1])]
    ids = next((n for n in alike if n.endswith("input_ids")), None) or next(
        (n for n in alike if _tables(graph, n)), next(iter(alike), None)
    )
    if ids is None:
        return None
    mask = companions(ids, graph.inputs).mask
    if mask is None or graph.type(mask).rank not in (2, None):
        others = (n for n in graph.inputs if n != ids and "mask" in n.lower())
        mask = next((n for n in others if _same(graph, n, shape[1])), None)
    vectors = (n for n in graph.inputs if graph.type(n).dtype in _INTEGERS)
    lengths = next((n for n in vectors if "len" in n.lower() and _is_vector(graph, n)), None)
    return Tokens(ids, mask, None if mask else lengths)


def default_task(graph: Graph, output: str) -> tuple[str, tuple[Note, ...]]:
    """The task of an output for which none is asked, and what that assumes."""
    tokens = find_tokens(graph, output)
    if tokens is None:
        return "classification", ()
    size = (graph.type(output).shape or ())[2]
    rows = _tables(graph, tokens.ids)
    if isinstance(size, int) and (size in rows or _is_vocabulary(size, rows)):
        return "generation", (Note(speaking(output, tokens.ids, size, size in rows)),)
    classes = f"{size} classes" if isinstance(size, int) else "classes"
    text = (
        f"output {output!r} has {classes} for every token of {tokens.ids!r} and is read as "
        "classification; task='generation' reads it as a language model's"
    )
    return "classification", (Note(text),)


def speaking(output: str, ids: str, size: int, tied: bool) -> str:
    """The sentence that says that an output is read as a language model's."""
    why = "as many as its embeddings" if tied else "which is taken for a vocabulary"
    return (
        f"output {output!r} has {size} classes for every token of {ids!r}, {why}: it is read as a "
        "language model's, and what follows the last token is explained; task='classification' "
        "reads it otherwise"
    )


def _is_vocabulary(size: int, rows: set[int]) -> bool:
    """Whether so many classes are words: many, and not far fewer than the words that are read."""
    return size >= _LARGE and (not rows or 2 * size >= max(rows))


def _matrices(graph: Graph) -> Iterator[str]:
    for name in graph.inputs:
        kind = graph.type(name)
        if kind.dtype in _INTEGERS and kind.rank == 2 and "mask" not in name.lower():
            yield name


def _same(graph: Graph, name: str, size: int | str | None) -> bool:
    """Whether an input's second axis is as long; an unknown size may be."""
    shape = graph.type(name).shape
    if shape is None or len(shape) != 2:
        return False
    given = {n for i in graph.inputs for n in graph.type(i).shape or () if isinstance(n, str)}
    lost = size is None or (isinstance(size, str) and size not in given)
    return shape[1] == size or (lost and not isinstance(shape[1], int))


def _is_vector(graph: Graph, name: str) -> bool:
    shape = graph.type(name).shape
    return shape is not None and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))


def _tables(graph: Graph, ids: str) -> set[int]:
    """Number of rows of every constant table that the ids look up."""
    derived, rows = {ids}, set[int]()
    for node in graph.nodes:
        if node.op_type == "Gather" and len(node.inputs) > 1 and node.inputs[1] in derived:
            table = graph.constants.get(node.inputs[0])
            if table is not None and table.ndim == 2 and not node.attributes.get("axis", 0):
                rows.add(len(table))
        elif node.op_type in _CARRYING and derived.intersection(node.inputs):
            derived.update(node.outputs)
    return rows
