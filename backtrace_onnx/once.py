"""Explaining or compiling a model in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Unpack, overload

from backtrace_onnx.call_arguments import (
    CompileKeywords,
    ExplainKeywords,
    takes_compile_arguments,
    takes_explain_arguments,
)
from backtrace_onnx.engines.outcome import Progress
from backtrace_onnx.engines.running import Engine
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation, Explanations
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.propagation.plan import OnUnsupported
from backtrace_onnx.targets.tensor_choice import Targets


@overload
def explain(
    model: ModelLike,
    inputs: Any,
    *,
    engine: Engine = "numba",
    providers: Sequence[str] | None = None,
    libraries: Sequence[str] = (),
    on_unsupported: OnUnsupported = "error",
    targets: None = None,
    progress: Progress | None = None,
    **arguments: Unpack[ExplainKeywords],
) -> Explanation: ...


@overload
def explain(
    model: ModelLike,
    inputs: Any,
    *,
    engine: Engine = "numba",
    providers: Sequence[str] | None = None,
    libraries: Sequence[str] = (),
    on_unsupported: OnUnsupported = "error",
    targets: Targets,
    progress: Progress | None = None,
    **arguments: Unpack[ExplainKeywords],
) -> Explanations: ...


@takes_explain_arguments
def explain(
    model: ModelLike,
    inputs: Any,
    *,
    engine: Engine = "numba",
    providers: Sequence[str] | None = None,
    libraries: Sequence[str] = (),
    on_unsupported: OnUnsupported = "error",
    targets: Targets | None = None,
    progress: Progress | None = None,
    **arguments: Unpack[ExplainKeywords],
) -> Explanation | Explanations:
    """Explain once: `Explainer(model, ...).explain(inputs, ...)`.

    Args:
        model: path, bytes or ModelProto of an .onnx model.
        inputs: as `Explainer.explain` takes them.
        engine, providers, libraries, on_unsupported: as `Explainer` takes them.
        targets, progress: as `Explainer.explain` takes them.

    Raises:
        BacktraceError: what `Explainer` and `Explainer.explain` raise.
    """
    made = Explainer(
        model,
        engine=engine,
        providers=providers,
        libraries=libraries,
        on_unsupported=on_unsupported,
    )
    found: Explanation | Explanations = made.explain(
        inputs, targets=targets, progress=progress, **arguments
    )
    return found


@takes_compile_arguments
def compile(
    model: ModelLike,
    path: str | os.PathLike[str],
    *,
    on_unsupported: OnUnsupported = "error",
    **arguments: Unpack[CompileKeywords],
) -> tuple[Note, ...]:
    """Write prediction and explanation as one ONNX model: `Explainer(model).compile(path, ...)`.

    `Explainer.compile` describes the file's inputs and outputs.

    Args:
        model: path, bytes or ModelProto of an .onnx model.
        path: file to write.
        on_unsupported: as `Explainer` takes it.

    Raises:
        BacktraceError: what `Explainer` and `Explainer.compile` raise.
    """
    return Explainer(model, on_unsupported=on_unsupported).compile(path, **arguments)


__all__ = ["compile", "explain"]
