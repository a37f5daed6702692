"""Sequences and optionals as inputs and outputs of a model: their elements, named `name/k`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import onnx
from onnx import ValueInfoProto, helper

from backtrace_onnx.control.straight_model import StraightModel
from backtrace_onnx.errors import InputError
from backtrace_onnx.model.loading import Model

Kind = Literal["sequence", "optional", "optional sequence"]
Lengths = tuple[tuple[str, int], ...]
EMPTY = -1
"""Length of an optional that holds nothing."""


def list_inputs(model: Model) -> dict[str, Kind]:
    """The inputs of a model that take a list of arrays, or an array or nothing, and their kinds."""
    return {x.name: kind for x in model.proto.graph.input if (kind := _kind(x.type)) is not None}


def _kind(value: onnx.TypeProto) -> Kind | None:
    """How elements lie in a type; None for a tensor, and for maps and nested sequences."""
    if value.HasField("optional_type"):
        inner = _kind(value.optional_type.elem_type)
        tensor = value.optional_type.elem_type.HasField("tensor_type")
        return "optional sequence" if inner == "sequence" else "optional" if tensor else None
    if value.HasField("sequence_type"):
        return "sequence" if value.sequence_type.elem_type.HasField("tensor_type") else None
    return None


def _element(value: onnx.TypeProto) -> onnx.TypeProto:
    """Type of the tensors inside."""
    if value.HasField("optional_type"):
        return _element(value.optional_type.elem_type)
    return _element(value.sequence_type.elem_type) if value.HasField("sequence_type") else value


def elements(
    inputs: Any, model: Model, kinds: Mapping[str, Kind]
) -> tuple[dict[str, Any], Lengths]:
    """What a caller gives for a model's inputs, as one array for each tensor.

    Args:
        inputs: an array, or arrays and lists of arrays by input name.
        kinds: what `list_inputs` finds.

    Returns:
        Arrays by name, an element k of the list `name` as `name/k`; and the lengths of the lists.

    Raises:
        InputError: a list is missing, or something else is given for it.
    """
    if not isinstance(inputs, Mapping):
        names = [x.name for x in model.proto.graph.input if x.name not in model.weights]
        if len(names) != 1:
            raise InputError(f"the model has {len(names)} inputs; give a dict by name: {names}")
        inputs = {names[0]: inputs}
    flat = {name: x for name, x in inputs.items() if name not in kinds}
    lengths = []
    for name, kind in kinds.items():
        parts = _parts(name, kind, inputs)
        lengths.append((name, EMPTY if parts is None else len(parts)))
        flat.update({f"{name}/{k}": x for k, x in enumerate(parts or ())})
    return flat, tuple(lengths)


def _parts(name: str, kind: Kind, inputs: Mapping[str, Any]) -> list[Any] | None:
    given = inputs.get(name)
    if given is None:
        if kind == "sequence":
            raise InputError(f"input {name!r} is missing; it takes a list of arrays")
        return None
    if kind == "optional":
        return [given]
    if not isinstance(given, list | tuple):
        raise InputError(f"input {name!r} takes a list of arrays, not {type(given).__name__}")
    return list(given)


def opened(model: Model, lengths: Lengths) -> Model:
    """The model for lists of these lengths: it takes every element by itself and makes them."""
    graph = model.proto.graph
    types = {x.name: x.type for x in graph.input}
    made = [node for name, n in lengths for node in _gathering(name, n, types[name])]
    inputs = [x for old in graph.input for x in _inputs(old, dict(lengths))]
    return model.with_nodes([*made, *graph.node], inputs=inputs)


def _inputs(old: ValueInfoProto, lengths: Mapping[str, int]) -> Iterator[ValueInfoProto]:
    if old.name not in lengths:
        yield old
    for k in range(lengths.get(old.name, 0)):
        yield ValueInfoProto(name=f"{old.name}/{k}", type=_element(old.type))


def _gathering(name: str, length: int, kind: onnx.TypeProto) -> Iterator[onnx.NodeProto]:
    """Nodes that make the sequence or optional of its elements."""
    parts = [f"{name}/{k}" for k in range(length)]
    if length == EMPTY:
        yield helper.make_node("Optional", [], [name], type=kind.optional_type.elem_type)
        return
    if kind.HasField("optional_type"):
        held = parts[0] if _kind(kind) == "optional" else f"{name}@list"
        yield helper.make_node("Optional", [held], [name])
        name = held
    if name not in parts[:1] and parts:
        yield helper.make_node("SequenceConstruct", parts, [name])
    elif not parts:
        dtype = _element(kind).tensor_type.elem_type
        yield helper.make_node("SequenceEmpty", [], [name], dtype=dtype)


def close_outputs(straight: StraightModel) -> bool:
    """Make the elements of known sequences and optionals outputs; whether there were any.

    Raises InputError where nothing is left to be explained: all outputs are empty.
    """
    outputs: list[ValueInfoProto] = []
    for old in straight.outputs:
        held = straight.optionals.get(old.name, old.name)
        known = old.name in straight.optionals or held in straight.sequences
        if not known:
            outputs.append(old)
            continue
        for k, element in enumerate(straight.sequences.get(held, (held,) if held else ())):
            outputs.append(ValueInfoProto(name=f"{old.name}/{k}", type=_element(old.type)))
            if element != f"{old.name}/{k}":
                straight.rename(element, f"{old.name}/{k}")
    if not outputs:
        raise InputError("all outputs are empty for these inputs; there is nothing to explain")
    changed = outputs != straight.outputs
    straight.outputs = outputs
    return changed
