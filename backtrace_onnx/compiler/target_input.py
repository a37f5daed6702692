"""How a compiled file is told what to explain: by an input, or once and for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Shape
from backtrace_onnx.targets.checking import find_target
from backtrace_onnx.targets.entries import TASKS
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[np.int64]
TARGET = "target"
PAIRS = frozenset({"generation"})  # tasks whose targets are several pairs per sample
_CHOICES = (
    'compile takes target="optional", "required", "several", None, or one entry of the output'
)


@dataclass(frozen=True)
class TargetInput:
    """Whether `target` is an input of the file, and what it is otherwise.

    Attributes:
        optional: of an input: whether it may be left out.
        several: of an input: whether it holds several targets, of which each has an explanation.
        fixed: no input: the target of every sample, an index or one per axis; () for the one that
            is explained where nothing is asked for.
    """

    optional: bool = True
    fixed: tuple[int, ...] | None = None
    several: bool = False

    @classmethod
    def of(cls, target: Any) -> TargetInput:
        """What the argument `target` of `compile` says. Raises RequestError."""
        if isinstance(target, str):
            if target not in ("optional", "required", "several"):
                raise RequestError(f"{_CHOICES}; got {target!r}")
            return cls(target == "optional", several=target == "several")
        if target is None:
            return cls(fixed=())
        index = target if isinstance(target, tuple) else (target,)
        if not index or not all(_is_whole(i) for i in index):
            raise RequestError(f"{_CHOICES}; got {target!r}")
        return cls(fixed=tuple(int(i) for i in index))

    def constant(
        self, task: str, shape: Shape | None, sample_axis: int | None, *, binary: TwoClasses = ""
    ) -> Array:
        """The fixed target as `start_text` reads it. Raises RequestError where it cannot fit."""
        assert self.fixed is not None
        if not self.fixed:
            return largest(task)
        if task == "segmentation":
            raise RequestError("segmentation explains what is over the threshold; target is None")
        if task in TASKS:
            return self._entry()
        own = [n for axis, n in enumerate(shape or ()) if axis != sample_axis]
        asked = self.fixed[0] if len(self.fixed) == 1 else self.fixed
        if not all(isinstance(n, int) for n in own) or shape is None:
            return self._unchecked(task, shape)
        y = np.zeros((1, *(int(n) for n in own if n is not None)))
        found = find_target(asked, y, task, binary=binary)
        assert found is not None
        return self._unchecked(task, shape) if task in PAIRS else found

    def _entry(self) -> Array:
        """A box or step, and its class; what is left open is the best one."""
        assert self.fixed is not None
        if len(self.fixed) > 2 or min(self.fixed) < -1:
            raise RequestError(
                f"target is a box or step, or a pair with its class; not {self.fixed}"
            )
        return np.array([(*self.fixed, -1)[:2]], np.int64)

    def _unchecked(self, task: str, shape: Shape | None) -> Array:
        """A target of an output whose size is known only when it runs."""
        assert self.fixed is not None
        if task in PAIRS and len(self.fixed) < 3:
            return np.array([(-1, *self.fixed)[-2:]], np.int64).reshape(1, 1, 2)
        if len(self.fixed) == 1 and self.fixed[0] >= 0:
            return np.array(self.fixed, np.int64)
        raise RequestError(
            f"target {self.fixed} cannot be compiled for an output of shape {shape}: where its "
            'entries lie is known only when it runs; use target="required"'
        )


OPTIONAL = TargetInput()


def takes_start(start: Any, target: TargetInput, task: str | None, scaler: float | None) -> bool:
    """Whether the file takes relevance to start from, as the argument `start` of `compile` says.

    Raises RequestError where it says nothing that is known, or is given beside what it replaces.
    """
    if isinstance(start, str) and start != "probability":
        raise RequestError(f'start is True, False or "probability", not {start!r}')
    own = start is True
    if own and (task is not None or scaler is not None or target != OPTIONAL):
        raise RequestError("give either start, or task, target and scaler")
    return own


def target_dims(task: str) -> list[str | int]:
    """Shape of the input `target`: one entry per sample, or one for all."""
    if task in TASKS:
        return ["targets", 2]
    return ["targets", "positions", 2] if task in PAIRS else ["targets"]


def largest(task: str) -> Array:
    """The target that leaves all open: -1 everywhere, for the largest or the best."""
    shape = (1, 2) if task in TASKS else (1, 1, 2) if task in PAIRS else (1,)
    return np.full(shape, -1, np.int64)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
