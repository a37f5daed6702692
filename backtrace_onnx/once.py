"""Explaining or compiling a model in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, overload

from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation, Explanations
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.propagation.plan import OnUnsupported
from backtrace_onnx.targets.tensor_choice import Targets


@overload
def explain(
    model: ModelLike, inputs: Any, *, targets: None = None, **options: Any
) -> Explanation: ...


@overload
def explain(model: ModelLike, inputs: Any, *, targets: Targets, **options: Any) -> Explanations: ...


def explain(
    model: ModelLike,
    inputs: Any,
    *,
    engine: Literal["numba", "onnxruntime"] = "numba",
    providers: Sequence[str] | None = None,
    libraries: Sequence[str] = (),
    on_unsupported: OnUnsupported = "error",
    targets: Targets | None = None,
    **options: Any,
) -> Explanation | Explanations:
    """Explain once: `Explainer(model, ...).explain(inputs, ...)`."""
    made = Explainer(
        model,
        engine=engine,
        providers=providers,
        libraries=libraries,
        on_unsupported=on_unsupported,
    )
    found: Explanation | Explanations = made.explain(inputs, targets=targets, **options)
    return found


def compile(
    model: ModelLike,
    path: str | os.PathLike[str],
    *,
    on_unsupported: OnUnsupported = "error",
    **options: Any,
) -> None:
    """Write prediction and explanation as one ONNX model: `Explainer(model).compile(path, ...)`.

    `options` are those of `Explainer.compile`, where the file's inputs and outputs are described.
    """
    Explainer(model, on_unsupported=on_unsupported).compile(path, **options)


__all__ = ["compile", "explain"]
