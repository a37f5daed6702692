"""A model as nothing but a function: what metrics and other libraries' methods ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.graph import TensorType
from backtrace_onnx.graph.input_checking import as_typed
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.model.loading import load
from backtrace_onnx.model.sessions import Runtime, find_providers, first_line

Array = npt.NDArray[Any]
FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")


class BlackBox:
    """A model as a function from one input array to one output array.

    It is what KernelExplainer of shap and the explainers of lime take as the prediction.

    Args:
        model: path, bytes or ModelProto of an .onnx model.
        output: name of the output that is returned; default: the first of floats, else the first.
        others: values of further inputs, by name, the same at every call.
        providers: onnxruntime execution providers; default the CPU's.
        batch: how many samples run at once; a model whose batch is fixed says so itself.

    Raises:
        ModelError: the model cannot be loaded.
        RequestError: it has no such output, or several inputs that `others` does not fix.
    """

    def __init__(
        self,
        model: ModelLike,
        *,
        output: str | None = None,
        others: Mapping[str, Array] | None = None,
        providers: Sequence[str] | None = None,
        batch: int = 64,
    ) -> None:
        loaded = load(model)
        self._session = loaded.session(Runtime(find_providers(providers)))
        self._others = dict(others or {})
        kinds = {tensor.name: tensor.type for tensor in self._session.get_outputs()}
        names, floats = list(kinds), [name for name, kind in kinds.items() if kind in FLOATS]
        if output is not None and output not in names:
            raise RequestError(f"the model has no output {output!r}; it has: {', '.join(names)}")
        self._output = (floats or names)[0] if output is None else output
        free = [i for i in self._session.get_inputs() if i.name not in self._others]
        if len(free) != 1:
            raise RequestError(
                f"a black box has one input, and the model leaves {len(free)} open "
                f"({', '.join(i.name for i in free)}); fix the others by others="
            )
        self._input = free[0].name
        self._kind = next(
            TensorType(value.type.tensor_type.elem_type)
            for value in loaded.proto.graph.input
            if value.name == self._input
        )
        size = free[0].shape[0] if free[0].shape else None
        self._fixed = size if isinstance(size, int) else None
        self._batch = self._fixed or max(1, batch)

    def __call__(self, x: Any) -> Array:
        """The output for x[samples, ...], batch by batch.

        Numbers are taken in any dtype that holds them, as others hand on float64. Where the model's
        batch is fixed the last one is filled up with its last sample. Raises InputError where the
        model cannot run on x.
        """
        array = np.asarray(x)
        if not array.ndim or not len(array):
            raise InputError(f"a batch of samples is needed, not an array of shape {array.shape}")
        array = as_typed(self._input, self._whole(array), self._kind)
        made = [self._run(array[at : at + self._batch]) for at in range(0, len(array), self._batch)]
        return np.concatenate(made)

    def _whole(self, array: Array) -> Array:
        """Whole numbers as such, where the model takes no others."""
        takes = np.dtype(helper.tensor_dtype_to_np_dtype(self._kind.dtype))
        if takes.kind not in "iu" or array.dtype.kind != "f":
            return array
        return array.astype(np.int64) if np.array_equal(array, np.rint(array)) else array

    def _run(self, x: Array) -> Array:
        count, size = len(x), self._fixed or len(x)
        fed = x if count == size else np.concatenate([x, np.repeat(x[-1:], size - count, 0)])
        try:
            y = self._session.run([self._output], {self._input: fed, **self._others})[0]
        except Exception as error:  # onnxruntime raises many types
            why = first_line(error)
            raise InputError(
                f"the model cannot run on {self._input} {x.dtype}{list(x.shape)}: {why}"
            ) from None
        return np.asarray(y)[:count]


__all__ = ["BlackBox"]
