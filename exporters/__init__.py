"""From a framework's model to an .onnx file: a module, an estimator or a file enters.

An `Exported` leaves, whose file answered like the framework on every trial.
It never knows relevance.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backtrace_onnx.exporters.exported import Check, Exported, ExportWarning
    from backtrace_onnx.exporters.pytorch import from_torch
    from backtrace_onnx.exporters.sklearn import from_sklearn
    from backtrace_onnx.exporters.tensorflow import from_keras, from_saved_model, from_tflite
    from backtrace_onnx.exporters.transformers import from_transformers

_HOME = {
    "Check": "exported",
    "ExportWarning": "exported",
    "Exported": "exported",
    "from_keras": "tensorflow",
    "from_saved_model": "tensorflow",
    "from_sklearn": "sklearn",
    "from_tflite": "tensorflow",
    "from_torch": "pytorch",
    "from_transformers": "transformers",
}

__all__ = [
    "Check",
    "ExportWarning",
    "Exported",
    "from_keras",
    "from_saved_model",
    "from_sklearn",
    "from_tflite",
    "from_torch",
    "from_transformers",
]


def __getattr__(name: str) -> Any:
    """Import on first use; a framework is imported only when its exporter is called."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
