"""What an evaluation is told: a value that can be sent to other processes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from backtrace_onnx.data.given_batches import is_given
from backtrace_onnx.data.option_names import OPENING, check_options
from backtrace_onnx.data.reading import Data
from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.catalogue import DEFAULT, LOCALISATION
from backtrace_onnx.evaluation.reading import Effort
from backtrace_onnx.evaluation.subject import EvaluatedQuestion
from backtrace_onnx.evaluation.summary import RANDOM
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.path_arguments import path_of, texts_of
from backtrace_onnx.inputs.sidecar import Sidecar, opened
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.policies import find_method

ALL = "all"
"""In place of a number of rows."""
_EFFORT = ("sets", "steps", "draws")
_KEPT = ("labels", "ids", "groups")
_OPENING = (*OPENING, "tokenizer")
_CALLED = ("modes", "metrics", "rows", "out", "resume", "skip_bad", "workers", "progress")
_ASKED = ("output", "target", "baseline", "background")
_REFUSED = ("targets", "keep", "start", "through", "mode")


@dataclass(frozen=True)
class EvaluationSettings:
    """What an evaluation is told.

    Attributes:
        rows: how many are drawn; None: all. masks: a file or folder of what should matter.
        opening: options of `EvaluatedModel`.
    """

    model: ModelLike
    data: Data
    modes: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: int | None
    skip_bad: bool
    effort: Effort
    asked: EvaluatedQuestion
    replace: Any = "auto"
    square: int | None = None
    masks: str | None = None
    opening: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        model: ModelLike,
        data: Data,
        modes: str | Sequence[str],
        metrics: str | Sequence[str],
        *,
        rows: int | str | None,
        skip_bad: bool,
        seed: int,
        options: Mapping[str, Any],
    ) -> EvaluationSettings:
        """The settings of a call of `evaluate`. Raises RequestError for what does not fit."""
        own = (*_EFFORT, *_KEPT, *_CALLED, *_REFUSED, "square", "replace", "masks")
        check_options(options, own)
        for name in _REFUSED:
            if options.get(name) is not None:
                raise RequestError(f"{name} does not go with an evaluation of modes")
        rest = {name: value for name, value in options.items() if value is not None}
        effort = _taken(rest, _EFFORT)
        square, replace = rest.pop("square", None), rest.pop("replace", "auto")
        masks = rest.pop("masks", None)
        masks = None if masks is None else str(path_of(masks, "masks"))
        most: Any = None if rows == ALL else rows
        _check_numbers({"rows": most, "square": square}, effort)
        check_number("seed", seed, 0)
        kept = KeptColumns.named(**_taken(rest, _KEPT))
        meaning = _meaning(model, rest.pop("sidecar", None))
        opening = {**_taken(rest, _OPENING), "sidecar": meaning, "kept": kept}
        asked = EvaluatedQuestion(**_taken(rest, _ASKED), explaining=rest)
        sent = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
        listed = data if is_given(data) else texts_of(data, "data")
        asked_for = with_localisation(texts_of(metrics, "metrics"), masks)
        how = (most, skip_bad, Effort(**effort, seed=seed), asked, replace, square, masks, opening)
        return cls(sent, listed, check_modes(texts_of(modes, "modes")), asked_for, *how)


def with_localisation(metrics: Sequence[str], masks: str | None) -> tuple[str, ...]:
    """The metrics asked for; where masks are given and no metric, those of masks besides.

    Raises RequestError for masks that no metric needs.
    """
    if masks is None:
        return tuple(metrics)
    if metrics and not set(metrics) & set(LOCALISATION):
        raise RequestError(f"masks are for the metrics {' and '.join(LOCALISATION)}; name one")
    return tuple(metrics) or (*DEFAULT, *LOCALISATION)


def check_modes(modes: Sequence[str]) -> tuple[str, ...]:
    """Modes, each once. Raises RequestError for one that is none, and where none can be ranked."""
    for mode in modes:
        if mode not in ("auto", RANDOM):
            find_method(mode)
    found = tuple(dict.fromkeys(modes))
    if not set(found) - {RANDOM}:
        raise RequestError(f"name a mode to evaluate; {RANDOM!r} is what it is compared with")
    return found


def check_number(name: str, value: Any, least: int = 1) -> None:
    """Raise RequestError for what is no whole number, or too small."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RequestError(f"{name} is a number, at least {least}, not {value!r}")


def _check_numbers(open_ones: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    for name, value in {**open_ones, **others}.items():
        if value is not None or name not in open_ones:
            check_number(name, value, 2 if name == "sets" else 1)


def _taken(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Some of the options, taken out."""
    return {name: options.pop(name) for name in names if name in options}


def _meaning(model: ModelLike, sidecar: Any) -> Sidecar | None:
    found = opened(sidecar)
    if found is None and isinstance(model, str | os.PathLike):
        return Sidecar.beside(model)
    return found


__all__ = ["EvaluationSettings", "check_modes", "check_number"]
