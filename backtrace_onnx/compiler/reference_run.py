"""The run of the reference in a compiled file: the model once more, on the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.compiler.model_copy import copy_model
from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph, TensorType
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.ops.walks import IntegratedGradients

Array = npt.NDArray[Any]
BASELINE = "baseline/"
_RUN = "reference/"
REQUIRED = "required"
_KINDS = (
    "a file is compiled with a baseline that is a number, an array, or arrays by input, or "
    '"required"'
)


@dataclass(frozen=True)
class Baselines:
    """What a file compares its inputs with, each broadcast to the input.

    Attributes:
        fixed: arrays by input, for always.
        told: inputs whose baseline is an input of the file, zeros where it is left out.
        required: those of `told` whose baseline may not be left out.
    """

    fixed: Mapping[str, Array] = field(default_factory=dict)
    told: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()

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
        fixed = {name: _zero(graph.type(name)) for name in floats - told}
        own = given.keys() - told
        fixed |= {name: _fitted(name, given[name], graph.type(name)) for name in sorted(own)}
        return cls(fixed, told, told)


def has_baselines(method: Method) -> bool:
    """Whether a file of a method compares its inputs with a baseline."""
    return method.compares or isinstance(method.walks, IntegratedGradients)


def compiled_baselines(method: Method, given: Any, graph: Graph) -> Baselines | None:
    """What a file of a method compares with. Raises RequestError where it compares with nothing."""
    if has_baselines(method):
        return Baselines.of(given, graph)
    if given is not None:
        raise RequestError(
            f"mode {method.name!r} compiles without a baseline; deeplift and integrated_gradients "
            "have one"
        )
    return None


def _fitted(name: str, given: Any, kind: TensorType) -> Array:
    """A baseline as an array that broadcasts to its input."""
    try:
        array = np.asarray(given, _dtype(kind))
    except (TypeError, ValueError) as error:
        raise RequestError(f"{_KINDS}; that of {name!r} is {given!r} ({error})") from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError(f"the baseline of {name!r} holds NaN or Inf")
    sizes = tuple(kind.shape or ())[::-1]
    own = array.shape[::-1]
    fits = all(n == 1 or not isinstance(m, int) or n == m for n, m in zip(own, sizes, strict=False))
    if kind.shape is not None and not (fits and array.ndim <= len(sizes)):
        raise RequestError(
            f"the baseline of {name!r}, of shape {array.shape}, does not fit the input's, "
            f"{kind.shape}; several baselines are for explain"
        )
    return array


def _dtype(kind: TensorType) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(kind.dtype))


def _zero(kind: TensorType) -> Array:
    return np.zeros((1,) * (kind.rank or 0), _dtype(kind))


class ReferenceRun:
    """Writes the second run before a walk.

    Args:
        ops: appends nodes to the file.
        proto: the model. graph: the same, as rules read it.
        free: returns a name. Raises where the model has a tensor of it.

    Attributes:
        values: the tensors of the run.
        inputs: those that the file has for it.
    """

    def __init__(
        self,
        ops: EmitOps,
        proto: onnx.ModelProto,
        graph: Graph,
        baselines: Baselines,
        free: Callable[[str], str],
    ) -> None:
        self.inputs: list[onnx.ValueInfoProto] = []
        self._ops, self._graph, self._free = ops, graph, free
        names = {
            name: self._compared(name, baselines)
            for name in graph.inputs
            if name in baselines.told or name in baselines.fixed
        }
        self.values = copy_model(ops, proto, graph, names, _RUN, self._free)

    def _compared(self, name: str, baselines: Baselines) -> str:
        """The baseline of an input, spread over the batch; returns its name."""
        given: Value = baselines.fixed.get(name)
        if given is None:
            kind, told = self._graph.type(name), self._free(BASELINE + name)
            dims = [None] * (kind.rank or 0)
            self.inputs.append(helper.make_tensor_value_info(told, kind.dtype, dims))
            if name not in baselines.required:
                self._ops.constants[told] = _zero(kind)
            given = Symbol(self._ops, told)
        shape = self._ops.Shape(Symbol(self._ops, name))
        return self._ops.output(self._ops.Expand(given, shape), self._free(_RUN + name))


__all__ = ["BASELINE", "Baselines", "ReferenceRun", "compiled_baselines", "has_baselines"]
