"""Loops over the steps of a recurrent cell, made of the text of one step.

`Cell.back` says, in the words of `CellSharing`, what becomes of a step's relevance. It is asked
once with words that write lines of Python for one unit; `kernels.recurrence.cell` calls these for
every unit of every step. Where a step computes few numbers and signs are told apart, the Scan that
compiled files hold spends its time on calling nodes, and the loop takes half of that
(scripts/bench/RESULTS.md); policies that read sums only go by the Scan, which is as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, cast

import numba
import numpy as np
import numpy.typing as npt

from backtrace_onnx.kernels import recurrence
from backtrace_onnx.kernels.channels import written_out
from backtrace_onnx.kernels.jit import OPTIONS, kernel, specialise
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.structures.cell_sharing import NONE_FIXED, CellSharing, Fixed, State, Values
from backtrace_onnx.structures.cell_steps import CellSteps

Array = npt.NDArray[Any]
Rooms = tuple[Array, ...]


def fits(steps: CellSteps, groups: Sequence[Sequence[Value]]) -> bool:
    """Whether the loop does it, and pays: it knows constant weights, and signs told apart."""
    if steps.policy.reading != "split" or not steps.cell.unitwise(steps.operands):
        return False
    *_, (weight, bias, _), _ = groups
    return isinstance(weight, Constant) and (bias is None or isinstance(bias, Constant))


def run_loop(ops: Ops, steps: CellSteps, groups: Sequence[Sequence[Value]]) -> tuple[Array, ...]:
    """What the text `steps` returns for these groups of arguments."""
    arrived, *last, values, _, (valid,) = groups
    v = {k: np.ascontiguousarray(x) for k, x in zip(steps.names, values, strict=True)}
    like, channels = v["before"], steps.policy.channels
    start = [_start(r, like, channels) for r in last]
    after = [_room(like.shape, like.dtype, channels) for _ in last]
    if arrived:
        after[0] = tuple(np.array(x, like.dtype, order="C") for x in arrived)
    states = steps.cell.states(v, steps.operands, ops)
    product, *inner = (_product(state, channels) for state in states)
    none = [None] * (2 - len(start))
    reads, *texts = _texts(steps)
    _loop(steps.policy, *texts)(
        *start,
        *none,
        *after,
        *none,
        np.ones((*like.shape[:2], 1), like.dtype) if valid is None else valid,
        tuple(v[name] for name in reads),
        product,
        inner[0] if inner else None,
        _room((1, *like.shape[1:]), like.dtype, channels) if inner else None,
    )
    begun = [x[0] for state in start for x in state]
    return (*begun, *(x for state in after for x in state))


def _room(shape: Sequence[int], dtype: npt.DTypeLike, channels: int) -> Rooms:
    return tuple(np.zeros(shape, dtype) for _ in range(channels))


def _start(r: Sequence[Array], like: Array, channels: int) -> Rooms:
    """The last state's relevance [1, batch, hidden], to be written to."""
    if not r:
        return _room((1, *like.shape[1:]), like.dtype, channels)
    return tuple(np.array(x[None], like.dtype) for x in r)


def _product(state: State, channels: int) -> tuple[Any, ...]:
    """Masses and bias of a product, its factors, and room for one step's coefficients."""
    weight = np.ascontiguousarray(state.weight.array)
    none = np.zeros(len(weight), weight.dtype)
    bias = none if state.bias is None else state.bias.array.copy()  # writeable: one type
    shape = (1, state.x.shape[1], len(weight))
    rooms = [_room(shape, weight.dtype, channels) for _ in "pn"]
    return state.p, state.n, bias, weight, state.x, *rooms


# A unit, as lines -------------------------------------------------------------------------------


class _Element(NamedTuple):
    """A unit's element of the values called `name`, as Numba reads it."""

    name: str

    def __str__(self) -> str:
        return self.of_gate(0)

    def of_gate(self, k: int) -> str:
        """The same of gate `k`, which lie side by side."""
        return f"{self.name}[t, b, j + {k} * hidden]" if k else f"{self.name}[t, b, j]"


