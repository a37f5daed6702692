"""Where the values of tensors come from: the forward run, constants, what is computed of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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

    def squares(self, name: str) -> Value | None:
        """`Ops.squares` of a tensor, where `value` has only some rows of it."""

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


class SpannedValues:
    """Values at a place of a line, where slopes are taken, with those at the ends of a part of it.

    Attributes:
        after, before: values at the ends; without the latter nothing is subtracted.
        changes: by tensor what it is weighed by, where that is known without rounding.
    """

    def __init__(
        self,
        values: Any,
        after: Any,
        before: Any | None,
        changes: Mapping[str, Value] | None = None,
    ) -> None:
        self._values, self.after, self.before = values, after, before
        self.changes = changes or {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._values, name)

    def release(self, names: Any) -> None:
        """Forget what no earlier node reads."""
        for own in (self._values, self.after, self.before):
            if own is not None:
                own.release(names)


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
    if not method.differs and name not in plan.infinite:
        return read_tensor(name, plan, ops, values)
    return weigh(name, plan, ops, values, method, partial(read_tensor, name, plan, ops))


def weigh(
    name: str, plan: Plan, ops: Ops, values: Any, method: Method, read: Callable[[Any], Value]
) -> Value:
    """The same of a number that is read of the tensor; 0 where it is infinite, as masks are."""
    if method.spans and name in (spanned := cast(SpannedValues, values)).changes:
        return spanned.changes[name]
    after = read(spanned.after if method.spans else values)
    compared = before(values) if method.differs else None
    number = after if compared is None else ops.Sub(after, read(compared))
    if name not in plan.infinite:
        return number
    return ops.Where(ops.IsInf(after), ops.zero(), number)
