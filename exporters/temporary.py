"""Explainers of models that are exported to a temporary file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any
from weakref import finalize

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
    folder = Path(mkdtemp(prefix="backtrace-onnx-"))
    try:
        path = folder / "model.onnx"
        export(path, **{name: value for name, value in options.items() if name not in known})
        made = kind(path, **own)
    except BaseException:
        rmtree(folder, ignore_errors=True)
        raise
    finalize(made, rmtree, folder, ignore_errors=True)  # weights may be read from there later
    return made
