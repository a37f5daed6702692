"""Runs of a model in which tensors inside are replaced: it is cut there, and they become inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto, ValueInfoProto, helper

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.cutting import cut_at
from backtrace_onnx.graph.given_arrays import array_as
from backtrace_onnx.graph.graph import Graph, TensorType
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.model.sessions import Runtime, first_line, load_unbroken
from backtrace_onnx.passes.pipeline import ModelGraphs

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


class PatchedRuns:
    """A model whose named tensors are given, not computed.

    Raises RequestError for a tensor that the model does not make.
    """

    def __init__(self, graphs: ModelGraphs, tensors: Sequence[str], runtime: Runtime) -> None:
        nodes = graphs.nodes
        check_made(tensors, nodes)
        self._kinds = {name: nodes.type(name) for name in tensors}
        self._outputs = [name for name in nodes.outputs if name not in tensors]
        self._session: ort.InferenceSession | None = None
        if self._outputs:
            cut = cut_at(graphs.model, tensors, nodes)
            self._session = load_unbroken(partial(cut.session, runtime))
        self._given = [name for name in tensors if name in nodes.outputs]

    def run(self, feeds: Arrays, values: Mapping[str, Any]) -> dict[str, Any]:
        """The model's outputs, by name.

        Args:
            feeds: arrays by input, as checked for the model.
            values: of the tensors that are replaced.

        Raises RequestError for a value that does not fit, and InputError where the model does not
        run with these.
        """
        arrays = {name: _fitted(name, x, self._kinds[name]) for name, x in values.items()}
        own = {name: arrays[name] for name in self._given}
        if self._session is None:
            return own
        takes = {x.name for x in self._session.get_inputs()}
        given = {name: x for name, x in {**feeds, **arrays}.items() if name in takes}
        try:
            found = self._session.run(self._outputs, given)
        except Exception as error:  # onnxruntime raises many types
            shapes = ", ".join(f"{name} {x.dtype}{list(x.shape)}" for name, x in arrays.items())
            raise InputError(
                f"the model cannot run with {shapes} in place of what it computes: "
                f"{first_line(error)}"
            ) from None
        return {**dict(zip(self._outputs, found, strict=True)), **own}


class TensorReader:
    """A model that returns tensors inside. Raises RequestError for one that there is not."""

    def __init__(self, graphs: ModelGraphs, tensors: Sequence[str], runtime: Runtime) -> None:
        nodes, whole = graphs.nodes, graphs.model
        self._known = {name: nodes.constants[name] for name in tensors if name in nodes.constants}
        self._fed = [name for name in tensors if name in nodes.inputs]
        others = {*self._known, *self._fed}
        self._asked = [name for name in dict.fromkeys(tensors) if name not in others]
        check_made(self._asked, nodes)
        own = {output.name: output for output in whole.proto.graph.output}
        outputs = [own.get(name, ValueInfoProto(name=name)) for name in self._asked]
        asking = whole.with_nodes(whole.proto.graph.node, outputs=outputs)
        self._session = load_unbroken(partial(asking.session, runtime)) if outputs else None

    def read(self, feeds: Arrays) -> dict[str, Any]:
        """The tensors, by name. Raises InputError where the model does not run."""
        found = {**self._known, **{name: feeds[name] for name in self._fed}}
        if self._session is None:
            return found
        try:
            made = self._session.run(self._asked, dict(feeds))
        except Exception as error:  # onnxruntime raises many types
            raise InputError(f"the model cannot run on the inputs: {first_line(error)}") from None
        return {**found, **dict(zip(self._asked, made, strict=True))}


def check_made(tensors: Collection[str], nodes: Graph) -> None:
    """Raises RequestError for a tensor that no node of the model makes."""
    for name in tensors:
        if name not in nodes.producers:
            close = find_alike(str(name), tuple(nodes.producers), cutoff=0.5)
            hint = f"; did you mean {', '.join(map(repr, close))}?" if close else ""
            what = "is an input or a constant" if name in nodes.types else "is no tensor"
            raise RequestError(f"{name!r} {what} of the model, not one that it computes{hint}")


def _fitted(name: str, value: Any, kind: TensorType) -> Array:
    """A value as the tensor's type has it. Raises RequestError where it has other axes."""
    known = kind.dtype != TensorProto.UNDEFINED
    dtype = helper.tensor_dtype_to_np_dtype(kind.dtype) if known else np.asarray(value).dtype
    array = array_as(value, dtype, f"the value of {name!r}")
    shape = kind.shape
    fits = shape is None or (
        len(shape) == array.ndim
        and all(n == m or not isinstance(n, int) for n, m in zip(shape, array.shape, strict=True))
    )
    if not fits:
        raise RequestError(f"the value of {name!r} has shape {array.shape}, the tensor {shape}")
    return array


__all__ = ["PatchedRuns", "TensorReader", "check_made", "cut_at"]
