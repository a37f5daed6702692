"""The backend that computes: NumPy for views, Numba for fused passes, onnxruntime for products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, get_args
from weakref import ref

import numpy as np
import numpy.typing as npt

from backtrace_onnx.backends import cell_loops
from backtrace_onnx.backends.layout import FIRST, Samples, Units, spread_out
from backtrace_onnx.backends.numpy_operators import DIRECT, ArrayWords
from backtrace_onnx.backends.products import Products
from backtrace_onnx.backends.slope_kernels import SlopeKernels
from backtrace_onnx.backends.texts import Sessions, write_node, write_text
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.kernels import scatter, sharing, summing
from backtrace_onnx.kernels.jit import specialise
from backtrace_onnx.kernels.recurrence import recur
from backtrace_onnx.kernels.threads import GRAIN, cut, run_all
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.policy import Policy, Reading
from backtrace_onnx.ops.vocabulary import Constant, Ops, Shared, Term, Value
from backtrace_onnx.structures.cell_steps import CellSteps

Array = npt.NDArray[Any]
READINGS = get_args(Reading)
_ANYWHERE = nullcontext()


class EagerOps(ArrayWords, SlopeKernels):
    """The eager backend: every call computes at once.

    Values are arrays, or `Constant`s, whose name tells texts that they are the same again.
    """

    def __init__(
        self,
        dtype: npt.DTypeLike,
        samples: Samples,
        sessions: Sessions,
        opsets: dict[str, int],
        *,
        ledger: bool = True,
    ) -> None:
        self.dtype, self.keeps_ledger = np.dtype(dtype), ledger
        self.samples, self._sessions, self._opsets = samples, sessions, opsets
        self._alone = samples.count == 1
        self._totals: dict[int, tuple[Any, Any, Any]] = {}  # by id: what passes is asked again

    def scope(self, name: str) -> AbstractContextManager[None]:
        return _ANYWHERE

    def op(
        self,
        op_type: str,
        inputs: Sequence[Value],
        attributes: dict[str, Any] | None = None,
        outputs: int = 1,
        domain: str = "",
    ) -> Value:
        arrays = [x if x is None or type(x) is np.ndarray else self.array(x) for x in inputs]
        attributes = attributes or {}
        direct = DIRECT.get(op_type)
        if direct is not None and outputs == 1:
            return np.asarray(direct(*arrays, **attributes))

        def text(e: Ops, *xs: Value) -> Value:
            return e.op(op_type, xs, attributes, outputs, domain)

        key = (
            f"{domain}::{op_type}{sorted(attributes.items())}{[x is None for x in arrays]}{outputs}"
        )
        return self.apply(key, text, *arrays)

    def array(self, x: Value) -> Array:
        """The array of a value; numbers get the relevance's dtype."""
        if type(x) is np.ndarray:
            return x
        if isinstance(x, Products | Constant):
            return x.array
        if isinstance(x, float | int) and not isinstance(x, bool):
            return np.asarray(x, self.dtype)
        return np.asarray(x)

    def same_shape(self, a: Value, b: Value) -> bool:
        return np.array_equal(a, b)

    def shape(self, x: Value) -> Value:
        return np.array(self.array(x).shape, np.int64)

    def apply(self, key: str, text: Callable[..., Value], *args: Value) -> Value:
        feeds: dict[str, Array] = {}
        constants: tuple[str, ...] = ()
        for i, x in enumerate(args):
            if type(x) is np.ndarray:
                feeds[f"x{i}"] = x
            elif type(x) is Constant:
                constants += (x.name,)
        results = self._sessions.run(
            (key, self.dtype.str, constants),
            lambda: write_text(text, args, feeds, self.dtype, self._opsets),
            feeds,
        )
        return tuple(results) if len(results) > 1 else results[0]

    def pointwise(self, key: str, text: Callable[..., Value], *args: Value) -> Value:
        made = self._sessions.loops.run(key, text, args, self)
        return self.apply(key, text, *args) if made is None else made

    def rerun(self, node: Node, inputs: Sequence[Value]) -> tuple[Value, ...]:
        feeds = {f"x{i}": self.array(x) for i, x in enumerate(inputs) if x is not None}
        results = iter(
            self._sessions.run(
                ("rerun", node.name), lambda: write_node(node, feeds, self._opsets), feeds
            )
        )
        return tuple(next(results) if name else None for name in node.outputs)

    @property
    def sample_count(self) -> Value:
        return np.array([self.samples.count], np.int64)

    def total(self, x: Value, sample_axis: int | None) -> Value | None:
        if type(x) is Products:  # which a walk asks once
            return x.total(self.samples, sample_axis, self._sessions.layouts)
        if type(x) is not np.ndarray:
            x = self.array(x)
        axis = None if self._alone else (sample_axis, getattr(sample_axis, "inner", 0))
        known, of, found = self._totals.get(at := id(x), (None, None, None))
        if known is None or known() is not x or of != axis:
            found = self._total(x, sample_axis)
            self._totals[at] = ref(x), axis, found
        return found

    def _total(self, x: Array, sample_axis: int | None) -> Array:
        if not x.size:
            return np.zeros(self.samples.count)
        if self._alone and x.size < 2 * GRAIN:  # as below, of one part
            whole = np.zeros(1)
            laid = x if x.flags.c_contiguous else np.ascontiguousarray(x)
            sharing.total(laid.reshape(1, 1, -1), FIRST, whole)
            return whole
        outer, sample = self.samples.rows(x.shape, sample_axis)
        rows = np.ascontiguousarray(x).reshape(outer, 1, -1)
        units = Units(*rows.shape, rows[:1, :, :1], sample)

        def call(part: Callable[[Any], Any], out: Array) -> None:
            sharing.total(*part((rows, sample)), out)

        return self.samples.spread(self._booked(units, call), x.shape, sample_axis)

    def share(
        self,
        policy: Policy,
        p: Value,
        n: Value | None,
        b: Value | None,
        r: list[Value],
        gate: Gate | None,
        sample_axis: int | None,
    ) -> Shared:
        units = self._units(p.shape, b, sample_axis)
        masses = [None if x is None else units.lay(x, self.dtype) for x in (p, n)]
        rs = tuple([units.lay(x, self.dtype) for x in r])
        a_p = tuple([units.empty(self.dtype) for _ in r])
        a_n = None if n is None else tuple([units.empty(self.dtype) for _ in r])
        run = specialise(sharing.share, policy, gate is not None)
        low, high = gate or (-np.inf, np.inf)

        def call(part: Callable[[Any], Any], booked: Array) -> None:
            p, n, bias, *rest = part((*masses, units.bias, rs, units.sample, a_p, a_n))
            run(p, n, bias, rest[0], low, high, *rest[1:], *booked)

        booked = self._booked(units, call, 2, len(r))
        booked = self.samples.spread(booked, p.shape, sample_axis)
        pairs = [
            (a.reshape(p.shape), None if a_n is None else a_n[k].reshape(p.shape))
            for k, a in enumerate(a_p)
        ]
        return Shared(pairs, *map(list, booked))

    def share_terms(
        self,
        policy: Policy,
        terms: Sequence[Term],
        b: Value | None,
        r: list[Value],
        sample_axis: int | None,
    ) -> tuple[list[list[Value]], Shared]:
        shape = r[0].shape
        units = self._units(shape, b, sample_axis)
        xs: Any = tuple(
            units.lay(spread_out(self.array(term.x), shape), self.dtype) for term in terms
        )
        signs = np.array([term.sign for term in terms], self.dtype)
        outs: Any = tuple(tuple(units.empty(self.dtype) for _ in xs) for _ in r)
        if len(xs) != 2:
            xs = np.stack(xs)
            outs = tuple(np.empty_like(xs) for _ in r)
        reading = READINGS.index(policy.reading)
        template = summing.share_pair if len(xs) == 2 else summing.share_terms
        run = specialise(template, policy, reading)
        rs = tuple(units.lay(x, self.dtype) for x in r)

        def call(part: Callable[[Any], Any], booked: Array) -> None:
            x, bias, *rest = part((xs, units.bias, rs, units.sample, outs))
            run(x, signs, bias, *rest, *booked)

        booked = self._booked(units, call, 2, len(r))
        booked = self.samples.spread(booked, shape, sample_axis)
        pieces = [[out[k].reshape(shape) for out in outs] for k in range(len(xs))]
        return pieces, Shared([], *map(list, booked))

    def _booked(self, units: Units, call: Callable[..., None], *kinds: int) -> Array:
        """Call on all parts of the units; the sums of what they book, [*kinds, sample]."""
        parts = units.parts(sharing.BLOCK)
        booked = np.zeros((len(parts), *kinds, self.samples.count))
        if len(parts) == 1:
            call(parts[0], booked[0])
            return np.asarray(booked[0])
        run_all([partial(call, *each) for each in zip(parts, booked, strict=True)])
        return np.asarray(booked.sum(0))

    def _units(self, shape: Sequence[int], b: Value | None, sample_axis: int | None) -> Units:
        bias = None if b is None else self.array(b)
        return self._sessions.layouts.find(shape, bias, self.dtype, self.samples, sample_axis)

    def weigh(self, x: Value, pulled: dict[int, Value], reading: Reading, nonneg: bool) -> Value:
        shape = self.array(x).shape
        split = reading == "split" and not nonneg
        sides = [pulled[1], pulled[-1]] if split else [pulled[1]]
        flat = [
            a.ravel() if a.dtype == self.dtype else a.astype(self.dtype).ravel()
            for a in (x, *sides)
        ]
        how = () if split else (reading == "absolute" and not nonneg,)
        run = sharing.weigh_split if split else sharing.weigh
        parts = cut(flat[0].size, flat[0].size)
        if len(parts) == 1:
            run(*flat, *how)
        else:
            run_all([partial(run, *(a[part] for a in flat), *how) for part in parts])
        return flat[1].reshape(shape)

    def walk_cell(
        self, key: str, steps: Callable[..., Any], groups: Sequence[Sequence[Value]]
    ) -> tuple[Value, ...]:
        assert isinstance(steps, CellSteps)
        if cell_loops.fits(steps, groups):
            return cell_loops.run_loop(self, steps, groups)
        return super().walk_cell(key, steps, groups)

    def recur(self, f: Value, a: Value, start: Value | None) -> Value:
        out = np.empty_like(a)
        out[0] = 0 if start is None else self.array(start)
        recur(np.ascontiguousarray(f), np.ascontiguousarray(a), out)
        return out

    def turn(self, x: Value, lengths: Value | None) -> Value:
        return self.array(x)[::-1] if lengths is None else super().turn(x, lengths)

    def place(self, x: Value, shape: Value, first: Value, axes: Value) -> Value:
        out = np.zeros(tuple(shape), self.dtype)
        where = [slice(None)] * out.ndim
        for axis, begin in zip(self.array(axes).tolist(), self.array(first).tolist(), strict=True):
            where[axis] = slice(begin, begin + x.shape[axis])
        out[tuple(where)] = x
        return out

    def ones(self, shape: Value) -> Value:
        return np.broadcast_to(np.ones((), self.dtype), tuple(shape))

    def ids(self, shape: Value, start: Value) -> Value:
        size = int(np.prod(shape))
        return np.arange(int(start), int(start) + size).reshape(tuple(shape))

    def scatter_add(
        self, r: Value, index: Value, size: Value, sample_axis: int | None
    ) -> tuple[Value, Value | None]:
        out = np.zeros(int(size), self.dtype)
        lost = np.zeros(self.samples.count)
        outer, sample = self.samples.rows(r.shape, sample_axis)
        if r.size:
            rows = np.ascontiguousarray(r, self.dtype).reshape(outer, -1)
            scatter.scatter_add(
                rows, np.ascontiguousarray(index).reshape(outer, -1), sample, out, lost
            )
        return out, self.samples.spread(lost, r.shape, sample_axis)
