"""What reasons compare with: people are told why of something, and not of an input of zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.data import Data
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.baselines import (
    MOST,
    NamedBaseline,
    Reference,
    ReferenceReader,
    in_words,
)
from backtrace_onnx.inputs.columns import mean_present
from backtrace_onnx.inputs.tables import Feature, TableInput
from backtrace_onnx.policies import find_method
from backtrace_onnx.propagation.mode_choice import AUTO

Array = npt.NDArray[Any]
OTHERS = 1000
"""First rows of the data: they say what is usual, and others take their values."""
_OF_TREES = ("shap", "paths")  # compare with what trees expect before they ask anything
_MEANS = "the sidecar's means, and all categories alike"


@dataclass(frozen=True)
class Comparison:
    """What reasons compare with.

    Attributes:
        options: `mode`, `baseline` and `background`, as `Explainer.explain` takes them.
        usual: float64[features]: what is neither low nor high; NaN where nothing is known.
        told: the same as a sentence. warning: whether the mode counts from zero.
    """

    options: Mapping[str, Any]
    usual: Array
    told: str
    warning: bool = False

    def asked(self, subject: AuditedModel) -> AuditedModel:
        """The same model on the same rows, explained so."""
        made = copy(subject)
        made.settings = subject.settings.model_copy(update={"mode": self.options["mode"]})
        made.compared = {**subject.compared, **self.options}
        return made


def find_comparison(subject: AuditedModel) -> Comparison:
    """What is given to compare with; or else, of a table, what it or its sidecar has.

    That is where no mode is named, or one that takes a baseline. Networks are compared with the
    sidecar's means where it tells those of all columns that are numbers, else with the mean of the
    first OTHERS rows; trees with some of these rows, each by itself. Raises RequestError where a
    row alone has nothing to be compared with.
    """
    asked = {"mode": subject.settings.mode, **subject.compared}
    options = {name: asked.get(name) for name in ("mode", "baseline", "background")}
    if options["baseline"] is not None or options["background"] is not None:
        return _given(subject, options)
    mode: Any = options["mode"]
    named = mode if mode != AUTO else subject.explain(_rows(subject, 1)).first.mode
    if not _is_table(subject):
        return _alone(subject, options, named)
    if named in _OF_TREES and _has_trees(subject):
        return _of_trees(subject, options, named)
    if mode != AUTO and "baseline" not in _takes(mode):
        return _alone(subject, options, named)
    if named == "default":  # an operator without a slope: no mode compares
        return _alone(subject, options, named)
    return _with_mean(subject, options)


def _given(subject: AuditedModel, options: dict[str, Any]) -> Comparison:
    graph, feeds = subject.explainer.graph, _rows(subject, 1)
    reader = ReferenceReader(graph, subject.sidecar, feeds)
    mode, baseline, background = options.values()
    if baseline is not None:
        found = reader.baselines(baseline, background)
    elif mode == AUTO:
        found = reader.baselines("rows", background)
    elif "baseline" in _takes(mode):
        found = reader.baselines("mean", background)
    else:
        found = reader.background(background)
    return Comparison(options, _usual(subject, found), _told(in_words(found)))


def _with_mean(subject: AuditedModel, options: dict[str, Any]) -> Comparison:
    means, words = _sidecar_means(subject), _MEANS
    if means is None:
        count = min(subject.data.count, OTHERS)
        if count < 2:
            raise RequestError(
                "reasons compare with something, and a row alone has nothing: give a background "
                "or a baseline (--background, --baseline), means in the sidecar, more rows, or a "
                "mode that counts from zero (lrp)"
            )
        means, words = _row_means(subject), f"the mean of {_some(subject, count)}"
    reader = ReferenceReader(subject.explainer.graph, subject.sidecar, _rows(subject, 1))
    named = NamedBaseline(means, words)
    found = reader.baselines(named, None)
    return Comparison({**options, "baseline": named}, _usual(subject, found), _told(words))


def _of_trees(subject: AuditedModel, options: dict[str, Any], named: str) -> Comparison:
    count = min(subject.data.count, OTHERS)
    if options["mode"] != AUTO or count < 2:
        return _alone(subject, options, named)
    at = sorted({round(i) for i in np.linspace(0, count - 1, min(count, MOST))})
    rows = subject.data.rows(np.array(at))
    reader = ReferenceReader(subject.explainer.graph, subject.sidecar, _rows(subject, 1))
    found = reader.background(rows)
    told = _told(f"{len(at)} of {_some(subject, count)}, each by itself")
    return Comparison({**options, "background": rows}, _usual(subject, found), told)


def _alone(subject: AuditedModel, options: dict[str, Any], named: str) -> Comparison:
    """A mode that is given nothing to compare with."""
    usual, words = _usual(subject, ()), _beside(subject)
    if named in _OF_TREES and _has_trees(subject):
        return Comparison(options, usual, f"reasons compare with what the trees expect; {words}")
    if _takes(named):  # pictures, with themselves blurred
        return Comparison(options, usual, f"reasons compare as mode {named} does; {words}")
    told = (
        f"mode {named} compares with nothing: reasons count from zero, and may name what is "
        f"usual; deeplift and shap compare; {words}"
    )
    return Comparison(options, usual, told, warning=True)


def _beside(subject: AuditedModel) -> str:
    count = min(subject.data.count, OTHERS)
    median = f"the median of {_some(subject, count)}" if count > 1 else "nothing: it is one row"
    columns = [column for column in _columns(subject) if column and not column.categories]
    told = [_is_told(column) for column in columns]
    if told and all(told):
        median = "the sidecar's means"
    elif any(told):
        median = f"the sidecar's means, and where it tells none {median}"
    return f"low and high are beside {median}"


def _told(words: str) -> str:
    return f"reasons, and what is low or high, compare with {words}"


def _some(subject: AuditedModel, count: int) -> str:
    return f"the first {count} rows" if subject.data.count > count else f"the {count} rows"


def _takes(mode: Any) -> tuple[str, ...]:
    """What a mode can be given to compare with."""
    method = find_method(mode)
    if method.walks is not None:
        return method.walks.takes
    return ("baseline", "background") if method.compares else ()


def _rows(subject: AuditedModel, count: int) -> dict[str, Array]:
    return subject.data.rows(np.arange(min(count, subject.data.count)))


def _is_table(subject: AuditedModel) -> bool:
    """Whether all inputs hold, of every sample, one value or a row of them."""
    return all(subject.data.feeds[name].ndim <= 2 for name in subject.features.owner)


def _has_trees(subject: AuditedModel) -> bool:
    return any("TreeEnsemble" in node.op_type for node in subject.explainer.graph.nodes)


def _row_means(subject: AuditedModel) -> dict[str, Array]:
    """Of every input of floats the mean of the first rows, without values that are missing."""
    feeds = {name: subject.data.feeds[name][:OTHERS] for name in subject.features.owner}
    return {
        name: np.nan_to_num(mean_present(x), nan=0.0).astype(x.dtype)
        for name, x in feeds.items()
        if x.dtype.kind == "f"
    }


def _sidecar_means(subject: AuditedModel) -> dict[str, Array] | None:
    """Of every input what the sidecar's means are there; None where it does not tell all."""
    columns = _columns(subject)
    numbers = [column for column in columns if column is None or not column.categories]
    if not numbers or not all(column and _is_told(column) for column in numbers):
        return None
    made = {}
    for name, owner in subject.features.owner.items():
        own = [columns[i] for i in dict.fromkeys(owner.tolist())]
        slots = [np.full(c.width, 1 / c.width if c.categories else 0.0) for c in own if c]
        x = subject.data.feeds[name]
        made[name] = np.concatenate(slots).astype(x.dtype).reshape(x.shape[1:])
    return made