class _Numbers:
    """The words of `Ops` that cells use on numbers of their own."""

    def Neg(self, x: _Element) -> str:
        return f"-{x}"

    def scalar(self, value: float) -> str:
        return f"before.dtype.type({value})"


@dataclass(frozen=True)
class _Unit(CellSharing):
    """Writes down what `Cell.back` says of one unit. Relevance is [name], or a name for each gate.

    Attributes:
        lines: written so far; `pulled`, if it is read, is what a product inside of the step pulls.
        inner: how many lines that product's relevance takes, and its name.
    """

    lines: list[str] = field(default_factory=list)
    inner: list[tuple[int, str]] = field(default_factory=list)

    def _new(self, text: str, count: int = 1) -> list[str]:
        """Names of what a line makes."""
        names = [f"r{len(self.lines)}_{i}" for i in range(count)]
        self.lines.append(f"{', '.join(names)} = {text}")
        return names

    def terms(self, r: Channels, *xs: Value, bias: Value | None = None) -> list[Channels]:
        if bias is not None:
            return [self._new(f"alone({xs[0]}, {bias}, {r[0]})")]
        return [[name] for name in self._new(f"share({xs[0]}, {xs[1]}, {r[0]})", 2)]

    def half(self, r: Channels) -> Channels:
        return self._new(f"half({r[0]})")

    def plus(self, a: Channels, *others: Channels | None) -> Channels:
        for b in others:
            a = a if b is None else self._new(f"plus({a[0]}, {b[0]})")
        return a

    def beside(self, *parts: Channels) -> Channels:
        return [name for part in parts for name in part]

    def products(self, r: Channels, v: Values, fixed: Fixed, *_: Value, **__: Value) -> Any:
        x, state = v["x"], v["state"]
        made = [
            self._new(f"share({x.of_gate(k)}, {state.of_gate(k)}, {name})", 2)[1]
            for k, name in enumerate(r)
        ]
        return r, made

    def pull(self, key: str, r: Channels, state: State) -> Channels:
        self.inner.append((len(self.lines), r[0]))
        return ["pulled"]


def _texts(steps: CellSteps) -> tuple[tuple[str, ...], str, str]:
    """`back` and `first` of `kernels.recurrence`: a unit's relevance, and the part of it that a
    product inside of the step waits for, if there is one."""
    unit = _Unit(cast(Ops, _Numbers()), steps.policy)
    r: dict[str, Channels] = {name: [name] for name in steps.states}
    v = {name: _Element(name) for name in steps.names}
    sent = steps.cell.back(unit, "", r, v, steps.operands, NONE_FIXED)
    gates = ", ".join(sent.state or ())
    to_h, to_c = ("None" if x is None else x[0] for x in (sent.h or ["nothing(h)"], sent.c))
    written = "\n".join([*unit.lines, "before["])
    reads = tuple(name for name in steps.names if f"{name}[" in written)
    head = f"(t, b, j, h, c, pulled, {', '.join(reads)}):"
    lines = ["hidden = before.shape[2]", *unit.lines]
    texts = [["def back" + head, *lines, f"return ({gates},), {to_h}, {to_c}"]]
    for count, name in unit.inner:
        texts.append(["def first" + head, *lines[: count + 1], f"return {name}"])
    back, first = ("\n    ".join(text) for text in (*texts, ["first = None"])[:2])
    return reads, back, first


@cache
def _loop(policy: Policy, back: str, first: str) -> Any:
    """The loop of a cell with these texts."""
    words: dict[str, Any] = {
        name: kernel(written_out(word, policy.channels)) for name, word in recurrence.WORDS.items()
    }
    for name, template in recurrence.TEMPLATES.items():
        words[name] = specialise(template, policy)
    space = dict(words)
    exec(compile(f"{back}\n{first}", "<cell>", "exec"), space)  # of names of the cell only
    for name in ("back", "first"):
        words[name] = space[name] and numba.njit(**OPTIONS)(space[name])
    return specialise(recurrence.cell, policy, back + first, **words)
