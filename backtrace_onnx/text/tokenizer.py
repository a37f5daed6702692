"""A tokenizer as people use it: texts become a model's inputs, and tokens its targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from backtrace_onnx.text.inputs import TextInput
from backtrace_onnx.text.tokenizer_file import Text, TokenizerFile

if TYPE_CHECKING:
    from backtrace_onnx.graph.graph import Graph

Array = npt.NDArray[Any]


class HasGraph(Protocol):
    """Anything that has a model's graph, such as an Explainer."""

    @property
    def graph(self) -> Graph:
        """The model's graph."""


class Tokenizer(TokenizerFile):
    """Turns texts into a model's integer inputs, and ids back into tokens.

    Args:
        path: a tokenizer.json file. Its padding and truncation are not used: texts are padded as
            the model needs it, and never cut unless asked for.

    Raises:
        InputError: the file cannot be read, or the tokenizers library is not installed.
    """

    def feeds(
        self,
        texts: Text | list[Text],
        explainer: HasGraph,
        *,
        name: str | None = None,
        length: int | None = None,
        truncate: bool = False,
    ) -> dict[str, Array]:
        """The inputs of a model for one text or a batch: ids, mask, types, positions, empty caches.

        Args:
            texts: a text, a pair as tuple, or a list of these.
            explainer: of the model that is fed.
            name: input that takes the ids; default: input_ids, or the only integer matrix.
            length: tokens to pad to; default: the model's own length, or the longest text's.
            truncate: cut texts that are too long instead of refusing them.

        Raises:
            InputError: a text is empty or too long, or the model takes no ids.
        """
        entry = TextInput(self, name=name, length=length, truncate=truncate)
        several = texts if isinstance(texts, list) else [texts]
        return entry.encode(several, explainer.graph)

    def targets(
        self, feeds: Mapping[str, Array], token: str | int | None = None, *, name: str | None = None
    ) -> npt.NDArray[np.int64]:
        """int64[samples, 2]: (position, token) that follows the end of each text, or its [MASK].

        The last position is -1 where no padding follows. Without a `token` it is the likeliest.
        `name` is the input that takes the ids. Raises RequestError where `token` is not one token.
        """
        return TextInput(self, name=name).targets(feeds, token)
