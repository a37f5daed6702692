"""The backend that computes: NumPy for views, Numba for fused passes, onnxruntime for products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, ValueInfoProto, helper

from backtrace_onnx.backends.base import Constant, Gate, Ops, Shared, Term, Value
from backtrace_onnx.backends.emit import EmitOps, Symbol
from backtrace_onnx.sessions import IR_VERSION, PROVIDERS, initializer, make_session, stays_inline

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from backtrace_onnx.graph import Node
    from backtrace_onnx.policies import Policy, Reading
    from backtrace_onnx.rules.window import Window

Array = npt.NDArray[Any]
TEXT_OPSET = 20


class Samples:
    """How many samples there are; finds the sample of every row of a tensor."""

    def __init__(self, count: int) -> None:
        self.count = count

    def rows(self, shape: Sequence[int], axis: int | None) -> tuple[int, npt.NDArray[np.int64]]:
        """(outer, sample[outer]): rows of a tensor flattened to [outer, inner] by sample.

        `axis` is the sample axis, a `SampleAxis` where samples are merged with something else.
        """
        inner = getattr(axis, "inner", 0)
        if self.count == 1 or axis is None or axis >= len(shape):
            return 1, np.zeros(1, np.int64)
        if shape[axis] % (self.count * max(inner, 1)):
            return 1, np.zeros(1, np.int64)
        before = int(np.prod(shape[:axis], dtype=np.int64))
        of_axis = np.arange(shape[axis]) // (inner or shape[axis] // self.count or 1) % self.count
        return before * shape[axis], np.tile(of_axis, before)


class Sessions:
    """Small onnxruntime sessions, one for each piece of text; equal texts share one."""

    def __init__(self, providers: Sequence[str] = PROVIDERS) -> None:
        self._providers = providers
        self._by_key: dict[tuple[Any, ...], InferenceSession] = {}
        self._by_text: dict[tuple[bytes, tuple[int, ...]], InferenceSession] = {}
        self._weights: list[dict[str, Array]] = []  # keeps the ids of `_by_text` alive

    def run(
        self,
        key: tuple[Any, ...],
        write: Callable[[], tuple[ModelProto, dict[str, Array]]],
        feeds: dict[str, Array],
    ) -> list[Array]:
        """Outputs of the session known by `key`; `write()` makes its model and weights if new."""
        session = self._by_key.get(key)
        if session is None:
            model, weights = write()
            text = (model.SerializeToString(), tuple(id(w) for w in weights.values()))
            if text not in self._by_text:
                self._by_text[text] = make_session(model, weights, providers=self._providers)
                self._weights.append(weights)
            session = self._by_key[key] = self._by_text[text]
        outputs: list[Array] = session.run(None, feeds)
        return outputs


class EagerOps(Ops):
    """Computes at once. Values are arrays or `Constant`s."""

    def __init__(
        self, dtype: npt.DTypeLike, samples: Samples, sessions: Sessions, opsets: dict[str, int]
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.samples, self._sessions, self._opsets = samples, sessions, opsets

    @property
    def keeps_ledger(self) -> bool:
        return True

    def op(
        self,
        op_type: str,
        inputs: Sequence[Value],
        attributes: dict[str, Any] | None = None,
        outputs: int = 1,
        domain: str = "",
    ) -> Value:
        arrays = [None if x is None else self.array(x) for x in inputs]
        attributes = attributes or {}
        direct = _DIRECT.get(op_type)
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
        if isinstance(x, Constant):
            return x.array
        if isinstance(x, float | int) and not isinstance(x, bool):
            return np.asarray(x, self.dtype)
        return np.asarray(x)

    def same_shape(self, a: Value, b: Value) -> bool:
        return np.array_equal(a, b)

    def shape(self, x: Value) -> Value:
        return np.array(self.array(x).shape, np.int64)

    def apply(self, key: str, text: Callable[..., Value], *args: Value) -> Value:
        feeds = {f"x{i}": x for i, x in enumerate(args) if isinstance(x, np.ndarray)}
        types = tuple((name, x.dtype.str, x.ndim) for name, x in feeds.items())

        def write() -> tuple[ModelProto, dict[str, Array]]:
            return _write(text, args, self.dtype, TEXT_OPSET)

        results = self._sessions.run((key, types, self.dtype.str), write, feeds)
        return tuple(results) if len(results) > 1 else results[0]

    def rerun(self, node: Node, inputs: Sequence[Value]) -> tuple[Value, ...]:
        arrays = [None if x is None else self.array(x) for x in inputs]
        feeds = {f"x{i}": x for i, x in enumerate(arrays) if x is not None}
        types = tuple((name, x.dtype.str, x.ndim) for name, x in feeds.items())

        def write() -> tuple[ModelProto, dict[str, Array]]:
            names = ["" if x is None else f"x{i}" for i, x in enumerate(arrays)]
            made = [f"y{i}" if name else "" for i, name in enumerate(node.outputs)]
            proto = helper.make_node(
                node.op_type, names, made, domain=node.domain, **node.attributes
            )
            return _model([proto], feeds, [m for m in made if m], {}, self._opsets), {}

        results = iter(self._sessions.run(("rerun", node.name, types), write, feeds))
        return tuple(next(results) if name else None for name in node.outputs)

    def total(self, x: Value, sample_axis: int | None) -> Value | None:
        from backtrace_onnx.kernels.sharing import total

        x = self.array(x)
        outer, sample = self.samples.rows(x.shape, sample_axis)
        out = np.zeros(self.samples.count)
        if x.size:
            total(np.ascontiguousarray(x).reshape(outer, -1), sample, out)
        return self._spread(out, outer)

    def _spread(self, totals: Array, outer: int) -> Array:
        """What belongs to no one sample is booked to all alike."""
        if outer == 1 and self.samples.count > 1:
            totals[..., :] = totals[..., :1] / self.samples.count
        return totals

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
        from backtrace_onnx.kernels import sharing
        from backtrace_onnx.kernels.jit import specialise

        shape = p.shape
        units, bias, sample, spread = self._units(shape, b, sample_axis)

        def lay(x: Value) -> Array:
            return np.ascontiguousarray(x, self.dtype).reshape(units)

        channels = len(r)
        a_p = tuple(np.empty(units, self.dtype) for _ in r)
        a_n = tuple(np.empty(units, self.dtype) for _ in r) if n is not None else None
        booked = np.zeros((2, channels, self.samples.count))
        low, high = (-np.inf, np.inf) if gate is None else gate
        template = sharing.share_one if channels == 1 else sharing.share_two
        masses = lay(p), None if n is None else lay(n)
        rs = tuple(lay(x) for x in r)
        if channels == 1:
            arguments = (rs[0], low, high, sample, a_p[0], None if a_n is None else a_n[0])
        else:
            arguments = (rs, low, high, sample, a_p, a_n)
        specialise(template, policy.coefficients)(*masses, bias, *arguments, booked[0], booked[1])
        if spread:
            booked = self._spread(booked, 1)
        pairs = [
            (a.reshape(shape), None if a_n is None else a_n[k].reshape(shape))
            for k, a in enumerate(a_p)
        ]
        return Shared(pairs, list(booked[0]), list(booked[1]))

    def _units(
        self, shape: Sequence[int], b: Value | None, sample_axis: int | None
    ) -> tuple[tuple[int, int, int], Array | None, npt.NDArray[np.int64], bool]:
        """Layout of the units, their bias, sample of every outer index, whether totals are spread."""
        bias = None if b is None else self.array(b)
        for whole in (False, True):
            outer, middle, inner, laid = _lay_out(shape, bias, self.dtype, whole)
            found = self._outer_samples(shape, sample_axis, outer)
            if found is not None:
                return (outer, middle, inner), laid, *found
        return (outer, middle, inner), laid, np.zeros(outer, np.int64), True

    def _outer_samples(
        self, shape: Sequence[int], axis: int | None, outer: int
    ) -> tuple[npt.NDArray[np.int64], bool] | None:
        """Sample of every outer index; None where the sample axis lies further in."""
        rows, sample = self.samples.rows(shape, axis)
        if rows == 1:
            return np.zeros(outer, np.int64), self.samples.count > 1
        if outer % rows:
            return None
        return np.repeat(sample, outer // rows), False

    def weigh(self, x: Value, pulled: dict[int, Value], reading: Reading, nonneg: bool) -> Value:
        from backtrace_onnx.kernels import sharing

        x = np.ascontiguousarray(self.array(x), self.dtype)
        flat = {sign: np.ascontiguousarray(g, self.dtype).reshape(-1) for sign, g in pulled.items()}
        if nonneg or reading == "signed":
            sharing.weigh_signed(x.reshape(-1), flat[1])
        elif reading == "absolute":
            sharing.weigh_absolute(x.reshape(-1), flat[1])
        else:
            sharing.weigh_split(x.reshape(-1), flat[1], flat[-1])
        return flat[1].reshape(x.shape)

    def share_terms(
        self,
        policy: Policy,
        terms: Sequence[Term],
        b: Value | None,
        r: list[Value],
        sample_axis: int | None,
    ) -> tuple[list[list[Value]], Shared]:
        from backtrace_onnx.kernels import sharing
        from backtrace_onnx.kernels.jit import specialise

        shape = r[0].shape
        units, bias, sample, spread = self._units(shape, b, sample_axis)

        def lay(x: Value) -> Array:
            full = x if x.shape == shape else np.broadcast_to(x, shape)
            flat = np.ascontiguousarray(full, self.dtype).reshape(units)
            return flat if flat.flags.writeable else flat.copy()  # one type for the kernel

        xs = tuple(lay(self.array(term.x)) for term in terms)
        signs = np.array([term.sign for term in terms], self.dtype)
        outs = [tuple(np.empty(units, self.dtype) for _ in xs) for _ in r]
        booked = np.zeros((2, len(r), self.samples.count))
        reading = ("absolute", "signed", "split").index(policy.reading)
        template = sharing.share_terms_one if len(r) == 1 else sharing.share_terms_two
        run = specialise(template, policy.coefficients)
        channels = tuple(lay(x) for x in r)
        if len(r) == 1:
            run(xs, signs, reading, bias, channels[0], sample, outs[0], booked[0], booked[1])
        else:
            run(xs, signs, reading, bias, channels, sample, *outs, booked[0], booked[1])
        if spread:
            booked = self._spread(booked, 1)
        pieces = [[out[k].reshape(shape) for out in outs] for k in range(len(xs))]
        return pieces, Shared([], list(booked[0]), list(booked[1]))

    def unbroadcast(self, r: Value, shape: Value) -> Value:
        shape = tuple(int(n) for n in shape)
        if r.shape == shape:
            return r
        aligned = (1,) * (r.ndim - len(shape)) + shape
        axes = tuple(i for i, (a, b) in enumerate(zip(aligned, r.shape, strict=True)) if a != b)
        return r.sum(axis=axes, keepdims=True).reshape(shape)

    def split(self, x: Value, sizes: Sequence[Value], axis: int) -> tuple[Value, ...]:
        ends = np.cumsum([int(size[0]) for size in sizes])
        return tuple(np.split(self.array(x), ends[:-1], axis))

    def place(self, x: Value, shape: Value, first: Value, axes: Value) -> Value:
        out = np.zeros(tuple(shape), self.dtype)
        where = [slice(None)] * out.ndim
        for axis, begin in zip(self.array(axes).tolist(), self.array(first).tolist(), strict=True):
            where[axis] = slice(begin, begin + x.shape[axis])
        out[tuple(where)] = x
        return out

    def ids(self, shape: Value, start: Value) -> Value:
        size = int(np.prod(shape))
        return np.arange(int(start), int(start) + size).reshape(tuple(shape))

    def scatter_add(
        self, r: Value, index: Value, size: Value, sample_axis: int | None
    ) -> tuple[Value, Value | None]:
        from backtrace_onnx.kernels.moving import scatter_add

        out = np.zeros(int(size), self.dtype)
        lost = np.zeros(self.samples.count)
        outer, sample = self.samples.rows(r.shape, sample_axis)
        if r.size:
            rows = np.ascontiguousarray(r, self.dtype).reshape(outer, -1)
            scatter_add(rows, np.ascontiguousarray(index).reshape(outer, -1), sample, out, lost)
        return out, self._spread(lost, outer)

    def split_ties(self, x: Value, best: Value, r: Value, axes: Sequence[int] | None) -> Value:
        from backtrace_onnx.kernels.moving import split_ties

        x, best, r = self.array(x), self.array(best), self.array(r)
        over = tuple(range(x.ndim)) if axes is None else tuple(a % x.ndim for a in axes)
        rest = tuple(a for a in range(x.ndim) if a not in over)
        order = rest + over
        moved = np.ascontiguousarray(x.transpose(order))
        outer = int(np.prod([x.shape[a] for a in rest], dtype=np.int64))
        if not x.size:
            return np.zeros(x.shape, self.dtype)
        out = np.empty((outer, moved.size // outer, 1), self.dtype)
        split_ties(
            moved.reshape(out.shape),
            np.ascontiguousarray(best).reshape(outer, 1),
            np.ascontiguousarray(r, self.dtype).reshape(outer, 1),
            out,
        )
        return np.ascontiguousarray(out.reshape(moved.shape).transpose(np.argsort(order)))

    def split_windows(self, x: Value, best: Value, r: Value, window: Window) -> Value:
        from backtrace_onnx.kernels.moving import split_windows

        x = self.array(x)
        lead = 3 - window.rank

        def lay(a: Array) -> Array:
            sizes = (a.shape[0] * a.shape[1], *(1,) * lead, *a.shape[2:])
            return np.ascontiguousarray(a).reshape(sizes)

        def triple(values: Sequence[int], fill: int) -> npt.NDArray[np.int64]:
            return np.array([*(fill,) * lead, *values], np.int64)

        out = np.zeros(x.shape, self.dtype)
        split_windows(
            lay(x),
            lay(self.array(best)),
            lay(r.astype(self.dtype, copy=False)),
            triple(window.kernel, 1),
            triple(window.strides, 1),
            triple(window.dilations, 1),
            triple(self.array(window.first(self, self.shape(x))), 0),
            lay(out),
        )
        return out


def _lay_out(
    shape: Sequence[int], b: Array | None, dtype: npt.DTypeLike, whole: bool = False
) -> tuple[int, int, int, Array | None]:
    """(outer, middle, inner, bias[middle, 1] or [1, inner]): the bias is equal for all outer.

    `whole` makes every unit an outer index of its own... unless a bias varies: then one outer
    spans the axes from the first along which it does.
    """
    size = int(np.prod(shape, dtype=np.int64))
    full = () if b is None else (1,) * (len(shape) - b.ndim) + b.shape
    varying = [i for i, n in enumerate(full) if n > 1]
    if whole and not varying:
        bias = None if b is None else np.full((1, 1), b.reshape(-1)[0], dtype)
        return size, 1, 1, bias
    first = varying[0] if varying else min(1, len(shape))
    last = varying[-1] + 1 if varying else first
    outer = int(np.prod(shape[:first], dtype=np.int64))
    inner = int(np.prod(shape[last:], dtype=np.int64))
    if b is None:
        return outer, 1, inner, None
    span = np.broadcast_to(b.reshape(full[first:last]), shape[first:last])
    bias = np.ascontiguousarray(span, dtype).reshape(-1)
    if inner == 1:
        return outer, 1, bias.size, bias.reshape(1, -1)
    return outer, bias.size, inner, bias.reshape(-1, 1)


def _write(
    text: Callable[..., Value], args: Sequence[Value], dtype: npt.DTypeLike, opset: int
) -> tuple[ModelProto, dict[str, Array]]:
    e = EmitOps(dtype, prefix="text")
    symbols = [Symbol(e, f"x{i}") if isinstance(x, np.ndarray) else x for i, x in enumerate(args)]
    made = text(e, *symbols)
    results = list(made) if isinstance(made, tuple) else [made]
    outputs = [e.output(x, f"y{i}") for i, x in enumerate(results)]
    feeds = {f"x{i}": x for i, x in enumerate(args) if isinstance(x, np.ndarray)}
    weights = {k: v for k, v in e.constants.items() if not stays_inline(v)}
    model = _model(e.nodes, feeds, outputs, e.constants, {"": opset})
    return model, weights


def _model(
    nodes: Sequence[Any],
    feeds: dict[str, Array],
    outputs: Sequence[str],
    constants: dict[str, Array],
    opsets: dict[str, int],
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "text",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(x.dtype), [None] * x.ndim
            )
            for name, x in feeds.items()
        ],
        [ValueInfoProto(name=name) for name in outputs],
        [initializer(name, array) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)


def _reshape(x: Array, shape: Array, allowzero: int = 0) -> Array:
    sizes = [
        x.shape[i] if n == 0 and not allowzero else int(n) for i, n in enumerate(np.ravel(shape))
    ]
    return x.reshape(sizes)


_DIRECT: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Add": np.add,
    "Cast": lambda x, to: x.astype(helper.tensor_dtype_to_np_dtype(to)),
    "Concat": lambda *xs, axis: np.concatenate(xs, axis),
    "Div": lambda a, b: np.divide(a, b) if a.dtype.kind == "f" else a // b,
    "Equal": np.equal,
    "Gather": lambda x, i, axis=0: np.take(x, i, axis),
    "Identity": lambda x: x,
    "Less": np.less,
    "Max": lambda *xs: reduce(np.maximum, xs),
    "Min": lambda *xs: reduce(np.minimum, xs),
    "Mul": np.multiply,
    "Neg": np.negative,
    "ReduceProd": lambda x, keepdims=1: np.prod(x, dtype=x.dtype, keepdims=bool(keepdims)),
    "Relu": lambda x: np.maximum(x, np.zeros((), x.dtype)),
    "Reshape": _reshape,
    "Sub": np.subtract,
    "Transpose": lambda x, perm=None: np.transpose(x, perm),
    "Where": lambda c, a, b: np.where(c, a, b),
}
