"""What a caller of `explain` gives as inputs, arrays, tables or texts, as arrays by input name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.sidecar import Sidecar, opened
from backtrace_onnx.inputs.table_inputs import FilledInputs, read_given
from backtrace_onnx.text.inputs import TextInput, read_feeds, token_names

if TYPE_CHECKING:
    from backtrace_onnx.text.tokenizer import Tokenizer

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class GivenInputs:
    """Arrays by input name, and what is known of where they came from.

    Attributes:
        filled: the arrays, and names and notes of a table.
        texts: how inputs that were texts were read, by input name.
        sidecar: what is said of the model's inputs and outputs, if anything.
    """

    filled: FilledInputs
    texts: Mapping[str, TextInput] = field(default_factory=dict)
    sidecar: Sidecar | None = None

    @property
    def token_inputs(self) -> Mapping[str, TextInput]:
        """Inputs that are ids of a text's tokens: of the texts given, else as the sidecar says."""
        said = self.sidecar.inputs if self.sidecar else {}
        return self.texts or {n: entry for n, entry in said.items() if isinstance(entry, TextInput)}

    def names(self, feeds: Mapping[str, Array]) -> dict[str, tuple[str, ...]]:
        """What the entries of inputs are called: columns of tables, tokens of a single text."""
        return {**self.filled.names, **token_names(feeds, self.texts)}


def read_inputs(
    inputs: Any,
    graph: Graph,
    tokenizer: Tokenizer | str | os.PathLike[str] | None,
    sidecar: Sidecar | str | os.PathLike[str] | None,
) -> GivenInputs:
    """The inputs of a model, as `Explainer.explain` takes them.

    Raises:
        InputError: they cannot be read as inputs of this model.

    Warns:
        InputWarning: columns of a table that no input takes.
    """
    texts: dict[str, TextInput] = {}
    if tokenizer is not None:
        inputs, texts = read_feeds(inputs, tokenizer, graph)
    known = opened(sidecar)
    return GivenInputs(read_given(inputs, graph, known), texts, known)
