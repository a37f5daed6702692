"""A model as it is opened: from a file or a framework, with an engine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Any, Self

import numpy.typing as npt

from backtrace_onnx import rules
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.engines.prepared_model import PreparedModel, open_model
from backtrace_onnx.engines.running import Engine, check_choices
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.module_scopes import Written
from backtrace_onnx.inputs.given_inputs import read_inputs
from backtrace_onnx.model.class_labels import find_class_labels
from backtrace_onnx.model.digest import digest
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.model.loading import load
from backtrace_onnx.model.sessions import Runtime, find_providers
from backtrace_onnx.propagation.plan import OnUnsupported
from backtrace_onnx.results.support import Support, support_rows

_ = rules  # registers the rules


class OpenedModel:
    """A model that was opened to be explained, as `Explainer` says."""

    def __init__(
        self,
        model: ModelLike,
        *,
        engine: Engine = "numba",
        providers: Sequence[str] | None = None,
        libraries: Sequence[str] = (),
        on_unsupported: OnUnsupported = "error",
    ) -> None:
        check_choices(engine, on_unsupported)
        self.engine, self.on_unsupported = engine, on_unsupported
        runtime = Runtime(find_providers(providers), tuple(libraries))
        self._sessions = Sessions(runtime)
        self._loaded = load(model)
        self._path = os.fspath(model) if isinstance(model, str | os.PathLike) else None
        self._model = open_model(self._loaded, on_unsupported, runtime)

    @classmethod
    def from_torch(cls, module: Any, example: Any, **options: Any) -> Self:
        """Export a torch module and explain what was exported.

        `options` are those of `exporters.from_torch` and of Explainer. Raises ExportError.
        """
        from backtrace_onnx.exporters import from_torch
        from backtrace_onnx.exporters.temporary import explainer

        return explainer(cls, from_torch, options, module, example)

    @classmethod
    def from_keras(cls, model: Any, **options: Any) -> Self:
        """Export a Keras model and explain what was exported.

        `options` are those of `exporters.from_keras` and of Explainer. Raises ExportError.
        """
        from backtrace_onnx.exporters import from_keras
        from backtrace_onnx.exporters.temporary import explainer

        return explainer(cls, from_keras, options, model)

    def _behind(self, inputs: Any, tensors: Sequence[str]) -> Self:
        """The model behind tensors inside, as it runs on `inputs`: the tensors are its inputs."""
        made = copy(self)
        made._model = self._model.read(inputs)[0].behind(tensors)
        return made

    @property
    def graph(self) -> Graph:
        """The graph as the rules read it; control flow that depends on the inputs is one node."""
        return self._model.graph

    @cached_property
    def class_labels(self) -> tuple[str, ...]:
        """Names of the classes that the file tells, as a ZipMap does; () where it tells none."""
        return find_class_labels(self._loaded)

    @cached_property
    def _written(self) -> Written:
        return Written(self._loaded.proto)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What explanations tell of the model, and of how it was opened."""
        return {
            "path": self._path,
            "sha256": digest(self._loaded),
            "engine": self.engine,
            "on_unsupported": self.on_unsupported,
        }

    def _rows(self, given: Any, model: PreparedModel, sidecar: Any) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a background, by input of the model for all inputs."""
        return model.read(read_inputs(given, model.graph, None, sidecar).filled.feeds)[1]

    def support(self) -> list[Support]:
        """A row per node that relevance may meet, in the model's order."""
        return support_rows(self._loaded, self._model.plan)


__all__ = ["OpenedModel"]
