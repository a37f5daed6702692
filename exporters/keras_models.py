"""A Keras model as it predicts: its inputs, outputs and layers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters import writing
from backtrace_onnx.exporters.comparing import Array, Feeds
from backtrace_onnx.exporters.tf_graphs import TensorFunction, draw
from backtrace_onnx.graph.module_scopes import Scopes, state
from backtrace_onnx.model.sessions import first_line

_AUTOMATIC = re.compile(r"(keras_tensor|input_layer)(_\d+)?(_\w+)?")
_LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Prediction:
    """What `model(inputs, training=False)` computes, on flat inputs with names.

    Raises ExportError for other backends, and where the model's inputs are not known.
    """

    def __init__(self, model: Any, example: Any) -> None:
        if keras.backend.backend() != "tensorflow":
            raise ExportError(
                f"Keras runs on {keras.backend.backend()} here; set KERAS_BACKEND=tensorflow and "
                "load the model again (a model on torch is a module for from_torch, too)"
            )
        if not isinstance(model, keras.Model):
            raise ExportError(f"from_keras takes a Keras model, not {type(model).__name__}")
        self.model = model
        self._structure = self._inputs(example)
        self.specs = self._specs()
        self.feeds: Feeds = self._feeds(example)
        self.outputs = _output_names(model, self._call(*self.feeds.values()))
        self._layers = dict(_layers(model))
        weights = sum(int(np.prod(w.shape)) * np.dtype(w.dtype).itemsize for w in model.weights)
        self.large = weights > writing.EMBEDDED_BYTES

    def graph(self) -> TensorFunction:
        """The prediction as a function of flat tensors."""
        return TensorFunction(
            lambda *tensors: keras.tree.flatten(self._call(*tensors)), self.specs, self.outputs
        )

    def run(self, feeds: Feeds) -> list[Array]:
        """What the model answers, flat."""
        return [np.asarray(y) for y in keras.tree.flatten(self._call(*feeds.values()))]

    @contextmanager
    def stating_layers(self) -> Iterator[None]:
        """Meanwhile every layer's operations are named after its path: block/dense/MatMul."""
        for path, layer in self._layers.items():
            vars(layer)["call"] = _inside(path, layer.call)
        try:
            yield
        finally:
            for layer in self._layers.values():
                del vars(layer)["call"]

    def state_layers(self, proto: onnx.ModelProto) -> None:
        """State the layers around every node, with their classes.

        An operator with a layer's own weight belongs to that layer, whatever it was fused with.
        """
        for node in proto.graph.node:
            weight = node.input[1] if node.op_type in _LINEAR and len(node.input) > 1 else ""
            path = self._path(weight) or self._path(node.name)
            if path:
                state(node, self._around(path))

    def _path(self, name: str) -> str:
        """The deepest layer whose path begins a name."""
        while name and name not in self._layers:
            name = name.rpartition("/")[0]
        return name

    def _around(self, path: str) -> Scopes:
        parts = path.split("/")
        paths = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        inner = tuple((p, type(self._layers[p]).__name__) for p in paths if p in self._layers)
        return (("", type(self.model).__name__), *inner)

    def _call(self, *tensors: Any) -> Any:
        packed = keras.tree.pack_sequence_as(self._structure, list(tensors))
        return self.model(packed, training=False)

    def _inputs(self, example: Any) -> Any:
        """The model's symbolic inputs as it takes them; where it has none, the example."""
        known = getattr(self.model, "inputs", None)
        if known:
            nested = isinstance(self.model, keras.Sequential) or len(known) == 1
            return known[0] if nested else self.model.input
        if example is not None:
            return keras.tree.map_structure(np.asarray, example)
        raise ExportError(
            "the inputs of this model are not known; give an example of what it is called with"
        )

    def _specs(self) -> list[Any]:
        """A TensorSpec for every input; from an example, the batch is left open."""
        flat = keras.tree.flatten_with_path(self._structure)
        names = _names([path for path, _ in flat], [getattr(x, "name", "") for _, x in flat])
        made = []
        for name, (_, x) in zip(names, flat, strict=True):
            shape = [None, *x.shape[1:]] if isinstance(x, np.ndarray) else x.shape
            made.append(tf.TensorSpec(shape, x.dtype, name=name))
        return made

    def _feeds(self, example: Any) -> dict[str, Array]:
        if example is None:
            return draw(self.specs, _highest(self.model))
        flat = keras.tree.flatten(example)
        if len(flat) != len(self.specs):
            raise ExportError(f"{len(flat)} array(s) in the example for {len(self.specs)} input(s)")
        feeds = {
            spec.name: np.asarray(x, spec.dtype.as_numpy_dtype)
            for spec, x in zip(self.specs, flat, strict=True)
        }
        try:
            self._call(*feeds.values())
        except Exception as error:  # whatever the model's own code raises
            raise ExportError(
                f"the model does not run on the example: {first_line(error)}"
            ) from error
        return feeds


def _inside(path: str, call: Any) -> Any:
    """`call` under a name scope of its own; the slash keeps TensorFlow from numbering it."""

    def scoped(*args: Any, **kwargs: Any) -> Any:
        with tf.name_scope(f"{path}/"):
            return call(*args, **kwargs)

    return scoped


def _layers(parent: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Layers by path, each under the layer that holds it first."""
    taken: set[int] = set()
    for layer in parent._flatten_layers(recursive=False, include_self=False):
        if id(layer) in taken or "call" in vars(layer):
            continue
        taken.add(id(layer))
        path = f"{prefix}{layer.name}"
        yield path, layer
        yield from _layers(layer, f"{path}/")


def _names(paths: list[Any], given: list[str]) -> list[str]:
    """Names of the inputs: given ones, keys, or input, input_1, ..."""
    names: list[str] = []
    for path, name in zip(paths, given, strict=True):
        key = next((str(p) for p in path if isinstance(p, str)), "")
        plain = name if name and not _AUTOMATIC.fullmatch(name) else key or "input"
        plain = re.sub(r"[^\w.]", "_", plain)
        count = sum(n == plain or n.startswith(f"{plain}_") for n in names)
        names.append(f"{plain}_{count}" if plain in names else plain)
    return names


def _output_names(model: Any, returned: Any) -> list[str]:
    """Keys of what is returned, names of the output layers, or output, output_1, ..."""
    paths = [path for path, _ in keras.tree.flatten_with_path(returned)]
    known = getattr(model, "output_names", None) or []
    given = list(known) if len(known) == len(paths) else [""] * len(paths)
    if all(path and isinstance(path[0], str) for path in paths):
        return [".".join(map(str, path)) for path in paths]
    names: list[str] = []
    for name in given:
        plain = name if name and not _AUTOMATIC.fullmatch(name) else "output"
        names.append(f"{plain}_{len(names)}" if plain in names else plain)
    return names


def _highest(model: Any) -> int:
    """The greatest id that all of the model's embeddings know."""
    sizes = [
        layer.input_dim
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Embedding)
    ]
    return min(sizes, default=2) - 1
