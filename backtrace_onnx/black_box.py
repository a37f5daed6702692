"""A model as nothing but a function: what metrics and other libraries' methods ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.graph import TensorType
from backtrace_onnx.graph.input_checking import as_typed
from backtrace_onnx.inputs.frames import from_frame, is_frame
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
        RequestError: it has no such output, or several inputs that are no columns and that `others`
            does not fix.
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
        if len(free) != 1 and not (free and all(_is_column(i.shape) for i in free)):
            raise RequestError(
                f"a black box has one input, or one for each column, and the model leaves "
                f"{len(free)} open ({', '.join(i.name for i in free)}); fix the others by others="
            )
        self._ranks = {i.name: len(i.shape) for i in free}
        self._kinds = {
            value.name: TensorType(value.type.tensor_type.elem_type)
            for value in loaded.proto.graph.input
            if value.name in self._ranks
        }
        size = free[0].shape[0] if free[0].shape else None
        self._fixed = size if isinstance(size, int) else None
        self._batch = self._fixed or max(1, batch)

    def __call__(self, x: Any) -> Array:
        """The output for x[samples, ...], batch by batch.

        Of a model with an input for each column x is [samples, columns] in the order of these
        inputs, or a data frame that has them by name. Numbers are taken in any dtype that holds
        them, as others hand on float64. Where the model's batch is fixed the last one is filled up
        with its last sample. Raises InputError where the model cannot run on x.
        """
        array = x if is_frame(x) else np.asarray(x)
        if not len(np.shape(array)) or not len(array):
            raise InputError(f"a batch of samples is needed, not an array of {np.shape(array)}")
        given = {
            name: as_typed(name, self._whole(own, self._kinds[name]), self._kinds[name])
            for name, own in self._by_input(array).items()
        }
        starts = range(0, len(array), self._batch)
        made = [self._run({n: a[at : at + self._batch] for n, a in given.items()}) for at in starts]
        return np.concatenate(made)

    def _by_input(self, x: Any) -> dict[str, Array]:
        """The array of each input. Raises InputError where columns are not those of the model."""
        names = [*self._ranks]
        if is_frame(x):
            columns = from_frame(x).columns
            if len(names) == 1:
                return {names[0]: np.stack([*columns.values()], 1)}
            lacking = [name for name in names if name not in columns]
            if lacking:
                told = ", ".join(names)
                raise InputError(f"the frame has no column {lacking[0]!r}; the model takes: {told}")
            parts = [columns[name] for name in names]
        elif len(names) == 1:
            return {names[0]: x}
        elif x.ndim != 2 or x.shape[1] != len(names):
            raise InputError(
                f"{list(x.shape)} is not [samples, {len(names)}], a column for each input of the "
                f"model: {', '.join(names)}"
            )
        else:
            parts = [*x.T]
        ranks = self._ranks.items()
        return {n: one.reshape((-1, 1)[:rank]) for (n, rank), one in zip(ranks, parts, strict=True)}

    @staticmethod
    def _whole(array: Array, kind: TensorType) -> Array:
        """Plain numbers or texts of objects; whole numbers as such, where only they are taken."""
        if kind.dtype == TensorProto.STRING:
            return array.astype(object)
        takes = np.dtype(helper.tensor_dtype_to_np_dtype(kind.dtype))
        if array.dtype == object:
            try:
                array = array.astype(np.float64)
            except (TypeError, ValueError):
                return array  # refused by its type
        if takes.kind not in "iu" or array.dtype.kind != "f":
            return array
        return array.astype(np.int64) if np.array_equal(array, np.rint(array)) else array

    def _run(self, x: dict[str, Array]) -> Array:
        count = len(next(iter(x.values())))
        lacks = (self._fixed or count) - count
        fed = {n: np.concatenate([a, np.repeat(a[-1:], lacks, 0)]) for n, a in x.items()}
        try:
            y = self._session.run([self._output], {**fed, **self._others})[0]
        except Exception as error:  # onnxruntime raises many types
            told = ", ".join(f"{name} {a.dtype}{list(a.shape)}" for name, a in x.items())
            raise InputError(f"the model cannot run on {told}: {first_line(error)}") from None
        return np.asarray(y)[:count]


def _is_column(shape: Sequence[Any]) -> bool:
    """Whether an input is one number or text for each sample."""
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)


__all__ = ["BlackBox"]
