"""Explainers of models that are exported to a temporary file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, TypeVar
from weakref import finalize

Made = TypeVar("Made")


def explainer(
    kind: Callable[..., Made],
    export: Callable[..., Any],
    options: Mapping[str, Any],
    *exported: Any,
) -> Made:
    """An explainer of what `export(*exported, path, ...)` writes, a file that lives as long as it.

    `kind` is the class of explainers, named by who calls: exporters know no explainer. Options
    that it does not take go to the exporter.
    """
    known = inspect.signature(kind).parameters.keys() - {"model"}
    own = {name: value for name, value in options.items() if name in known}
    folder = Path(mkdtemp(prefix="backtrace-onnx-"))
    try:
        path = folder / "model.onnx"
        export(
            *exported, path, **{name: value for name, value in options.items() if name not in known}
        )
        made = kind(path, **own)
    except BaseException:
        rmtree(folder, ignore_errors=True)
        raise
    finalize(made, rmtree, folder, ignore_errors=True)  # weights may be read from there later
    return made
