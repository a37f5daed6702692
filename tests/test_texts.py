"""Small onnxruntime sessions: one for equal texts, with as many threads as its arrays are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

from backtrace_onnx.backends import texts
from backtrace_onnx.backends.base import Ops, Value
from backtrace_onnx.backends.texts import Sessions, write_text

Array = npt.NDArray[Any]


def _negated(sessions: Sessions, key: str, x: Array) -> Array:
    def text(e: Ops, x: Value) -> Value:
        return e.Neg(x)

    feeds = {"x0": x}
    dtype = np.dtype(np.float32)
    return sessions.run((key,), lambda: write_text(text, [x], feeds, dtype), feeds)[0]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Threads of every session made."""
    made: list[int] = []
    real = texts.make_session

    def recorded(*args: Any, threads: int, **options: Any) -> ort.InferenceSession:
        made.append(threads)
        return real(*args, threads=threads, **options)

    monkeypatch.setattr(texts, "make_session", recorded)
    return made


def test_small_arrays_get_one_thread_and_large_ones_all(threads: list[int]) -> None:
    sessions = Sessions()
    for size in (4, 1 << 20, 8, 1 << 21):
        x = np.arange(size, dtype=np.float32)
        assert (_negated(sessions, "neg", x) == -x).all()
    assert threads == [1, 0]


def test_equal_texts_share_a_session(threads: list[int]) -> None:
    sessions = Sessions()
    for key in ("first", "second", "first"):
        _negated(sessions, key, np.ones(3, np.float32))
    assert threads == [1]
