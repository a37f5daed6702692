"""What classes are called, as far as a model's file tells: its classifiers, or its metadata."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any

import onnx

from backtrace_onnx.model.loading import Model

_ATTRIBUTES = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
_KEYS = ("names", "id2label", "labels", "classes", "class_names")
"""Of metadata: those of Ultralytics, transformers, and what people write by hand."""


def find_class_labels(model: Model) -> tuple[str, ...]:
    """The names of the classes in their order, () where the file tells none.

    They are those of a ZipMap or a classifier of ai.onnx.ml, those from which an
    ArrayFeatureExtractor takes the answer (as skl2onnx writes it), or of metadata: a list, or names
    by number.
    """
    return next((labels for labels in _told(model) if labels), ())


def _told(model: Model) -> Iterator[tuple[str, ...]]:
    nodes = model.proto.graph.node
    for node in sorted(nodes, key=lambda node: node.op_type != "ZipMap"):
        for attribute in node.attribute:
            if attribute.name in _ATTRIBUTES:
                yield tuple(map(_text, onnx.helper.get_attribute_value(attribute)))
    for node in nodes:
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in model.weights:
            values = model.weights[node.input[0]]
            if node.output[0] in _answers(model):
                yield tuple(_text(value) for value in values.reshape(-1).tolist())
    yield from map(_listed, _metadata(model))


def _answers(model: Model) -> set[str]:
    """Outputs of the model, and what they are copies of in another type or shape."""
    found = {value.name for value in model.proto.graph.output}
    for node in reversed(model.proto.graph.node):
        if node.op_type in ("Cast", "Reshape", "Identity", "Squeeze") and node.output[0] in found:
            found.add(node.input[0])
    return found


def _metadata(model: Model) -> Iterator[str]:
    told = {entry.key.lower(): entry.value for entry in model.proto.metadata_props}
    yield from (told[key] for key in _KEYS if key in told)


def _listed(text: str) -> tuple[str, ...]:
    """A list of names, or names by number from 0; () where a text is neither."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        try:
            found = ast.literal_eval(text)  # numbers as keys, as Python writes them
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return ()
    if isinstance(found, Mapping):
        by_number = {str(key): name for key, name in found.items()}
        places = [str(i) for i in range(len(by_number))]
        found = [by_number[p] for p in places] if {*places} == {*by_number} else []
    if not isinstance(found, list | tuple) or not all(isinstance(n, str | int) for n in found):
        return ()
    return tuple(map(str, found))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


__all__ = ["find_class_labels"]
