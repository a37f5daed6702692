"""Picking elements out and putting them in: relevance follows them back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.graph.traits import one_hot_ids
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Value, ints
from backtrace_onnx.rules.data_movement import counted
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Halves, Nothing, Step, Structure
from backtrace_onnx.structures.moves import Adjoint, Chosen, LookUp, Moves
from backtrace_onnx.structures.scatters import Combined, Scatter, elements, slices


@rule("Gather")
def gather(op: Op) -> Structure:
    """Relevance follows the elements back; that of a row looked up in a table goes to its id."""
    axis = int(op.attribute("axis", 0))
    if not op.carries(0):
        table_rank, ids_rank = op.rank(0), op.rank(1)
        first = axis % table_rank
        return LookUp((*range(first), *range(first + ids_rank, ids_rank + table_rank - 1)))
    index = op.constant(1)
    if index is None or index.size != 1 or index.ndim > 1:
        return Moves((0,), steering=(1,))

    def back(step: Step, r: Value) -> Value:
        e, shape = step.ops, step.shape(0)
        row = r if index.ndim else e.Unsqueeze(r, ints(axis))
        first = counted(e, ints(int(index.item())), e.Gather(shape, ints(axis)))
        return e.place(row, shape, first, ints(axis))

    return Adjoint(back, shapes=(0,))


@rule("GatherElements")
def gather_elements(op: Op) -> Structure:
    """Relevance follows the elements back; that of an entry looked up in a table goes to its id."""
    return Moves((0,), steering=(1,)) if op.carries(0) else LookUp(())


@rule("GatherND")
def gather_nd(op: Op) -> Structure:
    """Relevance follows the elements back; a looked-up row's goes to the parts of its id alike."""
    if op.carries(0):
        return Moves((0,), steering=(1,))
    parts = op.type(1).shape
    if not parts or not isinstance(parts[-1], int):
        raise RuleError(
            f"GatherND node {op.node.name!r}: the shape of its indices is not known; run shape "
            "inference on the model first"
        )
    batch = int(op.attribute("batch_dims", 0))
    made = len(parts) - 1 + op.rank(0) - parts[-1] - batch
    return LookUp(tuple(range(len(parts) - 1, made)), parts=True)


@rule("OneHot")
def one_hot(op: Op) -> Structure:
    """A row's relevance goes to its id; where the on and off values are data, to these."""
    axis = int(op.attribute("axis", -1))
    if not op.carries(2):
        return LookUp((axis % (op.rank(0) + 1),), ids=0)

    def back(step: Step, r: Value) -> Value:
        e = step.ops
        (hot,) = e.rerun(
            step.node, [step.condition(0), step.condition(1), np.array([0, 1], e.dtype)]
        )
        on = e.Reshape(e.ReduceSum(e.Mul(r, hot), keepdims=0), ints(1))
        return e.Concat(e.Sub(e.Reshape(e.ReduceSum(r, keepdims=0), ints(1)), on), on, axis=0)

    return Adjoint(back, values=(0, 1), data=2)


@rule("Equal")
def equal(op: Op) -> Structure:
    """A comparison carries no relevance, unless it encodes ids one-hot: then they take it."""
    ids = one_hot_ids(op.node, op.graph)
    return Nothing() if ids is None else Halves((ids,))


@rule("Where")
def where(op: Op) -> Structure:
    """Relevance goes to the input that was chosen, place by place; the condition takes none."""
    return Chosen()


@rule("Compress")
def compress(op: Op) -> Structure:
    """Relevance follows the elements back to where they came from."""
    return Moves((0,), steering=(1,))


@rule("TopK")
def top_k(op: Op) -> Structure:
    """Relevance follows the elements back to where they came from."""
    axis = int(op.attribute("axis", -1))

    def back(step: Step, r: Value) -> Value:
        zeros = step.ops.Expand(step.ops.zero(), step.shape(0))
        return step.ops.ScatterElements(zeros, step.result(1), r, axis=axis)

    return Adjoint(back, shapes=(0,), results=(1,), bent=True)


@rule("Unique")
def unique(op: Op) -> Structure:
    """Elements that are equal share the relevance of their one value in equal parts."""
    axis = op.attribute("axis")
    after = 0 if axis is None else op.rank(0) - 1 - axis % op.rank(0)

    def back(step: Step, r: Value) -> Value:
        e = step.ops
        whole = replace(step.node, outputs=("y", "indices", "inverse", "counts"))
        _, _, inverse, counts = e.rerun(whole, [step.condition(0)])
        equals = e.Reshape(e.Cast(counts, to=e.float_type), ints(-1, *[1] * after))
        share = e.Gather(e.Div(r, equals), inverse, axis=axis or 0)
        return e.Reshape(share, step.shape(0), allowzero=1)

    return Adjoint(back, shapes=(0,), values=(0,))


def _scattered(op: Op, way: Scatter) -> Structure:
    """What is scattered goes back to where it came from, or shares as the reduction says."""
    reduction = op.attribute("reduction", "none")
    return Moves((0, 2), steering=(1,)) if reduction == "none" else Combined(reduction, way)


@rule("Scatter", "ScatterElements")
def scatter_elements(op: Op) -> Structure:
    """Relevance follows the elements back; what fell on one place shares as the reduction says."""
    return _scattered(op, elements(int(op.attribute("axis", 0))))


@rule("ScatterND")
def scatter_nd(op: Op) -> Structure:
    """Relevance follows the elements back; what fell on one place shares as the reduction says."""
    return _scattered(op, slices())


@rule("TensorScatter")
def tensor_scatter(op: Op) -> Structure:
    """Relevance follows the elements back to where they came from."""
    return Moves((0, 1), steering=(2,))
