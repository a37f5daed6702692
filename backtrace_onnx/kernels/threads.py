"""Kernels on several cores: they release the interpreter's lock, and their arrays come in parts.

How arrays are cut depends on their sizes alone, so that results are the same on every machine.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

CORES = os.cpu_count() or 1
GRAIN = 1 << 20
"""Elements in a part: a tenth of a millisecond of work, about what it takes to wake a thread."""
MOST = 8


def cut(length: int, size: int, step: int = 1) -> list[slice]:
    """Slices of an axis of `length`, at multiples of `step`, of an array of `size` elements."""
    count = min(MOST, size // GRAIN, length // step)
    if count < 2:
        return [slice(0, length)]
    ends = [length * i // count // step * step for i in range(count)] + [length]
    return [slice(a, b) for a, b in pairwise(ends)]


def run_all(calls: Sequence[Callable[[], object]]) -> None:
    """Run calls on all cores, this thread's among them; each thread takes the next one left."""
    if len(calls) == 1:
        calls[0]()
        return
    left = deque(calls)

    def work() -> None:
        while True:
            try:
                call = left.popleft()
            except IndexError:  # none is left
                return
            call()

    helpers = [_pool().submit(work) for _ in range(min(len(calls), CORES) - 1)]
    work()
    for helper in helpers:
        helper.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CORES, "backtrace-onnx")


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
