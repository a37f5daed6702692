"""Checking what a caller gives against what a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.graph import NO_TENSOR, Graph, TensorType
from backtrace_onnx.graph.missing_values import takes_missing

Array = npt.NDArray[Any]


def check_inputs(inputs: Any, graph: Graph) -> dict[str, Array]:
    """Copies of the arrays, by input name and in the model's dtypes.

    Raises InputError naming the input whose name, dtype, shape or values do not fit.
    """
    given = _named(inputs, graph)
    unknown = [name for name in given if name not in graph.inputs]
    if unknown:
        raise InputError(f"the model has no input {unknown[0]!r}; it has: {describe(graph)}")
    absent = [name for name in graph.inputs if name not in given]
    if absent:
        raise InputError(f"input {absent[0]!r} is missing; the model has: {describe(graph)}")
    return {
        name: _fitted(name, given, graph.type(name), missing=takes_missing(graph, name))
        for name in graph.inputs
    }


def typed_inputs(inputs: Mapping[str, Array], graph: Graph) -> dict[str, Array]:
    """Arrays by name in the model's dtypes, of any number of samples: shapes are not checked.

    Raises InputError naming the input whose dtype or values do not fit.
    """
    made = {name: as_typed(name, x, graph.type(name)) for name, x in inputs.items()}
    for name, array in made.items():
        _check_finite(name, array, takes_missing(graph, name))
    return made


def describe(graph: Graph) -> str:
    """Names, types and shapes of the inputs in words."""
    return ", ".join(f"{name} {spell(graph.type(name))}" for name in graph.inputs) or "no inputs"


def is_cache(name: str, kind: TensorType) -> bool:
    """Whether an input is a language model's cache of what was read before, by its name or an
    axis's.
    """
    words = (name, *(n for n in kind.shape or () if isinstance(n, str)))
    is_named = any(word in text.lower() for text in words for word in ("past", "cache"))
    return is_named and kind.is_float and (kind.rank or 0) > 2


def _may_be_empty(array: Array, given: Mapping[str, Any]) -> bool:
    """Whether an array without entries can be a cache of nothing: with samples and features, and no
    place along one axis, beside an input that has samples and places, too."""
    is_laid = array.ndim > 2 and len(array) > 0 and array.shape.count(0) == 1
    return is_laid and any(map(_is_filled, given.values()))


def _is_filled(given: Any) -> bool:
    try:
        array = np.asarray(given)
    except (ValueError, TypeError):
        return False
    return array.ndim > 1 and array.size > 0


def spell(kind: TensorType) -> str:
    """A tensor type in words: float32[batch, 3, 224, 224]."""
    element = "any"
    if kind.dtype == TensorProto.STRING:
        element = "string"
    elif kind.dtype not in (TensorProto.UNDEFINED, NO_TENSOR):
        element = np.dtype(helper.tensor_dtype_to_np_dtype(kind.dtype)).name
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


def _fitted(name: str, given: Mapping[str, Any], kind: TensorType, *, missing: bool) -> Array:
    if kind.dtype == NO_TENSOR:
        raise InputError(
            f"input {name!r} is a sequence, map or optional; only tensors can be explained"
        )
    try:
        array = np.array(given[name], order="C")
    except (ValueError, TypeError) as error:
        raise InputError(f"input {name!r} is not an array: {error}") from None
    array = _batch_of_texts(as_typed(name, array, kind), kind)
    if kind.shape is not None:
        check_shape(name, array.shape, kind)
    if 0 in array.shape and not _may_be_empty(array, given):
        raise InputError(f"input {name!r} is empty: shape {array.shape}")
    _check_finite(name, array, missing)
    return array


def as_typed(name: str, array: Array, kind: TensorType) -> Array:
    """An array in the dtype of an input. Raises InputError naming it where a value does not fit."""
    if kind.dtype == TensorProto.UNDEFINED:
        return array
    if kind.dtype == TensorProto.STRING:
        return _strings(name, array, kind)
    wanted = np.dtype(helper.tensor_dtype_to_np_dtype(kind.dtype))
    if wanted.kind == "V":
        raise InputError(
            f"input {name!r} takes {wanted}, which onnxruntime cannot be given from Python; "
            "export the model with float32 inputs"
        )
    if array.dtype == wanted:
        return array
    if not _fits(array, wanted):
        is_text = array.dtype.kind == "U" and wanted.kind in "iu"
        hint = "; texts become ids by a tokenizer: give tokenizer=" if is_text else ""
        raise InputError(f"input {name!r} takes {spell(kind)}, not {array.dtype}{hint}")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(wanted)
    lost = lost_in(array, cast)
    if lost.any():
        at = tuple(int(i) for i in np.argwhere(lost)[0])
        place = f" at {at}" if at else ""
        raise InputError(
            f"input {name!r} takes {wanted}; the value {array[at]}{place} does not fit into it"
        )
    return cast


def _fits(array: Array, wanted: np.dtype[Any]) -> bool:
    if wanted.kind == "f":
        return array.dtype.kind in "fiub" or array.dtype.name == "bfloat16"
    if wanted.kind == "b" or array.dtype.kind == "b":
        return wanted.kind == array.dtype.kind
    return array.dtype.kind in "iu" and wanted.kind in "iu"


def lost_in(array: Array, cast: Array) -> npt.NDArray[np.bool_]:
    """Where a cast lost the value: integers that wrap, finite numbers that become infinite."""
    if cast.dtype.kind in "iu":
        return np.asarray((cast != array) | ((cast < 0) != (array < 0)))
    wide = cast.astype(np.float64)
    return np.asarray(np.isinf(wide) & np.isfinite(array.astype(np.float64)))


def _batch_of_texts(array: Array, kind: TensorType) -> Array:
    """A text, or texts in a row, as the samples of an input that takes one text for each."""
    if kind.dtype != TensorProto.STRING or kind.shape is None or array.ndim >= len(kind.shape):
        return array
    if any(isinstance(n, int) and n != 1 for n in kind.shape) or array.ndim > 1:
        return array
    return array.reshape([array.size if axis == _texts_axis(kind) else 1 for axis in _axes(kind)])


def _axes(kind: TensorType) -> range:
    return range(kind.rank or 0)


def _texts_axis(kind: TensorType) -> int:
    """The first axis that is not fixed to one text."""
    return next((axis for axis, n in enumerate(kind.shape or ()) if n != 1), 0)


def _strings(name: str, array: Array, kind: TensorType) -> Array:
    if array.dtype.kind not in "UOST" or not all(isinstance(s, str) for s in array.flat):
        raise InputError(f"input {name!r} takes {spell(kind)}, not {array.dtype}")
    return array.astype(object)


def holds_sense(array: Array, *, missing: bool) -> npt.NDArray[np.bool_]:
    """bool, of the array's shape: where there is a finite number, or, where NaN means that a value
    is missing, NaN; true of what are no floats."""
    if array.dtype.kind != "f":
        return np.ones(array.shape, bool)
    return np.asarray(np.isfinite(array) | np.isnan(array) if missing else np.isfinite(array))


def _check_finite(name: str, array: Array, missing: bool) -> None:
    """NaN is let through where it means that a value is missing."""
    fits = holds_sense(array, missing=missing)
    if fits.all():
        return
    where = tuple(int(i) for i in np.argwhere(~fits)[0])
    raise InputError(
        f"input {name!r} holds NaN or Inf, first at {where}; there is nothing to explain"
    )


def check_shape(name: str, shape: tuple[int, ...], kind: TensorType) -> None:
    """Raises InputError where a shape is not that of an input, as far as it is fixed."""
    wanted = kind.shape or ()
    if len(shape) != len(wanted):
        hint = " (add a batch axis: x[None])" if len(shape) == len(wanted) - 1 else ""
        if kind.dtype == TensorProto.STRING:
            hint = " (give a list of rows, each a list of texts)" if hint else ""
        raise InputError(f"input {name!r} takes {spell(kind)}, not an array of shape {shape}{hint}")
    for axis, (n, want) in enumerate(zip(shape, wanted, strict=True)):
        if isinstance(want, int) and n != want:
            raise InputError(
                f"input {name!r} takes {spell(kind)}, not an array of shape {shape}: "
                f"axis {axis} must be {want}"
            )
