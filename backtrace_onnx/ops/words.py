"""The words of ONNX: every operator as a call, `e.Conv(x, w, pads=[1, 1, 1, 1])`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import CompileError
from backtrace_onnx.ops.policy import SMALLEST_MASS

if TYPE_CHECKING:
    from backtrace_onnx.graph.graph import Node

_STEEP = 3e38  # times the smallest number that is no fraction it is more than 1

Value: TypeAlias = Any
"""An array (eager), a `Constant`, or a `Symbol` (emit)."""


class Constant(NamedTuple):
    """A model constant: its array, under the name that identifies it."""

    name: str
    array: npt.NDArray[Any]


class Words:
    """Every ONNX operator as a method, and what is known of the values that are worked on.

    Subclasses define `op`, `apply`, `total` and `shape`.

    Attributes:
        dtype: that of relevance.
        keeps_ledger: whether totals are wanted.
    """

    dtype: np.dtype[Any]
    keeps_ledger: bool

    def op(
        self,
        op_type: str,
        inputs: Sequence[Value],
        attributes: dict[str, Any] | None = None,
        outputs: int = 1,
        domain: str = "",
    ) -> Value:
        """One ONNX operator; a tuple if `outputs` > 1."""
        raise NotImplementedError

    def __getattr__(self, op_type: str) -> Callable[..., Value]:
        if not op_type[:1].isupper():
            raise AttributeError(op_type)

        def call(self: Words, *inputs: Value, outputs: int = 1, **attributes: Any) -> Value:
            return self.op(op_type, inputs, attributes, outputs)

        setattr(Words, op_type, call)  # not to be made again
        found: Callable[..., Value] = getattr(self, op_type)
        return found

    def apply(self, key: str, text: Callable[..., Value], *args: Value) -> Value:
        """`text(ops, *args)`: a piece of ONNX text with tensor arguments, known by `key`.

        The eager backend makes one onnxruntime session of it and keeps that under `key`, so the
        text may depend on nothing but its arguments and what `key` names.
        """
        raise NotImplementedError

    def pointwise(self, key: str, text: Callable[..., Value], *args: Value) -> Value:
        """`apply` of a text that is one function of the entries at every place.

        The arguments are tensors of one shape.
        """
        return self.apply(key, text, *args)

    def scan(
        self,
        text: Callable[..., Any],
        carried: Sequence[Value],
        stacked: Sequence[Value],
        *,
        back: bool = False,
    ) -> tuple[list[Value], list[Value]]:
        """`text(ops, carried, *rows) -> (carried, outputs)` for every row of what is stacked.

        From the last row to the first if `back`. Returns what is carried in the end, and the
        outputs stacked in the order of the rows. To be asked for inside of `apply`.
        """
        raise NotImplementedError

    def rerun(self, node: Node, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """Outputs of the node itself, run on other inputs; None for outputs without a name."""
        raise NotImplementedError

    def scope(self, name: str) -> AbstractContextManager[None]:
        """What is computed or written meanwhile belongs to the node `name`."""
        return nullcontext()

    def require(self, opset: int, what: str) -> None:
        """State that what follows takes operators of this opset.

        Raises CompileError, naming `what`, where the graph that is written has an older one.
        """

    def same_shape(self, a: Value, b: Value) -> bool:
        """Whether two shapes are equal, if that can be told now."""
        raise self.only_eager("passing relevance through unsupported operators")

    def shape(self, x: Value) -> Value:
        """Shape of a tensor, int64[rank]."""
        return self.Shape(x)

    def ratio(self, y: Value, x: Value) -> Value:
        """y / x, and 0 where x is 0: a slope that nothing would be sent by."""
        none = self.Less(self.Abs(x), np.asarray(SMALLEST_MASS, self.dtype))
        zero, one = (np.asarray(number, self.dtype) for number in (0, 1))
        return self.Where(none, zero, self.Div(y, self.Where(none, one, x)))

    def positive(self, x: Value) -> Value:
        """1 where x, which has no negative entry, is no 0, and 0 where it is one.

        One that onnxruntime keeps in the layout of its convolutions; below 3e-39 it is a fraction.
        """
        if np.dtype(self.dtype) == np.float32:
            return self.HardSigmoid(x, alpha=_STEEP, beta=0.0)
        return self.Cast(self.Greater(x, self.zero()), to=self.float_type)

    def total(self, x: Value, sample_axis: int | None) -> Value | None:
        """Sum of `x` per sample, float64[samples]; None where no ledger is kept."""
        raise NotImplementedError

    def worth(self, x: Value, m: Value, before: Value | None = None) -> Value:
        """x m, or (x - before) m: the relevance of a tensor with slopes m, of which the total is
        asked mostly."""
        return self.Mul(x if before is None else self.Sub(x, before), m)

    def turned(self, x: Value, rank: int) -> Value:
        """x with its last two axes swapped."""
        return self.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])

    def turned_product(self, a: Value, b: Value, rank: int) -> Value:
        """a^T b, where both have as many axes."""
        return self.MatMul(self.turned(a, rank), b)

    def row_sums(self, m: Value, y: Value, over: Value) -> Value:
        """Sums of m y over axes, which stay."""
        return self.ReduceSum(self.Mul(m, y), over, keepdims=1)

    def times_ratio(
        self, key: str, text: Callable[..., Value], x: Value, m: Value, of: Callable[[], Value]
    ) -> Value:
        """`text(ops, x, m)`: slopes m times f(x) / x, which is not negative; `of` returns f(x)."""
        return self.pointwise(key, text, x, m)

    def switch(self, y: Value, m: Value, *, bounded: bool, of: Callable[[], Value]) -> Value:
        """Slopes m where y = max(0, x) is no 0, and 0 where it is one; `of` returns x.

        An infinite slope ends there, too; `bounded`: there is none.
        """
        if bounded:
            return self.Mul(m, self.positive(y))
        return self.Where(self.Greater(y, self.zero()), m, self.zero())

    @property
    def sample_count(self) -> Value:
        """How many samples there are, int64[1]."""
        raise NotImplementedError

    @property
    def float_type(self) -> int:
        """TensorProto element type that relevance is computed in."""
        from onnx.helper import np_dtype_to_tensor_dtype

        return int(np_dtype_to_tensor_dtype(np.dtype(self.dtype)))

    def scalar(self, value: float) -> npt.NDArray[Any]:
        """A rank-0 constant of the relevance's dtype."""
        return np.asarray(value, self.dtype)

    def zero(self) -> npt.NDArray[Any]:
        """0 of the relevance's dtype."""
        return self.scalar(0)

    def only_eager(self, what: str) -> CompileError:
        """The error of a pass that has no ONNX text."""
        return CompileError(f"{what} cannot be written as standard ONNX nodes; use explain instead")


def ints(*values: int) -> npt.NDArray[np.int64]:
    """A constant int64 vector."""
    return np.array(values, np.int64)
