"""Operators that ONNX has under the same or another name, or that it says in a few words."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion, ints, microsoft

_LINEAR_SINCE = 20  # the opset in which GridSample's modes got these names


@microsoft("ExpandDims")
def expand_dims(e: Ops, op: Op, x: Value, axis: Value) -> Value:
    """Unsqueeze."""
    return e.Unsqueeze(x, e.Reshape(e.int64(axis), ints(1)))


@microsoft("Trilu")
def trilu(e: Ops, op: Op, x: Value, k: Value = None) -> Value:
    """Trilu."""
    return e.Trilu(x, k, upper=op.attribute("upper", 1))


@microsoft("GatherND")
def gather_nd(e: Ops, op: Op, x: Value, indices: Value) -> Value:
    """GatherND."""
    return e.GatherND(x, e.int64(indices))


@microsoft("TorchEmbedding")
def torch_embedding(e: Ops, op: Op, table: Value, ids: Value, *_: Value) -> Value:
    """Rows of the table; the other inputs matter to training only."""
    return e.Gather(table, ids, axis=0)


@microsoft("Pad")
def pad(e: Ops, op: Op, x: Value, pads: Value, value: Value = None) -> Value:
    """Pad."""
    filling = None if value is None else e.Reshape(value, ints())
    edges = e.Reshape(pads, ints(-1))
    return e.Pad(x, edges, filling, mode=op.attribute("mode", "constant"))


@microsoft("Unique")
def unique(e: Ops, op: Op, x: Value) -> tuple[Value, ...]:
    """Unique, in the order of appearance."""
    y, _, inverse, counts = e.Unique(x, sorted=0, outputs=4)
    return y, inverse, counts


@microsoft("GridSample")
def grid_sample(e: Ops, op: Op, x: Value, grid: Value) -> Value:
    """GridSample."""
    mode = op.attribute("mode", "bilinear")
    if op.graph.opsets.get("", 0) >= _LINEAR_SINCE:
        mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return e.GridSample(x, grid, mode=mode, **op.attributes("padding_mode", "align_corners"))


@microsoft("UnfoldTensor")
def unfold_tensor(e: Ops, op: Op, x: Value) -> Value:
    """Every window of `size` elements along an axis, as a last axis."""
    rank, size, step = op.rank(0), op.attribute("size"), op.attribute("step", 1)
    axis = op.attribute("dim", -1) % rank
    first = e.Range(np.int64(0), e.length(x, axis) - np.int64(size - 1), np.int64(step))
    windows = e.Gather(x, e.Unsqueeze(first, ints(1)) + np.arange(size, dtype=np.int64), axis=axis)
    return e.Transpose(windows, perm=[*(a for a in range(rank + 1) if a != axis + 1), axis + 1])


@expansion("GRU", "LSTM", "RNN", when="layout")
def samples_first(e: Ops, op: Op, *inputs: Value) -> tuple[Value, ...]:
    """The operator with the steps first, between transpositions."""
    attributes = {name: x for name, x in op.node.attributes.items() if name != "layout"}
    turned = [
        e.Transpose(x, perm=[1, 0, 2]) if i in (0, 5, 6) and x is not None else x  # x and states
        for i, x in enumerate(inputs)
    ]
    count = 3 if op.node.op_type == "LSTM" else 2
    y, *states = e.op(op.node.op_type, turned, attributes, outputs=count)
    after = (e.Transpose(state, perm=[1, 0, 2]) for state in states)
    return e.Transpose(y, perm=[2, 0, 1, 3]), *after


# Tests and repetitions --------------------------------------------------------------------------


@microsoft("IsAllFinite")
def is_all_finite(e: Ops, op: Op, *inputs: Value) -> Value:
    """Whether no element of any input is infinite or not a number."""
    tests = [e.IsInf] * (not op.attribute("isnan_only", 0))
    tests += [e.IsNaN] * (not op.attribute("isinf_only", 0))
    found = [e.ReduceMax(e.int32(t(x)), keepdims=0) for x in inputs for t in tests]
    return e.Max(*found) == np.int32(0)


@microsoft("NGramRepeatBlock")
def ngram_repeat_block(e: Ops, op: Op, ids: Value, scores: Value) -> Value:
    """Scores, -inf for tokens that would repeat a run of `ngram_size` tokens of the text."""
    size, one = op.attribute("ngram_size"), ints(1)
    ids = e.int64(ids)
    starts = e.Max(e.Shape(ids, start=1) - ints(size - 1), ints(0))
    runs = [e.Slice(ids, ints(k), starts + ints(k), one) for k in range(size)]
    repeated = runs[-1] >= np.int64(0)
    for k, run in enumerate(runs[:-1]):
        end = k - size + 2 or np.iinfo(np.int64).max
        repeated = repeated & (run == e.Slice(ids, ints(k - size + 1), ints(end), one))
    none = e.Expand(np.int32(0), e.Shape(scores))
    hit = e.int32(repeated)
    hits = e.ScatterElements(none, runs[-1], hit, axis=1, reduction="max")
    return e.Where(hits > np.int32(0), e.scalar(-np.inf), scores)
