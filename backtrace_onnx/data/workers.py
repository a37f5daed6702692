"""Pieces explained in this process or in several others; results come in the blocks' order."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from typing import TypeVar

from backtrace_onnx.data.explain_batches import ExplainBatches, ExplainedRows
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import RequestError

T = TypeVar("T")
_AHEAD = 2  # blocks for each worker that are read before their results are written
Results = Iterator[tuple[RowBlock, ExplainedRows]]


def explained(
    explain: ExplainBatches, blocks: Iterable[RowBlock], *, skip_bad: bool, workers: int
) -> Results:
    """Every block with its results. Raises RequestError where a worker was killed.

    A single worker is a thread: one more reads the next blocks, and results are used meanwhile.
    """
    if workers == 1:
        yield from ahead((b, explain.explain(b, skip_bad=skip_bad)) for b in ahead(blocks))
        return
    context = multiprocessing.get_context("spawn")  # forks would share locks of running threads
    pool = ProcessPoolExecutor(workers, context, _start, (explain, skip_bad))
    try:
        yield from _in_order(pool, blocks, workers * _AHEAD)
    except BrokenProcessPool:
        raise RequestError(
            "a worker process ended before its results were there (killed, or out of memory); "
            "with resume the same call goes on where this one stopped; take fewer workers, or a "
            "smaller batch"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items in their order, each made by a thread while earlier ones are used."""
    left, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, left, end) for _ in range(_AHEAD))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, left, end))
                yield item  # type: ignore[misc]
        finally:
            thread.shutdown(cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, blocks: Iterable[RowBlock], ahead: int) -> Results:
    running: deque[tuple[RowBlock, Future[ExplainedRows]]] = deque()
    for block in blocks:
        running.append((block, pool.submit(_explain, block)))
        if len(running) >= ahead:
            first, future = running.popleft()
            yield first, future.result()
    for last, future in running:
        yield last, future.result()


_own: tuple[ExplainBatches, bool] | None = None  # of a worker process


def _start(explain: ExplainBatches, skip_bad: bool) -> None:
    global _own
    _own = explain, skip_bad
    Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """End where the process that started this one is gone, killed perhaps."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _explain(block: RowBlock) -> ExplainedRows:
    assert _own is not None
    explain, skip_bad = _own
    return explain.explain(block, skip_bad=skip_bad)
