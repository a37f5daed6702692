"""What the command `compile` does: write the file, and tell what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from backtrace_onnx.explainer import Explainer
from backtrace_onnx.graph import TensorType
from backtrace_onnx.inputs import spell
from backtrace_onnx.report.explaining import find_sidecar, output_meaning


def compiled(
    model: Path,
    file: Path,
    sidecar: Path | None,
    *,
    mode: str,
    output: str | None,
    task: str | None,
    scaler: float | None,
    threshold: float | None,
    tensors: tuple[str, ...],
) -> list[str]:
    """Compile a model and return what to tell about the file. Raises BacktraceError."""
    explainer = Explainer(model)
    meaning = output_meaning(find_sidecar(model, sidecar), explainer.graph, output)
    limit = threshold if threshold is not None else meaning.threshold
    explainer.compile(
        file,
        mode=mode,
        output=output,
        task=task or meaning.task,
        tensors=list(tensors) or None,
        scaler=scaler,
        threshold=0.5 if limit is None else limit,
    )
    return [f"wrote {file}", *_interface(file)]


def _interface(file: Path) -> list[str]:
    graph = onnx.load_model(file, load_external_data=False).graph
    # Old files list weights as inputs; `target` is the one input that has a default.
    stored = {tensor.name for tensor in graph.initializer} - {"target"}
    lines = [f"  input {_spelled(value)}" for value in graph.input if value.name not in stored]
    return lines + [f"  output {_spelled(value)}" for value in graph.output]


def _spelled(value: Any) -> str:
    tensor = value.type.tensor_type
    dims = [
        d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in tensor.shape.dim
    ]
    shape = tuple(dims) if tensor.HasField("shape") else None
    return f"{value.name} {spell(TensorType(tensor.elem_type, shape))}"
