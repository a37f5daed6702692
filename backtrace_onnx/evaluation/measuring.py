"""Measures rows, one after the other: every mode's explanation by every metric."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import BacktraceError, RequestError
from backtrace_onnx.evaluation.catalogue import LOCALISATION, Metric, find_metrics, number
from backtrace_onnx.evaluation.data_rows import DataRow, DataRows
from backtrace_onnx.evaluation.journal import JournalEntry
from backtrace_onnx.evaluation.mask_files import MaskFiles
from backtrace_onnx.evaluation.masks import Masks
from backtrace_onnx.evaluation.parts import PartsChooser
from backtrace_onnx.evaluation.randomised import RandomisedModel
from backtrace_onnx.evaluation.reading import MeasuredRow, Reading
from backtrace_onnx.evaluation.sample_view import SampleView
from backtrace_onnx.evaluation.settings import EvaluationSettings
from backtrace_onnx.evaluation.subject import EvaluatedModel
from backtrace_onnx.evaluation.summary import RANDOM
from backtrace_onnx.explanation import Explanation

Array = npt.NDArray[Any]
_BACKGROUND = 100


class Measurer:
    """An opened model and the rows that are drawn. Raises BacktraceError."""

    def __init__(self, settings: EvaluationSettings) -> None:
        self.settings = settings
        self.metrics: list[Metric] = find_metrics(settings.metrics)
        self.subject = EvaluatedModel(settings.model, asked=settings.asked, **settings.opening)
        self.rows = DataRows(
            settings.data,
            self.subject.encoder,
            most=settings.rows,
            seed=settings.effort.seed,
            skip_bad=settings.skip_bad,
        )
        some = islice(self.rows.rows(), _BACKGROUND)
        views = [
            self.subject.view(row.feeds) for row in some if row is not None and self._fits(row)
        ]
        self.rows.bad.clear()
        self.parts = PartsChooser(
            self.subject.sidecar, settings.replace, settings.square, views, self.subject.ids
        )
        self.localises = any(metric.name in LOCALISATION for metric in self.metrics)
        self.mask_files = MaskFiles(settings.masks, self.rows.pictures)
        self._masks = Masks(self.mask_files, self.subject.sidecar, self.rows.there)
        self._randomised = RandomisedModel(settings)
        self._prepared: set[str] = set()  # modes that have explained a row

    def measure(self, number: int, modes: Sequence[str]) -> Iterator[JournalEntry]:
        """What is measured of one row, mode by mode; nothing of a row that cannot be read."""
        row = self.rows.row(number)
        if row is None:
            return
        made: dict[str, tuple[Explanation, float] | BacktraceError] = {}
        for mode in self.settings.modes:
            if mode != RANDOM and (mode in modes or not _some(made)):
                made[mode] = self._explained(row, mode)
        answer = _some(made)
        if answer is None:
            why = next(str(error) for error in made.values())
            told = {m: str(made[m]) if m in made else f"no mode explains it: {why}" for m in modes}
            yield from (JournalEntry(number, mode, errors={"": told[mode]}) for mode in modes)
            return
        measured = self._row(row, answer)
        for mode in modes:
            yield self._entry(number, mode, measured, made.get(mode))

    def _fits(self, row: DataRow) -> bool:
        """Whether a row is small enough to be kept as one of a background, and has an answer."""
        few = sum(x.size for x in row.feeds.values()) <= 1 << 14
        return few and self.subject.answers(row.feeds)

    def _row(self, row: DataRow, answer: Explanation) -> MeasuredRow:
        view = self.subject.view(row.feeds)
        parts = self.parts(view)
        effort, mask = self.settings.effort, self._mask(row, view)
        return MeasuredRow(self.subject, view, parts, answer, effort, mask)

    def _mask(self, row: DataRow, view: SampleView) -> Array | RequestError | None:
        """What should matter, or why nobody knows. Raises InputError where it does not fit."""
        if not self.localises:
            return None
        try:
            return self._masks(row, view)
        except RequestError as error:
            return error

    def _explained(self, row: DataRow, mode: str) -> tuple[Explanation, float] | BacktraceError:
        """An explanation and its seconds, or why there is none.

        A mode's first one in a process is made twice, and the second one timed: the first prepares
        what all others use, such as loops that are compiled.
        """
        try:
            if mode not in self._prepared:
                self.subject.explain_row(row.feeds, mode)
                self._prepared.add(mode)
            start = time.perf_counter()
            found = self.subject.explain_row(row.feeds, mode)
        except BacktraceError as error:
            return error
        return found, time.perf_counter() - start

    def _entry(
        self,
        number: int,
        mode: str,
        row: MeasuredRow,
        made: tuple[Explanation, float] | BacktraceError | None,
    ) -> JournalEntry:
        if isinstance(made, BacktraceError):
            return JournalEntry(number, mode, errors={"": str(made)})
        if made is None:
            rng = np.random.default_rng((self.settings.effort.seed, number))
            return self._measured(number, mode, Reading(row, rng.standard_normal(row.x.shape)))
        found, seconds = made
        relevance = row.view.packed(found.relevance)[:1]
        explain = partial(self._again, row, mode)
        used = found.mode if mode == "auto" else ""
        other = partial(self._randomised.relevance, row.view, mode, row.answer)
        reading = Reading(row, relevance, explain, other, found.ledger)
        return self._measured(number, mode, reading, seconds, used)

    def _again(self, row: MeasuredRow, mode: str, x: Array, target: Any = None) -> Array:
        return self.subject.relevance(row.view, x, mode, row.answer, target)

    def _measured(
        self, row: int, mode: str, reading: Reading, seconds: float = 0.0, used: str = ""
    ) -> JournalEntry:
        values: dict[str, float | None] = {}
        errors: dict[str, str] = {}
        for metric in self.metrics:
            try:
                values[metric.name] = number(metric.measure(reading))
            except BacktraceError as error:
                if mode != RANDOM:  # what is drawn is not explained, and has fewer numbers
                    errors[metric.name] = str(error)
        return JournalEntry(row, mode, seconds, values, reading.curves(), errors, used)


def _some(made: Mapping[str, Any]) -> Explanation | None:
    """The first explanation that there is."""
    return next((one[0] for one in made.values() if isinstance(one, tuple)), None)


__all__ = ["Measurer"]
