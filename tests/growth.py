"""How work grows with size, counted in calls: the same on a fast machine, a slow and a busy one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

TIMES = 4
MOST = 1.5  # of the growth of size: sorting and the like take a little more


def calls(work: Callable[[], Any]) -> int:
    """How many functions, Python's own among them, are called."""
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def check_linear(work: Callable[[int], Callable[[], Any]], size: int) -> None:
    """`work(n)` is what is to be done for n: for several times `size` as many times the calls."""
    few, many = (calls(work(n)) for n in (size, TIMES * size))
    assert many < TIMES * MOST * few, (few, many)
