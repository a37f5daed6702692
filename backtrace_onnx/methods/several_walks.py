"""Methods made of several walks of `gradient` by name and parameters: `smoothgrad(noise=0.2)`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.methods.calls import read_call
from backtrace_onnx.methods.named import METHODS
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.walks import (
    ExpectedGradients,
    GradCam,
    IntegratedGradients,
    SmoothGrad,
    TreeShap,
    Walks,
)

SEVERAL: dict[str, type[Walks]] = {
    "integrated_gradients": IntegratedGradients,
    "smoothgrad": SmoothGrad,
    "expected_gradients": ExpectedGradients,
    "gradcam": GradCam,
    "shap": TreeShap,
}


def find_several(mode: Any, given: Mapping[str, Any]) -> Method | None:
    """The method of a mode that is made of several walks; None for every other mode.

    Args:
        mode: its name, perhaps with parameters: "integrated_gradients(steps=32)".
        given: parameters by name, which must not be in the mode as well.

    Raises RequestError for parameters that it does not take, or that are not what they must be.
    """
    call = read_call(mode) if isinstance(mode, str) else None
    if call is None or call[0] not in SEVERAL:
        return None
    kind, written = SEVERAL[call[0]], _written(mode, call[1])
    for name in written.keys() & given.keys():
        raise RequestError(f"mode {mode!r}: {name} is given twice")
    parameters = {**written, **given}
    known = [field.name for field in fields(kind)]
    for name, value in parameters.items():
        if name not in known:
            raise no_parameter(mode, name, known)
        _check(mode, name, value)
    made = kind(**parameters)
    reported = METHODS["gradient"].reported if kind is SmoothGrad else "relevance"
    return replace(METHODS["gradient"], name=mode, reported=reported, walks=made)


def no_parameter(mode: Any, name: str, known: list[str]) -> RequestError:
    """That a mode takes no parameter of that name."""
    takes = f"it takes {', '.join(known)}" if known else "it takes none"
    close = find_alike(name, known, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return RequestError(f"mode {mode!r} takes no parameter {name!r}; {takes}{hint}")


def _written(mode: str, parts: list[tuple[str, str]]) -> dict[str, Any]:
    """The parameters that a mode has in parentheses: numbers and words."""
    if not all(key and value for key, value in parts):
        raise RequestError(f"mode {mode!r}: parameters are name=value, as in (samples=64, seed=1)")
    return {key: _value(key, value) for key, value in parts}


def _value(name: str, text: str) -> Any:
    for read in () if name == "tensor" else (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text.strip("'\"")


def _check(mode: str, name: str, value: Any) -> None:
    fits, what = _PARAMETERS[name]
    if not fits(value):
        raise RequestError(f"mode {mode!r}: {name} is {what}, not {value!r}")


def _is_count(value: Any, least: int) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return bool(whole and value >= least)


def _is_share(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(number and 0 < value < math.inf)


_PARAMETERS: dict[str, tuple[Any, str]] = {
    "steps": (lambda n: n is None or _is_count(n, 1), "a number of points from 1 on"),
    "samples": (lambda n: _is_count(n, 1), "a number of draws from 1 on"),
    "seed": (lambda n: _is_count(n, 0), "a whole number from 0 on"),
    "noise": (_is_share, "a positive number, in parts of an input's range"),
    "perturbation": (
        lambda kind: kind in (None, "path", "background"),
        '"path" or "background"',
    ),
    "tensor": (lambda name: name is None or isinstance(name, str), "the name of a tensor"),
}
