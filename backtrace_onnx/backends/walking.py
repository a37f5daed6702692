"""Recurrent cells backwards by loops of `kernels.cells`, in place of the text of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from backtrace_onnx.kernels import cells
from backtrace_onnx.kernels.channels import words
from backtrace_onnx.kernels.jit import compiling, specialise
from backtrace_onnx.ops.policy import Reading
from backtrace_onnx.ops.vocabulary import Constant, Value

if TYPE_CHECKING:
    from backtrace_onnx.structures.walk import Walk

Array = npt.NDArray[Any]
Pair = tuple[Array, Array | None]

_TEMPLATES = {
    "lstm": cells.lstm,
    "rnn": cells.rnn,
    "gru": cells.gru,
    "gru_after": cells.gru_after,
}
_GRU = ("x_gates", "state", "x_new", "gated", "z", "new", "kept", "before")
_VALUES = {
    "lstm": ("x", "state", "kept", "made", "before"),
    "rnn": ("x", "state", "before"),
    "gru": _GRU,
    "gru_after": _GRU,
}


def walk_by_kernel(name: str, walk: Walk, groups: Sequence[Sequence[Value]]) -> tuple[Array, ...]:
    """What the text `walk` returns for these groups of arguments, by the loop called `name`."""
    arrived, *last, values, (weight, bias, _), (valid,) = groups
    v = {k: np.ascontiguousarray(x) for k, x in zip(walk.names, values, strict=True)}
    before = v["before"]
    start = [_start(r, before, walk.policy.channels) for r in last]
    after = [_room(before.shape, before.dtype, walk.policy.channels) for _ in last]
    if arrived:
        after[0] = _pair([np.array(x, before.dtype, order="C") for x in arrived])
    reading = get_args(Reading).index(walk.policy.reading)
    rows = weight.array.shape[0] - (walk.cell.hidden if name == "gru" else 0)
    parts = [_product(weight, bias, slice(0, rows), v, "", reading, before.shape[1])]
    more: tuple[Any, ...] = ()
    if name == "gru":
        cut = slice(rows, None)
        inner = _product(weight, bias, cut, v, "inner_", reading, before.shape[1])
        rooms = [_room((1, *before.shape[1:]), before.dtype, walk.policy.channels) for _ in "rz"]
        more = ((v["inner"], *inner), *rooms)
    masses, own, a_p, a_n = parts[0]
    policy = walk.policy
    run = specialise(_TEMPLATES[name], policy, **words(policy))
    with compiling(policy):
        run(
            *start,
            tuple(v[k] for k in _VALUES[name]),
            masses,
            own,
            *more,
            reading,
            np.ones((*before.shape[:2], 1), before.dtype) if valid is None else valid,
            a_p,
            a_n,
            *after,
        )
    begun = [x[0] for pair in start for x in pair if x is not None]
    return (*begun, *(x for pair in after for x in pair if x is not None))


def _pair(r: Sequence[Array]) -> Pair:
    return r[0], r[1] if len(r) > 1 else None


def _room(shape: Sequence[int], dtype: npt.DTypeLike, channels: int) -> Pair:
    return np.zeros(shape, dtype), np.zeros(shape, dtype) if channels > 1 else None


def _start(r: Sequence[Array], like: Array, channels: int) -> Pair:
    """The last state's relevance [1, batch, hidden], to be written to."""
    if not r:
        return _room((1, *like.shape[1:]), like.dtype, channels)
    return _pair([np.array(x[None], like.dtype) for x in r])


def _product(
    weight: Constant,
    bias: Constant | None,
    rows: slice,
    v: dict[str, Array],
    prefix: str,
    reading: int,
    batch: int,
) -> tuple[Any, ...]:
    """(masses, weight, aP, aN) of a product, the last two for one step."""
    array = np.ascontiguousarray(weight.array[rows])
    masses = (
        v[f"{prefix}p"],
        v.get(f"{prefix}n", v[f"{prefix}p"]),
        np.zeros(len(array), array.dtype) if bias is None else bias.array[rows].copy(),
    )
    shape = (1, batch, array.shape[0])
    rooms = [_room(shape, array.dtype, 2) for _ in "pn"]
    return masses, np.abs(array) if reading == 0 else array, *rooms
