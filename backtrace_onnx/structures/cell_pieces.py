"""What the entries of a cell's equations are sent, put together to pieces of a node's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backtrace_onnx.ops.vocabulary import Ops, ints
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.equations import ENTRY, PEEPHOLES

X, W, R, B, _, H, C, P = range(8)
INPUT = {"x": X, "w": W, "wb": B, "r": R, "rb": B, "r_n": R, "rb_n": B}
INPUT |= dict.fromkeys(PEEPHOLES, P)
"""Where the entries of a cell's equations come from, but for the states."""


def laid(ops: Ops, found: Mapping[str, Channels], starts: Sequence[str]) -> dict[Any, Channels]:
    """Pieces of some steps: of "x", "w", "wb", "r", "rb" and "p", and of the states before the
    first step, "first h" and "first c", where these are `starts`."""
    made: dict[Any, Channels] = {"x": found["x"]} if "x" in found else {}
    for name in ("w", "wb", "r", "rb"):
        rows = [found[part] for part in (name, f"{name}_n") if part in found]
        if rows:
            made[name] = _below(ops, rows)
    seen = next((found[name] for name in PEEPHOLES if name in found), None)
    if seen is not None:
        none = [ops.Mul(x, ops.zero()) for x in seen]  # a gate that is coupled to another
        each = [found.get(name, none) for name in PEEPHOLES]
        summed = [[ops.ReduceSum(x, ints(0, 1), keepdims=0) for x in r] for r in each]
        made["p"] = _below(ops, summed)
    for state in (state for state in starts if ENTRY[state] in found):
        made[f"first {state}"] = [ops.Squeeze(x, ints(0)) for x in found[ENTRY[state]]]
    return made


def merged(ops: Ops, found: Sequence[Mapping[str, Channels]]) -> dict[Any, Channels]:
    """Pieces of all steps, by input: steps one after another, all else summed."""
    each = {
        name: list(zip(*(part[name] for part in found if name in part), strict=True))
        for name in dict.fromkeys(name for part in found for name in part)
    }
    pieces: dict[Any, Channels] = {}
    if "x" in each:
        pieces[X] = [x[0] if len(x) == 1 else ops.Concat(*x, axis=0) for x in each["x"]]
    summed = {name: [ops.sum(x) for x in each[name]] for name in each if name != "x"}
    pieces |= {i: summed[name] for name, i in (("w", W), ("r", R), ("p", P)) if name in summed}
    if "wb" in summed or "rb" in summed:
        pieces[B] = [ops.Concat(*x, axis=0) for x in zip(summed["wb"], summed["rb"], strict=True)]
    return {**pieces, **{name: summed[name] for name in summed if name.startswith("first")}}


def _below(ops: Ops, parts: Sequence[Channels]) -> Channels:
    """Rows of weights one below the other, by channel."""
    if len(parts) == 1:
        return parts[0]
    return [ops.Concat(*rows, axis=0) for rows in zip(*parts, strict=True)]
