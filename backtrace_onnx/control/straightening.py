"""One round of writing out: every control-flow and sequence node whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import onnx

from backtrace_onnx.control import sequences
from backtrace_onnx.control.boundary import close_outputs
from backtrace_onnx.control.branches import write_if
from backtrace_onnx.control.loops import write_loop
from backtrace_onnx.control.run_questions import RunQuestion
from backtrace_onnx.control.scans import write_scan
from backtrace_onnx.control.straight_model import StraightModel, is_standard
from backtrace_onnx.model.loading import Model
from backtrace_onnx.passes.pipeline import rewritten

Array = npt.NDArray[Any]
Writer = Callable[[StraightModel, onnx.NodeProto], bool]
"""Writes what a node stands for into the straight; False where that is not known yet."""
Note = Callable[[StraightModel, onnx.NodeProto], None]
"""Notes what sequence or optional a node makes, if that is known."""

_WRITERS: dict[str, Writer] = {
    "ConcatFromSequence": sequences.write_concat,
    "If": write_if,
    "Loop": write_loop,
    "OptionalGetElement": sequences.write_element,
    "OptionalHasElement": sequences.write_has_element,
    "Scan": write_scan,
    "SequenceAt": sequences.write_at,
    "SequenceLength": sequences.write_length,
    "SplitToSequence": sequences.write_split,
}
_NOTES: dict[str, Note] = {
    "Identity": sequences.note_identity,
    "Optional": sequences.note_optional,
    "SequenceConstruct": sequences.note_construct,
    "SequenceEmpty": sequences.note_construct,
    "SequenceErase": sequences.note_erase,
    "SequenceInsert": sequences.note_insert,
}
WRITTEN_OUT = frozenset([*_WRITERS, *_NOTES, "SequenceMap"]) - {"Identity"}
"""Operators of ai.onnx that are replaced by what they did in a run."""


def straightened(
    model: Model, answers: Mapping[str, Array] | None = None
) -> tuple[Model, dict[str, RunQuestion]]:
    """The model with all written out that is known, and what only a run can tell.

    What is written out comes out of bodies, and is rewritten as the model around it was.
    """
    while any(node.op_type in WRITTEN_OUT for node in model.proto.graph.node):
        straight = StraightModel(model, answers or {})
        changed = [_write(straight, node) for node in model.proto.graph.node]
        if not any(changed) and (straight.questions or not close_outputs(straight)):
            return model, straight.questions
        model = rewritten(straight.result())
    return model, {}


def _write(straight: StraightModel, node: onnx.NodeProto) -> bool:
    standard = is_standard(node)
    write = _WRITERS.get(node.op_type) if standard else None
    if write is not None and write(straight, node):
        return True
    note = _NOTES.get(node.op_type) if standard else None
    if note is not None:
        note(straight, node)
    straight.nodes.append(node)
    return False
