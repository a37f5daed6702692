"""Explainers of models that are exported to a temporary file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backtrace_onnx.explainer import Explainer


def explainer(
    kind: type[Explainer], export: Callable[..., Any], options: Mapping[str, Any]
) -> Explainer:
    """An explainer of what `export(path, ...)` writes; its file lives as long as the explainer.

    Options that Explainer does not take go to the exporter.
    """
    known = inspect.signature(kind.__init__).parameters.keys() - {"self", "model"}
    own = {name: value for name, value in options.items() if name in known}
    folder = TemporaryDirectory(prefix="backtrace-onnx-", ignore_cleanup_errors=True)
    path = Path(folder.name) / "model.onnx"
    export(path, **{name: value for name, value in options.items() if name not in known})
    made = kind(path, **own)
    made.exported = folder  # its weights may be read from there later
    return made
