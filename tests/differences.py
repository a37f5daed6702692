"""Slopes by central differences: an oracle that knows nothing of any operator.

A model is made double precision, where onnxruntime has such kernels, and run with its input moved
a little to and fro: entry by entry, and along one random direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper
from onnx.helper import tensor_dtype_to_np_dtype

from tests.cases import session

Array = npt.NDArray[Any]
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
DTYPES = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(float16)": np.float16}
MOST = 8  # entries of one input that are moved alone
STEPS = {np.dtype(np.float64): 1e-4, np.dtype(np.float32): 2e-2}
BENDS = {np.dtype(np.float64): 1e-4, np.dtype(np.float32): 1e-2}


class Measured(NamedTuple):
    """Slopes along directions [directions, entries] in which the function is smooth."""

    directions: Array
    slopes: Array


class Function:
    """sum(start * output) of a model, in the widest type that onnxruntime runs it in.

    Raises NotImplementedError where it runs it in none.
    """

    def __init__(
        self, proto: onnx.ModelProto, feeds: Mapping[str, Any], start: Mapping[str, Array]
    ) -> None:
        self._start = start
        for made, dtype in ((widened(proto), np.float64), (proto, np.float32)):
            self.dtype = np.dtype(dtype)
            try:
                self._session = session(made)
                self._types = {i.name: i.type for i in self._session.get_inputs()}
                self(feeds)
            except Exception:  # onnxruntime raises many types
                continue
            return
        raise NotImplementedError("onnxruntime runs it in neither precision")

    def __call__(self, feeds: Mapping[str, Any]) -> float:
        """The sum. Raises ValueError where the output has another shape than the start."""
        typed = {name: np.asarray(x, DTYPES.get(self._types[name])) for name, x in feeds.items()}
        total = 0.0
        made = self._session.run(list(self._start), typed)
        for y, r in zip(made, self._start.values(), strict=True):
            if y.shape != r.shape:
                raise ValueError(f"shape {y.shape} instead of {r.shape}")
            total += float((r.astype(np.float64) * y.astype(np.float64)).sum())
        return total

    def slopes(self, feeds: Mapping[str, Any], name: str, rng: np.random.Generator) -> Measured:
        """Of the sum, in the input `name`."""
        size = int(np.size(feeds[name]))
        picked = rng.choice(size, min(size, MOST), replace=False)
        directions = np.concatenate([np.eye(size)[picked], rng.uniform(-1, 1, (1, size))])
        found = [self._along(feeds, name, d.reshape(np.shape(feeds[name]))) for d in directions]
        smooth = [slope is not None for slope in found]
        slopes = np.array([slope for slope in found if slope is not None])
        return Measured(directions[smooth], slopes)

    def _along(self, feeds: Mapping[str, Any], name: str, direction: Array) -> float | None:
        """The slope along a direction; None where the function bends near the point."""
        x, step = np.asarray(feeds[name], np.float64), STEPS[self.dtype]
        here, up, down, far_up, far_down = (
            self({**feeds, name: x + by * step * direction}) for by in (0, 1, -1, 2, -2)
        )
        near, far = (up - down) / (2 * step), (far_up - far_down) / (4 * step)
        bent = abs(far - near) + abs(up + down - 2 * here) / step / 10
        return (4 * near - far) / 3 if bent <= BENDS[self.dtype] * max(1.0, abs(near)) else None


def widened(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model in double precision."""
    return retyped(proto, TensorProto.DOUBLE)


def retyped(proto: onnx.ModelProto, to: int) -> onnx.ModelProto:
    """The model with floats of the type `to`."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    del made.graph.value_info[:]
    for value in (*made.graph.input, *made.graph.output):
        kind = value.type.tensor_type
        if kind.elem_type in FLOATS:
            kind.elem_type = to
    tensors = list(made.graph.initializer)
    for attribute in (attribute for node in made.graph.node for attribute in node.attribute):
        if attribute.name in ("to", "dtype") and attribute.i in FLOATS:
            attribute.i = to
        tensors += [attribute.t] if attribute.HasField("t") else []
    dtype = tensor_dtype_to_np_dtype(to)
    for tensor in tensors:
        if tensor.data_type in FLOATS:
            array = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return made
