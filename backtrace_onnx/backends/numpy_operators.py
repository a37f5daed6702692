"""ONNX operators that NumPy computes as fast as a session would start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from backtrace_onnx.ops.vocabulary import Ops, Value

Array = npt.NDArray[Any]


def _reshape(x: Array, shape: Array, allowzero: int = 0) -> Array:
    sizes = [
        x.shape[i] if n == 0 and not allowzero else int(n) for i, n in enumerate(np.ravel(shape))
    ]
    return x.reshape(sizes)


DIRECT: dict[str, Callable[..., Any]] = {
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


class ArrayWords(Ops):
    """Words of arrays that NumPy computes with no detour."""

    def array(self, x: Value) -> Array:
        """The array of a value."""
        raise NotImplementedError

    def Add(self, a: Value, b: Value) -> Value:
        """a + b."""
        if type(a) is not np.ndarray or type(b) is not np.ndarray:
            return self.op("Add", (a, b))
        return np.asarray(a + b)

    def Sub(self, a: Value, b: Value) -> Value:
        """a - b."""
        if type(a) is not np.ndarray or type(b) is not np.ndarray:
            return self.op("Sub", (a, b))
        return np.asarray(a - b)

    def Mul(self, a: Value, b: Value) -> Value:
        """a b."""
        if type(a) is not np.ndarray or type(b) is not np.ndarray:
            return self.op("Mul", (a, b))
        return np.asarray(a * b)

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
