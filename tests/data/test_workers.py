"""What a thread makes ahead: the same in the same order, errors where they belong, and an end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from backtrace_onnx.data.workers import ahead


def test_items_keep_their_order_and_few_are_made_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(20):
            assert threading.current_thread() is not threading.main_thread()
            made.append(i)
            yield i

    for i, item in enumerate(ahead(items())):
        assert item == i and len(made) <= i + 4
    assert made == list(range(20))


def test_an_error_comes_behind_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    left = ahead(items())
    assert [next(left), next(left)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(left)


def test_nothing_goes_on_where_nobody_asks_any_more() -> None:
    before = threading.active_count()
    left = ahead(iter(range(10**9)))
    assert next(left) == 0
    left.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
