"""Writing operations as plain ONNX nodes: all but loops, which `emit` adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from backtrace_onnx.backends.older_nodes import is_older, modern
from backtrace_onnx.backends.slope_writer import SlopeWriter
from backtrace_onnx.backends.symbols import Sign, Symbol, is_zero
from backtrace_onnx.backends.written_nodes import WrittenNodes
from backtrace_onnx.errors import CompileError
from backtrace_onnx.model.fresh_names import fresh_name
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.policy import SMALLEST_MASS
from backtrace_onnx.ops.policy_scalars import Scalar, number
from backtrace_onnx.ops.vocabulary import Constant, Shared, Value, ints

if TYPE_CHECKING:
    from backtrace_onnx.graph.graph import Node
    from backtrace_onnx.ops.policy import Policy


NEWEST_OPSET = 20
"""Greatest version of ai.onnx whose words are used."""


def _bias_sign(b: Value) -> Sign:
    array = b.array if isinstance(b, Constant) else b
    if not isinstance(array, np.ndarray):
        return Sign.ANY
    return Sign.NONZERO if bool((abs(array) >= SMALLEST_MASS).all()) else Sign.ANY


def _coefficients(policy: Policy, *masses: Value) -> tuple[tuple[Value, ...], ...]:
    """What a policy's function makes of masses, bias and relevance: (aP, aN, to_bias) each."""
    given = (Scalar(x) if isinstance(x, Symbol) else x for x in masses)
    return tuple(tuple(map(number, made)) for made in policy.coefficients(*given))


