"""Rows measured in this process or in several others."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from threading import Thread

from backtrace_onnx.data.workers import end_with_parent
from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.journal import JournalEntry
from backtrace_onnx.evaluation.measuring import Measurer
from backtrace_onnx.evaluation.settings import EvaluationSettings

Todo = Sequence[tuple[int, tuple[str, ...]]]
"""Rows, and the modes that are still to be measured of each."""


def measured(measurer: Measurer, todo: Todo, workers: int) -> Iterator[JournalEntry]:
    """The entries of rows as they are measured. Raises RequestError where a worker was killed."""
    if workers == 1 or len(todo) < 2:
        for row, modes in todo:
            yield from measurer.measure(row, modes)
        return
    context = multiprocessing.get_context("spawn")  # forks would share locks of running threads
    pool = ProcessPoolExecutor(workers, context, _start, (measurer.settings,))
    try:
        waiting = [pool.submit(_measure, row, modes) for row, modes in todo]
        for future in as_completed(waiting):
            entries, bad = future.result()
            measurer.rows.bad += bad
            yield from entries
    except BrokenProcessPool:
        raise RequestError(
            "a worker process ended before its rows were measured (killed, or out of memory); the "
            "same call with the same folder goes on; take fewer workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_own: Measurer | None = None  # of a worker process


def _start(settings: EvaluationSettings) -> None:
    global _own
    _own = Measurer(settings)
    Thread(target=end_with_parent, daemon=True).start()


def _measure(row: int, modes: tuple[str, ...]) -> tuple[list[JournalEntry], list[str]]:
    assert _own is not None
    _own.rows.bad.clear()
    return list(_own.measure(row, modes)), list(_own.rows.bad)


__all__ = ["measured"]
