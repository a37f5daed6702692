"""One signature of a SavedModel."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters import writing
from backtrace_onnx.exporters.comparing import Array, Feeds
from backtrace_onnx.exporters.quiet import quiet
from backtrace_onnx.exporters.tf_graphs import TensorFunction, draw, named
from backtrace_onnx.model.sessions import first_line


class Signature:
    """A function of a SavedModel, with named inputs and outputs.

    Raises ExportError where the folder holds no SavedModel, or it has no such signature.
    """

    def __init__(self, folder: Path, name: str, example: Any) -> None:
        if not (folder / "saved_model.pb").is_file():
            raise ExportError(f"{folder}: holds no SavedModel (there is no saved_model.pb in it)")
        try:
            with quiet(logging.ERROR):
                self._loaded = _loaded(folder)
        except Exception as error:  # TensorFlow raises many types
            raise ExportError(f"{folder}: cannot be loaded: {first_line(error)}") from None
        signatures = self._loaded.signatures
        if name not in signatures:
            raise ExportError(
                f"{folder}: there is no signature {name!r}; there are: "
                f"{', '.join(signatures) or 'none (save it again with signatures)'}"
            )
        self._function = signatures[name]
        found = self._function.structured_input_signature[1]
        self.specs = [tf.TensorSpec(s.shape, s.dtype, name=key) for key, s in found.items()]
        self.outputs = list(self._function.structured_outputs)
        self.feeds: Feeds = draw(self.specs) if example is None else named(example, self.specs)
        parts = (*getattr(self._loaded, "variables", ()), *self._function.variables)
        variables = {id(v): v for v in parts}.values()
        size = sum(v.dtype.size * int(np.prod(v.shape.as_list())) for v in variables)
        self.large = size > writing.EMBEDDED_BYTES

    def graph(self) -> TensorFunction:
        """The signature as a function of flat tensors."""
        names = [spec.name for spec in self.specs]

        def call(*tensors: tf.Tensor) -> list[tf.Tensor]:
            found = self._function(**dict(zip(names, tensors, strict=True)))
            return [found[name] for name in self.outputs]

        return TensorFunction(call, self.specs, self.outputs)

    def run(self, feeds: Feeds) -> list[Array]:
        """What the signature answers."""
        found = self._function(**{name: tf.constant(x) for name, x in feeds.items()})
        return [found[name].numpy() for name in self.outputs]


def _loaded(folder: Path) -> Any:
    """The object in the folder; without its optimiser's slots where that keeps it from loading.

    Older Keras saved optimisers of classes that TensorFlow no longer has.
    """
    try:
        return tf.saved_model.load(str(folder))
    except AttributeError:
        with TemporaryDirectory() as place:
            _without_slots(folder, Path(place))
            return tf.saved_model.load(place)


def _without_slots(folder: Path, place: Path) -> None:
    """Lay out a copy whose objects have no slot variables."""
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    for graph in proto.meta_graphs:
        for node in graph.object_graph_def.nodes:
            del node.slot_variables[:]
    (place / "saved_model.pb").write_bytes(proto.SerializeToString())
    for part in ("variables", "assets"):
        if (folder / part).is_dir():
            shutil.copytree(folder / part, place / part)
