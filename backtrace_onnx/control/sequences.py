"""Sequences and optionals: lists of tensors that are known when the model is written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from backtrace_onnx.control.straight_model import StraightModel
from backtrace_onnx.errors import ModelError
from backtrace_onnx.graph.graph import NO_TENSOR, TensorType

# What a node makes is noted; the node itself stays, until nothing reads it.


def note_construct(straight: StraightModel, node: onnx.NodeProto) -> None:
    """Note the sequence that a node makes of its inputs; SequenceEmpty has none."""
    straight.sequences[node.output[0]] = tuple(node.input)


def note_insert(straight: StraightModel, node: onnx.NodeProto) -> None:
    """Note the sequence that has one tensor more, if the place where it goes is known."""
    elements = straight.sequences.get(node.input[0])
    place = _place(straight, node, 2, 1)
    if elements is not None and place is not None:
        straight.sequences[node.output[0]] = (
            *elements[:place],
            node.input[1],
            *elements[place:],
        )


def note_erase(straight: StraightModel, node: onnx.NodeProto) -> None:
    """Note the sequence that has one tensor less, if the place that it leaves is known."""
    elements = straight.sequences.get(node.input[0])
    place = _place(straight, node, 1, 0)
    if elements is not None and place is not None:
        straight.sequences[node.output[0]] = (*elements[:place], *elements[place + 1 :])


def note_optional(straight: StraightModel, node: onnx.NodeProto) -> None:
    """Note that an optional holds the input of the node, or nothing."""
    straight.optionals[node.output[0]] = node.input[0] if node.input else ""


def note_identity(straight: StraightModel, node: onnx.NodeProto) -> None:
    """Note that a node hands on the sequence or optional that it reads."""
    straight.note_alike(node.input[0], node.output[0])


def write_at(straight: StraightModel, node: onnx.NodeProto) -> bool:
    """Write the tensor at the asked place of a sequence; False where either is not known yet."""
    elements, place = straight.sequences.get(node.input[0]), _place(straight, node, 1, 0)
    if elements is None or place is None:
        return False
    straight.rename(elements[place], node.output[0])
    return True


def write_length(straight: StraightModel, node: onnx.NodeProto) -> bool:
    """Write how many tensors a sequence holds; False where it is not known yet."""
    elements = straight.sequences.get(node.input[0])
    if elements is None:
        return False
    output = node.output[0]
    straight.rename(
        straight.constant(f"{output}@length", np.array(len(elements), np.int64)), output
    )
    return True


def write_concat(straight: StraightModel, node: onnx.NodeProto) -> bool:
    """Write the tensors of a sequence joined; False where the sequence is not known yet.

    Raises ModelError for a sequence that is empty.
    """
    elements = straight.sequences.get(node.input[0])
    if elements is None:
        return False
    if not elements:
        raise ModelError(f"ConcatFromSequence node {node.name!r} joins an empty sequence")
    axis = _attribute(node, "axis", 0)
    if _attribute(node, "new_axis", 0):
        straight.stack(elements, node.output[0], axis)
    else:
        straight.emit("Concat", elements, [node.output[0]], axis=axis)
    return True


def write_split(straight: StraightModel, node: onnx.NodeProto) -> bool:
    """Write the parts of a tensor, or its slices; False where their sizes are not known yet."""
    source, axis, output = node.input[0], _attribute(node, "axis", 0), node.output[0]
    why = "into how many parts it splits"
    given = node.input[1] if len(node.input) > 1 else ""
    size = straight.size(node, source, axis, why)
    parts = straight.wanted(node, given, why) if given else np.array(1)
    if size is None or parts is None:
        return False
    sizes = [int(n) for n in parts] if parts.ndim else _even(size, int(parts))
    straight.check_count(node, len(sizes))
    names = [straight.fresh(f"{output}/{i}") for i in range(len(sizes))]
    if names and not given and not _attribute(node, "keepdims", 1):
        straight.cut(source, names, axis)
    elif names:
        straight.split(source, names, sizes, axis)
    straight.sequences[output] = tuple(names)
    if names:
        straight.emit("SequenceConstruct", names, [output])
    else:
        straight.emit("SequenceEmpty", [], [output], dtype=_element(straight, source))
    return True


def write_has_element(straight: StraightModel, node: onnx.NodeProto) -> bool:
    """Write whether an optional holds anything; False where that is not known yet."""
    source = node.input[0] if node.input else ""
    known = not source or source in straight.optionals or _is_plain(straight, source)
    if not known:
        return False
    full = bool(straight.optionals.get(source, source))
    output = node.output[0]
    straight.rename(straight.constant(f"{output}@full", np.array(full)), output)
    return True


def write_element(straight: StraightModel, node: onnx.NodeProto) -> bool:
    """Write what an optional holds, False where that is not known yet; a tensor is its own element.

    Raises ModelError for an optional that is empty.
    """
    source, output = node.input[0], node.output[0]
    if source not in straight.optionals and not _is_plain(straight, source):
        return False
    held = straight.optionals.get(source, source)
    if not held:
        raise ModelError(f"OptionalGetElement node {node.name!r} reads an empty optional")
    straight.rename(held, output)
    return True


def _is_plain(straight: StraightModel, name: str) -> bool:
    """Whether a name is known to be that of a tensor or a sequence, and of no optional."""
    return name in straight.sequences or straight.types.get(name, TensorType()).dtype not in (
        0,
        NO_TENSOR,
    )


def _place(straight: StraightModel, node: onnx.NodeProto, at: int, more: int) -> int | None:
    """The place in a sequence that input `at` of a node names, counted from the front.

    It is the end where the input is left out, and None where the place or the sequence is not
    known. Where `more` is 1, the place behind the last tensor is one, too. Raises ModelError for a
    place outside of the sequence.
    """
    elements = straight.sequences.get(node.input[0])
    if elements is None:
        return None
    if len(node.input) <= at or not node.input[at]:
        return len(elements) - 1 + more
    given = straight.wanted(node, node.input[at], "which place of a sequence it means")
    if given is None:
        return None
    place = int(np.ravel(given)[0])
    place += len(elements) if place < 0 else 0
    if not 0 <= place < len(elements) + more:
        raise ModelError(
            f"{node.op_type} node {node.name!r} asks for place {int(np.ravel(given)[0])} of a "
            f"sequence of {len(elements)}"
        )
    return place


def _even(size: int, step: int) -> list[int]:
    """Sizes of parts of `step` entries each, the last one perhaps smaller."""
    if step < 1:
        raise ModelError(f"SplitToSequence cannot split into parts of {step}")
    return [min(step, size - begin) for begin in range(0, size, step)]


def _element(straight: StraightModel, tensor: str) -> int:
    return straight.types.get(tensor, TensorType()).dtype or onnx.TensorProto.FLOAT


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    found: Any = (helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return int(next(found, default))
