"""Where the values of tensors come from: the forward run, constants, what is computed of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np

from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value
from backtrace_onnx.propagation.plan import Plan


class Values(Protocol):
    """Where the values of the forward run are."""

    def value(self, name: str) -> Value:
        """A tensor's value; floats in the dtype of the relevance."""

    def exact(self, name: str) -> Value:
        """A tensor's value in its own dtype."""

    def shape(self, name: str) -> Value:
        """A tensor's shape, int64[rank]."""

    def release(self, names: Sequence[str]) -> None:
        """Forget these tensors: no node that is still to come reads them."""


class PairedValues:
    """Values of a run, and `before` those of the reference's, released together."""

    def __init__(self, values: Any, before: Any) -> None:
        self._values, self.before = values, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._values, name)

    def release(self, names: Any) -> None:
        """Forget what no earlier node reads."""
        self._values.release(names)
        self.before.release(names)


def before(values: Any) -> Any:
    """Values of the run of the reference."""
    return cast(PairedValues, values).before


def read_tensor(name: str, plan: Plan, ops: Ops, values: Values) -> Value:
    """A tensor's value: a constant, one that is computed of others, or one of the run."""
    graph = plan.graph
    if name in graph.constants:
        array = graph.constants[name]
        wide = array.astype(ops.dtype, copy=False) if array.dtype.kind in "fV" else array
        # Another name: a compiled file holds the constant in its own dtype as well.
        return Constant(name, wide) if wide is array else Constant(f"{name}@wide", wide)
    if name in graph.computed:
        made = graph.computed[name]
        return ops.op(made.op_type, [read_tensor(x, plan, ops, values) for x in made.inputs])
    x = values.value(name)
    if name not in plan.undefined:
        return x
    return ops.Where(ops.Less(ops.Abs(x), ops.scalar(np.inf)), x, ops.zero())


def read_weighed(name: str, plan: Plan, ops: Ops, values: Values, method: Method) -> Value:
    """What a tensor contributes by: its value, or its difference to that for the reference."""
    value = read_tensor(name, plan, ops, values)
    if not method.compares:
        return value
    return ops.Sub(value, read_tensor(name, plan, ops, before(values)))
