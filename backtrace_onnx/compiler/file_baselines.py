"""What a compiled file compares its inputs with: baselines that it holds, or is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.given_arrays import array_as
from backtrace_onnx.graph.graph import Graph, TensorType
from backtrace_onnx.graph.input_checking import holds_sense
from backtrace_onnx.graph.missing_values import takes_missing
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.inputs.background_rows import background_rows
from backtrace_onnx.inputs.baselines import some_rows
from backtrace_onnx.inputs.columns import mean_present
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.walks import IntegratedGradients

if TYPE_CHECKING:
    from backtrace_onnx.inputs.sidecar import Sidecar

Array = npt.NDArray[Any]
BASELINE = "baseline/"
REQUIRED = "required"
_KINDS = (
    "a file is compiled with a baseline that is a number, an array, or arrays by input, 'mean' or "
    "'rows' of background=, a list of several, or \"required\""
)


@dataclass(frozen=True)
class Baselines:
    """What a file compares its inputs with, each broadcast to the input.

    Attributes:
        fixed: arrays by input, for always.
        told: inputs whose baseline is an input of the file, zeros where it is left out.
        required: those of `told` whose baseline may not be left out.
        rows: several baselines by input, [rows, ...] with the sample axis kept, of size 1, over
            which relevance is averaged; the other attributes are for one of them.
    """

    fixed: Mapping[str, Array] = field(default_factory=dict)
    told: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    rows: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Any, graph: Graph) -> Baselines:
        """What the argument `baseline` of `compile` says.

        None: inputs of the file say it, which may be left out; "required", for all floats or by
        input: which must be given. What the baselines given lack is zeros where inputs are
        floats; others are compared with themselves. Raises RequestError.
        """
        floats = frozenset(name for name in graph.inputs if graph.type(name).is_float)
        needed = isinstance(given, str) and given == REQUIRED
        if given is None or needed:
            if not floats:
                raise RequestError(
                    "the inputs are ids, which have no zero: give a baseline, such as an array of "
                    "the padding's id, or by input: baseline={'ids': 'required'}"
                )
            return cls(told=floats, required=floats if needed else frozenset())
        if isinstance(given, str) and given == "zeros":
            given = dict.fromkeys(floats, 0.0)
        if not isinstance(given, Mapping):
            if len(graph.inputs) > 1:
                names = ", ".join(graph.inputs)
                raise RequestError(f"the model has several inputs ({names}): give it by name")
            given = dict.fromkeys(graph.inputs, given)
        if unknown := sorted(map(str, given.keys() - set(graph.inputs))):
            raise RequestError(f"the baseline has no input of the model: {', '.join(unknown)}")
        told = frozenset(n for n, x in given.items() if isinstance(x, str) and x == REQUIRED)
        fixed = {name: zero_of(graph.type(name)) for name in floats - told}
        own = given.keys() - told
        fixed |= {name: _fitted(name, given[name], graph) for name in sorted(own)}
        return cls(fixed, told, told)


def has_baselines(method: Method) -> bool:
    """Whether a file of a method compares its inputs with a baseline."""
    return method.compares or isinstance(method.walks, IntegratedGradients)


def compiled_baselines(
    method: Method, given: Any, background: Any, graph: Graph, sidecar: Sidecar | None
) -> Baselines | None:
    """What a file of a method compares with.

    Args:
        given: as `compile` is given it. background: rows that it may name, likewise.

    Raises RequestError where the method compares with no such thing, and InputError for files.
    """
    if not has_baselines(method):
        if given is not None:
            raise RequestError(
                f"mode {method.name!r} compiles without a baseline; deeplift and "
                "integrated_gradients have one"
            )
        return None
    rows = _given_rows(given, background, graph, sidecar)
    if rows is None:
        return Baselines.of(given, graph)
    count = len(next(iter(rows.values())))
    if count == 1:
        return Baselines.of({name: x[0] for name, x in rows.items()}, graph)
    if method.walks is not None:
        raise RequestError(
            f"mode {method.name!r} compiles with one baseline; deeplift takes several, and "
            "expected_gradients a background"
        )
    return Baselines(told=frozenset(rows), required=frozenset(rows), rows=rows)


def _given_rows(
    given: Any, background: Any, graph: Graph, sidecar: Sidecar | None
) -> dict[str, Array] | None:
    """The baselines where they are rows, of the background or of a list; else None."""
    named = given if isinstance(given, str) else None
    if background is not None:
        if given is not None and named not in ("mean", "rows"):
            raise RequestError(
                "the background is read for baseline='mean' or 'rows', and another one is given"
            )
        read = background_rows(background, graph, sidecar)
        floats = {name: x for name, x in read.items() if x.dtype.kind == "f"}
        if named == "rows":
            return {name: x[some_rows(len(x))] for name, x in floats.items()}
        return {n: mean_present(x)[None].astype(x.dtype) for n, x in floats.items()}
    if named in ("mean", "rows"):
        raise RequestError(f"baseline {named!r} is of a background: give background=")
    if not isinstance(given, list | tuple) or (given and all(np.isscalar(x) for x in given)):
        return None
    parts = [Baselines.of(part, graph).fixed for part in given]
    if not parts or not all(part.keys() == parts[0].keys() != set() for part in parts):
        raise RequestError(f"{_KINDS}; several are a list of arrays, for the same inputs")
    own = {n: [_whole(part[n], graph.type(n)) for part in parts] for n in parts[0]}
    return {name: np.stack(np.broadcast_arrays(*rows)) for name, rows in own.items()}


def _whole(x: Array, kind: TensorType) -> Array:
    """A baseline with all axes of its input."""
    return x.reshape((1,) * ((kind.rank or x.ndim) - x.ndim) + x.shape)


def _fitted(name: str, given: Any, graph: Graph) -> Array:
    """A baseline as an array that broadcasts to its input, whatever the number of samples."""
    kind, axis = graph.type(name), SampleAxes(graph)(name)
    if isinstance(given, str):
        raise RequestError(f"{_KINDS}; that of {name!r} is {given!r}")
    array = array_as(given, _dtype(kind), f"the baseline of {name!r}")
    if not holds_sense(array, missing=takes_missing(graph, name)).all():
        raise RequestError(f"the baseline of {name!r} holds NaN or Inf")
    sizes = tuple(kind.shape or ())[::-1]
    own = array.shape[::-1]
    fits = all(n == 1 or not isinstance(m, int) or n == m for n, m in zip(own, sizes, strict=False))
    behind = None if axis is None or kind.rank is None else kind.rank - axis
    if behind is not None and array.ndim >= behind and not isinstance(sizes[behind - 1], int):
        fits = fits and array.shape[-behind] == 1
    if kind.shape is not None and not (fits and array.ndim <= len(sizes)):
        raise RequestError(
            f"the baseline of {name!r}, of shape {array.shape}, does not fit the input's, "
            f"{kind.shape}; several baselines are a list"
        )
    return array


def _dtype(kind: TensorType) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(kind.dtype))


def zero_of(kind: TensorType) -> Array:
    """Zero, with all axes of an input."""
    return np.zeros((1,) * (kind.rank or 0), _dtype(kind))


__all__ = ["BASELINE", "REQUIRED", "Baselines", "compiled_baselines", "has_baselines", "zero_of"]
