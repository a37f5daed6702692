"""Checking what a caller gives against what a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from backtrace_onnx.errors import InputError
from backtrace_onnx.graph import Graph, TensorType

Array = npt.NDArray[Any]


def check_inputs(inputs: Any, graph: Graph) -> dict[str, Array]:
    """Arrays by input name, in the model's dtypes.

    Raises InputError naming the input whose name, dtype, shape or values do not fit.
    """
    given = _named(inputs, graph)
    unknown = [name for name in given if name not in graph.inputs]
    if unknown:
        raise InputError(f"the model has no input {unknown[0]!r}; it has: {describe(graph)}")
    absent = [name for name in graph.inputs if name not in given]
    if absent:
        raise InputError(f"input {absent[0]!r} is missing; the model has: {describe(graph)}")
    return {name: _fitted(name, given[name], graph.type(name)) for name in graph.inputs}


def describe(graph: Graph) -> str:
    """Names, types and shapes of the inputs in words."""
    return ", ".join(f"{name} {spell(graph.type(name))}" for name in graph.inputs)


def spell(kind: TensorType) -> str:
    """A tensor type in words: float32[batch, 3, 224, 224]."""
    try:
        element = helper.tensor_dtype_to_np_dtype(kind.dtype).name
    except (KeyError, ValueError, TypeError):
        element = "any"
    if kind.shape is None:
        return f"{element}[...]"
    return f"{element}[{', '.join('?' if n is None else str(n) for n in kind.shape)}]"


def _named(inputs: Any, graph: Graph) -> dict[str, Any]:
    if isinstance(inputs, Mapping):
        return dict(inputs)
    if len(graph.inputs) != 1:
        raise InputError(
            f"the model has {len(graph.inputs)} inputs; give a dict by name: {describe(graph)}"
        )
    return {graph.inputs[0]: inputs}


def _fitted(name: str, given: Any, kind: TensorType) -> Array:
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise InputError(f"input {name!r} is not an array: {error}") from None
    array = _typed(name, array, kind)
    if kind.shape is not None:
        _check_shape(name, array.shape, kind)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(
            f"input {name!r} holds NaN or Inf, first at {where}; there is nothing to explain"
        )
    return array


def _typed(name: str, array: Array, kind: TensorType) -> Array:
    if kind.dtype in (TensorProto.UNDEFINED, TensorProto.STRING):
        return array
    wanted = np.dtype(helper.tensor_dtype_to_np_dtype(kind.dtype))
    if array.dtype == wanted:
        return array
    fits = (
        array.dtype.kind in "fiub"
        if wanted.kind in "fV"
        else np.can_cast(array.dtype, wanted, "same_kind")
    )
    if not fits or (wanted.kind != "b" and array.dtype.kind == "b"):
        raise InputError(f"input {name!r} takes {spell(kind)}, not {array.dtype}")
    with np.errstate(over="ignore"):
        cast = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(cast, array):
        raise InputError(
            f"input {name!r} takes {wanted}; some values of the {array.dtype} array do not fit"
        )
    return cast


def _check_shape(name: str, shape: tuple[int, ...], kind: TensorType) -> None:
    wanted = kind.shape or ()
    if len(shape) != len(wanted):
        hint = " (add a batch axis: x[None])" if len(shape) == len(wanted) - 1 else ""
        raise InputError(f"input {name!r} takes {spell(kind)}, not an array of shape {shape}{hint}")
    for axis, (n, want) in enumerate(zip(shape, wanted, strict=True)):
        if isinstance(want, int) and n != want:
            raise InputError(
                f"input {name!r} takes {spell(kind)}, not an array of shape {shape}: axis {axis} must be {want}"
            )
    if 0 in shape:
        raise InputError(f"input {name!r} is empty: shape {shape}")
