"""Which tensors hold the tokens of texts that a model cuts into words itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.graph.graph import Graph, Node

_CUTTING = frozenset({"StringSplit", "com.microsoft::Tokenizer"})
_ON_THE_WAY = frozenset(
    ["Flatten", "Identity", "Reshape", "Squeeze", "StringNormalizer", "Unsqueeze"]
)


def find_text_tokens(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The tensors of tokens [..., tokens] that each input of texts is cut into, by input."""
    found = {
        name: tuple(dict.fromkeys(_tokens(graph, name)))
        for name in graph.inputs
        if graph.type(name).dtype == TensorProto.STRING
    }
    return {name: tokens for name, tokens in found.items() if tokens}


def _tokens(graph: Graph, tensor: str) -> Iterator[str]:
    for node in graph.consumers.get(tensor, ()):
        if node.operator in _CUTTING:
            yield node.outputs[0]
        elif node.operator in _ON_THE_WAY and node.inputs[0] == tensor:
            yield from _tokens(graph, node.outputs[0])


def without_padding(graph: Graph, tokens: str, texts: npt.NDArray[np.object_]) -> None:
    """Make "" of what fills up short rows of tokens, in place."""
    maker: Node = graph.producers[tokens]
    filling = str(maker.attributes.get("pad_value", ""))
    if not texts.shape[-1]:
        return
    is_filling = texts == filling
    trailing = np.logical_and.accumulate(is_filling[..., ::-1], axis=-1)[..., ::-1]
    texts[trailing] = ""


__all__ = ["find_text_tokens", "without_padding"]
