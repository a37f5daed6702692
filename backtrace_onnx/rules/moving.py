"""Shape and data movement: relevance follows the elements back."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.backends.base import Value, ints
from backtrace_onnx.registry import Op, rule, table
from backtrace_onnx.structures.base import Step, Structure
from backtrace_onnx.structures.moves import Adjoint, LookUp, Moves, Reshaped


def reshaped(op: Op) -> Structure:
    """The same elements in another shape."""
    return Reshaped()


table(dict.fromkeys("Reshape Flatten Squeeze Unsqueeze".split(), reshaped))


@rule("Transpose")
def transpose(op: Op) -> Structure:
    """Back by the inverse permutation."""
    perm = op.attribute("perm")
    back = None if perm is None else tuple(int(i) for i in np.argsort(perm))
    return Adjoint(lambda step, r: step.ops.Transpose(r, perm=back))


@rule("Expand")
def expand(op: Op) -> Structure:
    """Copies are summed."""
    return Adjoint(lambda step, r: step.ops.unbroadcast(r, step.shape(0)), shapes=(0,))


@rule("Gather")
def gather(op: Op) -> Structure:
    """Follows the elements back; a looked-up row goes to the position of its id."""
    table_ = op.constant(0)
    if table_ is None:
        return Moves((0,), steering=(1,))
    axis = int(op.attribute("axis", 0)) % table_.ndim
    rank = op.rank(1)
    over = [*range(axis), *range(axis + rank, rank + table_.ndim - 1)]
    return LookUp(tuple(over))


@rule("Concat")
def concat(op: Op) -> Structure:
    """Follows the elements back."""
    return Moves(tuple(range(len(op.node.inputs))))


table(
    {
        "Slice": lambda op: Moves((0,), steering=tuple(range(1, len(op.node.inputs)))),
        "Tile": lambda op: Moves((0,), steering=(1,)),
        "GatherElements": lambda op: Moves((0,), steering=(1,)),
        "GatherND": lambda op: Moves((0,), steering=(1,)),
    }
)

__all__ = ["Step", "Value", "ints"]
