"""Several entries of one output that are asked for at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backtrace_onnx.errors import RequestError
from backtrace_onnx.targets.explained_output import ExplainedOutput
from backtrace_onnx.targets.start import StartSettings

ALL = "all"
_KINDS = 'targets is a list of what target takes, or "all"'
_NAMED = frozenset({"classification", "regression", "bbox"})  # tasks whose entries "all" means


def check_targets(targets: Any, explained: ExplainedOutput) -> list[Any]:
    """The targets, each as `target` of `Explainer.explain`; "all": every entry of the output.

    Of an entry that stands for two classes these are both. Raises RequestError where there is none,
    or where "all" is not to be had.
    """
    if isinstance(targets, str):
        if targets != ALL:
            raise RequestError(f"{_KINDS}, not {targets!r}")
        return list(range(_count(explained)))
    if not isinstance(targets, Sequence | np.ndarray) or not len(targets):
        raise RequestError(f"{_KINDS}, not {targets!r}")
    return list(targets)


def _count(explained: ExplainedOutput) -> int:
    """How many entries a sample of the output has, or classes where its one stands for two."""
    task, rows = explained.question.task, explained.rows
    if task not in _NAMED:
        raise RequestError(
            f"targets='all' is for classes and numbers, not for task {task!r}; list the targets"
        )
    how = explained.site.options(StartSettings(), alone=rows[0].size == 1, raises=False)
    return 2 if how.binary else int(rows[0].size)


__all__ = ["ALL", "check_targets"]