def _columns(subject: AuditedModel) -> list[Feature | None]:
    """By feature the sidecar's column; None where it has none."""
    found: list[Feature | None] = [None] * len(subject.features.names)
    for name, owner in subject.features.owner.items():
        entry = subject.sidecar.inputs.get(name) if subject.sidecar else None
        if isinstance(entry, TableInput):
            for at, column in enumerate(entry.features):
                found[int(owner[0]) + at] = column
    return found


def _is_told(column: Feature) -> bool:
    return (column.mean, column.std) != (0.0, 1.0)


def _usual(subject: AuditedModel, references: Sequence[Reference]) -> Array:
    """Of the references the median; of none the sidecar's mean, or else the first rows' median."""
    data, names = subject.data, subject.features.owner
    if references:
        feeds = {n: np.concatenate([one.arrays[n] for one in references]) for n in names}
        data = Data({**subject.data.feeds, **feeds}, len(references), {}, None, "", data.shared)
    else:
        count = min(data.count, OTHERS)
        data = Data(data.rows(np.arange(count)), count, {}, None, "", data.shared)
    made = np.full(len(subject.features.names), np.nan)
    for i, column in enumerate(_columns(subject)):
        values = subject.features.values(i, data)
        if not references and column and not column.categories and _is_told(column):
            made[i] = 0.0
        elif values.dtype.kind in "fiub" and not np.isnan(values.astype(float)).all():
            made[i] = float(np.nanmedian(values))
    return made


__all__ = ["OTHERS", "Comparison", "find_comparison"]