class NodeWriter(SlopeWriter):
    """Collects nodes and constants. Equal nodes are written once.

    Args:
        dtype: NumPy dtype relevance is computed in.
        prefix: first part of every node and tensor name written here.
        known: constants the graph has already, by name.
        ledger: whether totals are written as well.
        opset: version of ai.onnx of the graph written to.
        blocks: whether `in_blocks` is worth a node, as it is in files.
        written: the nodes of the model that is written behind.

    Attributes:
        like: by tensor written a tensor of the model that has its shape, and its own element type.
    """

    def __init__(
        self,
        dtype: npt.DTypeLike,
        *,
        prefix: str = "relevance",
        known: frozenset[str] = frozenset(),
        ledger: bool = False,
        reserved: frozenset[str] = frozenset(),
        opset: int = NEWEST_OPSET,
        blocks: bool = False,
        written: WrittenNodes | None = None,
    ) -> None:
        super().__init__(blocks=blocks, known=written)
        self.opset, self.dtype = opset, np.dtype(dtype)
        self.nodes, self.constants = [], {}
        self.scopes = [prefix]
        self.like: dict[str, tuple[str, int]] = {}
        self._known = known
        self.keeps_ledger = ledger
        self.samples: Value | None = None
        self._names: set[str] = set(reserved)
        self._written: dict[tuple[Any, ...], Value] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Name what is written meanwhile `prefix/name/...`."""
        self.scopes.append(name)
        try:
            yield
        finally:
            self.scopes.pop()

    def op(
        self,
        op_type: str,
        inputs: Sequence[Value],
        attributes: dict[str, Any] | None = None,
        outputs: int = 1,
        domain: str = "",
    ) -> Value:
        names = tuple("" if x is None else self.symbol(x).name for x in inputs)
        attributes = {k: v for k, v in (attributes or {}).items() if v is not None}
        key = (domain, op_type, names, outputs, repr(sorted(attributes.items())))
        if key not in self._written:
            self._written[key] = self._append(op_type, names, attributes, outputs, domain)
        return self._written[key]

    def _append(
        self,
        op_type: str,
        names: Sequence[str],
        attributes: dict[str, Any],
        outputs: int,
        domain: str,
    ) -> Value:
        label = self.fresh(op_type)
        made = [label if i == 0 else f"{label}:{i}" for i in range(outputs)]
        node = helper.make_node(op_type, names, made, name=label, domain=domain, **attributes)
        self.nodes.append(node)
        symbols = tuple(Symbol(self, name) for name in made)
        return symbols if outputs > 1 else symbols[0]

    def forget(self) -> None:
        """Forget what was written so far: equal nodes are written again from here on."""
        self._written.clear()

    def output(self, x: Value, name: str) -> str:
        """Give a value a name of its own; returns it."""
        self._names.add(name)
        self.nodes.append(helper.make_node("Identity", [self.symbol(x).name], [name], name=name))
        return name

    def fresh(self, last: str) -> str:
        """A name nobody has: scopes joined by `/`, `last`, and a number where needed."""
        return fresh_name("/".join([*self.scopes, last]), self._names)

    def symbol(self, x: Value) -> Symbol:
        """The tensor for a value: symbols as they are; arrays and numbers become constants."""
        if isinstance(x, Symbol):
            return x
        if isinstance(x, Constant):
            if x.name not in self._known and x.name not in self.constants:
                self.constants[x.name] = x.array
            return Symbol(self, x.name)
        if isinstance(x, bool):
            return self._small(np.asarray(x))
        if isinstance(x, float | int):
            return self._small(np.asarray(x, self.dtype))
        return self._small(np.asarray(x))

    def _small(self, array: npt.NDArray[Any]) -> Symbol:
        key = ("constant", array.dtype.str, array.shape, array.tobytes())
        if key not in self._written:
            name = self.fresh("constant")
            self.constants[name] = array
            self._written[key] = Symbol(self, name)
        found: Symbol = self._written[key]
        return found

    def require(self, opset: int, what: str) -> None:
        if self.opset < opset:
            raise CompileError(
                f"node {self.scopes[-1]!r}: {what} takes opset {opset}, the model has "
                f"{self.opset}; onnx.version_converter.convert_version(model, {opset}) changes that"
            )

    def only_eager(self, what: str) -> CompileError:
        return super().only_eager(f"node {self.scopes[-1]!r}: {what}")

    def apply(self, key: str, text: Callable[..., Value], *args: Value) -> Value:
        return text(self, *args)

    def rerun(self, node: Node, inputs: Sequence[Value]) -> tuple[Value, ...]:
        if is_older(node, self.opset):
            return self._modern(node, inputs)
        made = self.op(
            node.op_type, inputs, dict(node.attributes), max(len(node.outputs), 1), node.domain
        )
        return made if isinstance(made, tuple) else (made,)

    def _modern(self, node: Node, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """The outputs of a node of an older operator set than the one that is written in."""
        written, values = modern(node, self.opset)
        values |= {f"x{i}": x for i, x in enumerate(inputs)}
        for op_type, given, attributes, outputs in written:
            read = [values[name] if name else None for name in given]
            made = self.op(op_type, read, dict(attributes), len(outputs))
            values.update(zip(outputs, made if isinstance(made, tuple) else (made,), strict=True))
        return tuple(values.get(f"y{i}") for i in range(len(node.outputs)))

    @property
    def sample_count(self) -> Value:
        if self.samples is None or isinstance(self.samples, np.ndarray):
            return ints(1 if self.samples is None else int(self.samples))
        return self.Reshape(self.samples, ints(1))

    def total(self, x: Value, sample_axis: int | None) -> Value | None:
        if not self.keeps_ledger:
            return None
        wide = self.Cast(x, to=11)
        if sample_axis is None or self.samples is None:
            return self.ReduceSum(wide, keepdims=0)
        if sample_axis:
            wide = self.ReduceSum(wide, np.arange(sample_axis), keepdims=0)
        along = self.ReduceSum(self.Flatten(wide, axis=1), ints(1), keepdims=0)
        if getattr(sample_axis, "alone", False):
            return along
        return self._by_sample(along, getattr(sample_axis, "inner", 0))

    def _by_sample(self, along: Value, inner: int) -> Value:
        """Totals along an axis in which samples are merged (`graph.SampleAxis`), by sample.

        What does not divide into samples is spread evenly.
        """
        size, count, one = self.Squeeze(self.Shape(along)), self.samples, np.int64(1)
        places = self.Range(np.int64(0), size, one)
        if inner:
            sample = self.Mod(self.Div(places, np.int64(inner)), count)
        else:
            sample = self.Div(self.Mul(places, count), self.Max(size, one))
        own = self.Equal(self.Unsqueeze(self.Range(np.int64(0), count, one), ints(1)), sample)
        divides = self.Equal(self.Mod(size, self.Mul(count, np.int64(max(inner, 1)))), np.int64(0))
        even = self.Reciprocal(self.Cast(count, to=11))
        return self.MatMul(self.Where(divides, self.Cast(own, to=11), even), along)

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
        p_sign = Sign.ANY if policy.reading == "signed" and n is None else Sign.MAGNITUDE
        p, r = Symbol(self, self.symbol(p).name, p_sign), [self.symbol(x) for x in r]
        negative = 0.0 if n is None else Symbol(self, self.symbol(n).name, Sign.MAGNITUDE)
        bias = 0.0 if b is None else Symbol(self, self.symbol(b).name, _bias_sign(b))
        low = high = None
        if gate is not None:
            t = p - negative + bias
            low, high = t < gate[0], t > gate[1]
            p, negative = low.where(0.0, p), high.where(0.0, negative)
        result = _coefficients(policy, p, negative, bias, *r)
        coefficients = [
            (
                self._per_unit(a if low is None else low.where(0.0, a), p),
                None if n is None else self._per_unit(z if high is None else high.where(0.0, z), p),
            )
            for a, z, _ in result
        ]
        if not self.keeps_ledger:
            return Shared(coefficients, [None] * len(r), [None] * len(r))
        to_bias = [
            # 0 * r + z: a share of every unit, also where the policy gave one number for all
            None if is_zero(z) else self.total(self.Mul(x, self.scalar(0)) + z, sample_axis)
            for x, (_, _, z) in zip(r, result, strict=True)
        ]
        unassigned = [
            self.total(x - self._spent(p, a) - self._spent(negative, c) - z, sample_axis)
            for x, (a, c), (_, _, z) in zip(r, coefficients, result, strict=True)
        ]
        return Shared(coefficients, to_bias, unassigned)

    def _spent(self, mass: Value, coefficient: Value | None) -> Value:
        """What a unit's mass is sent: coefficient * mass, and nothing where that is infinite."""
        if coefficient is None or not isinstance(mass, Symbol):
            return 0.0
        return self.Where(self.IsInf(mass), self.zero(), coefficient * mass)

    def _per_unit(self, coefficient: Value, p: Value) -> Value:
        """A policy's coefficient for every unit, where it gave one number for them all."""
        if isinstance(coefficient, Symbol):
            return coefficient
        return self.Expand(self.scalar(coefficient), self.Shape(p))
