"""Reasons in people's own words as columns of a data set's results."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.comparison import OTHERS, Comparison, find_comparison
from backtrace_onnx.audit.data import Data
from backtrace_onnx.audit.features import find_features
from backtrace_onnx.audit.reason_texts import read_reasons
from backtrace_onnx.audit.reasons import find_reasons
from backtrace_onnx.audit.settings import AuditSettings
from backtrace_onnx.audit.subject import AuditedModel, Explained, join_explained
from backtrace_onnx.data.arrow import need_arrow
from backtrace_onnx.data.encoding import EncodedRows
from backtrace_onnx.data.explain_batches import ExplainBatches
from backtrace_onnx.errors import RequestError
from backtrace_onnx.propagation.mode_choice import AUTO
from backtrace_onnx.report.given_reasons import GivenReasons

Array = npt.NDArray[Any]


class ReasonColumns:
    """What `explain_dataset(..., more=...)` adds: each row's reasons against an outcome.

    Columns: `reason/denied`, `reason/untold`, and of the first to the last reason `reason/1` (its
    code), `reason/1_text`, `reason/1_features`, `reason/1_share` and `reason/1_confirmed`.

    Args:
        path: of the sentences, a .toml file. Raises InputError where it is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._texts = read_reasons(Path(path))
        self._sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        self._others: Mapping[str, Array] | None = None
        self._known: list[Explained] = []  # explanations of the others
        self._comparison: Comparison | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": []}

    @property
    def mode(self) -> str:
        """The mode of a run for which none is named: what compares."""
        return AUTO

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reasons compare with."""
        return () if self._comparison is None else (self._comparison.told,)

    def describe(self) -> dict[str, Any]:
        """What a manifest says of these columns."""
        return {"reasons": {"sha256": self._sha256}}

    def start(self, explain: ExplainBatches, encoded: Iterable[EncodedRows]) -> None:
        """Keep the first rows, and have all rows explained beside what reasons compare with.

        Raises RequestError for models whose samples lie otherwise, and where a row alone has
        nothing to be compared with.
        """
        if any(explain.axis(name) != 0 for name in explain.graph.inputs):
            raise RequestError("reasons take models whose samples lie along the first axis")
        parts, count = [], 0
        for some in encoded:
            if len(some.rows):
                parts.append(some)
                count += len(some.rows)
            if count >= OTHERS:
                break
        names = parts[0].feeds if parts else ()
        feeds = [part.feeds for part in parts]
        self._others = {n: np.concatenate([part[n] for part in feeds])[:OTHERS] for n in names}
        if parts:
            subject = _Rows(explain, {}, self._others, parts[0].names, [])
            self._comparison = find_comparison(subject)
            explain.ask(**self._comparison.options)

    def columns(self, explain: ExplainBatches, feeds: Mapping[str, Array], names: Any) -> Any:
        """Arrow columns by name, a row for each of the feeds."""
        if self._others is None:
            raise RequestError("reasons go with explain_dataset, which knows the other rows")
        subject = _Rows(explain, self._others, feeds, names, self._known)
        rows = np.arange(subject.others, subject.data.count)
        unknown = np.full(len(subject.features.names), np.nan)  # of a data set without rows
        comparison = self._comparison or Comparison({"mode": AUTO}, unknown, "")
        given = find_reasons(subject, self._texts, rows, subject.others or None, comparison)
        return _columns(given, self._texts.count)


class _Rows(AuditedModel):
    """Rows of a data set behind the others that they are compared with."""

    def __init__(
        self,
        explain: ExplainBatches,
        others: Mapping[str, Array],
        feeds: Mapping[str, Array],
        names: Mapping[str, tuple[str, ...]],
        known: list[Explained],
    ) -> None:
        self._known = known
        self.settings, self.sidecar, self.seed = AuditSettings(), explain.sidecar, 0
        self.compared = explain.asked
        self.explainer = explain.explainer
        samples = self.explainer.graph.samples
        shared = frozenset(name for name in feeds if samples.get(name) is None)
        whole = dict(feeds)
        if others:
            whole = {
                name: x if name in shared else np.concatenate([others[name], x])
                for name, x in feeds.items()
            }
        count = len(next(x for name, x in whole.items() if name not in shared))
        own = len(next(x for name, x in feeds.items() if name not in shared))
        self.others = count - own
        self.data = Data(whole, count, names, None, "", shared)
        self.features = find_features(self.data, self.sidecar)

    def explain(
        self,
        feeds: Mapping[str, Array],
        target: Array | None = None,
        of: Any = None,
        *,
        entries: bool = False,
    ) -> Explained:
        """The explanations of some rows; of all of them those of the others are made once."""
        if not self.others or feeds is not self.data.feeds:
            return super().explain(feeds, target, of, entries=entries)
        if not self._known:
            first = self._part(feeds, 0, self.others)
            self._known.append(super().explain(first, entries=entries))
        left = self._part(feeds, self.others, None)
        return join_explained([*self._known, super().explain(left, entries=entries)])

    def _part(self, feeds: Mapping[str, Array], first: int, end: int | None) -> dict[str, Array]:
        return {n: x if n in self.data.shared else x[first:end] for n, x in feeds.items()}


def _columns(given: list[GivenReasons], count: int) -> dict[str, Any]:
    pa = need_arrow()
    texts = pa.list_(pa.string())
    made = {"reason/denied": pa.array([one.denied for one in given], pa.bool_())}
    for i in range(count):
        own = [one.reasons[i] if i < len(one.reasons) else None for one in given]
        for name, kind, called in (
            ("code", pa.string(), f"reason/{i + 1}"),
            ("text", pa.string(), f"reason/{i + 1}_text"),
            ("features", texts, f"reason/{i + 1}_features"),
            ("share", pa.float64(), f"reason/{i + 1}_share"),
            ("confirmed", pa.bool_(), f"reason/{i + 1}_confirmed"),
        ):
            cells = [None if one is None else getattr(one, name) for one in own]
            made[called] = pa.array(cells, kind)
    return made | {"reason/untold": pa.array([list(one.untold) for one in given], texts)}


__all__ = ["ReasonColumns"]
