"""Small onnxruntime sessions: one for equal texts, with as many threads as its arrays are worth."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx.backends import texts
from backtrace_onnx.backends.texts import Sessions, write_text
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value

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


@pytest.mark.parametrize("turn", [False, True])
def test_what_is_made_of_weights_is_made_once(turn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    weight, x = rng.standard_normal((32, 32), np.float32), rng.standard_normal((2, 32), np.float32)
    written: list[list[str]] = []
    real = texts.make_session

    def recorded(model: onnx.ModelProto, weights: Any, **options: Any) -> ort.InferenceSession:
        written.append([node.op_type for node in model.graph.node])
        return real(model, weights, **options)

    def text(e: Ops, x: Value, w: Value) -> Value:
        negative = e.Relu(e.Neg(w))
        return e.MatMul(e.Abs(x), e.Transpose(negative, perm=[1, 0]) if turn else negative), w

    monkeypatch.setattr(texts, "make_session", recorded)
    args, feeds, dtype = [x, Constant("w", weight)], {"x0": x}, np.dtype(np.float32)
    sessions = Sessions()
    for key in "ab":
        y, same = sessions.run((key,), lambda: write_text(text, args, feeds, dtype), feeds)
        part = np.maximum(-weight, 0)
        assert y == pytest.approx(np.abs(x) @ (part.T if turn else part), rel=1e-5)
        assert (same == weight).all()
    assert written == [["Abs", "MatMul", "Identity", "Identity"]]


def _resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells the memory in use")
def test_memory_is_given_back_with_the_last_session() -> None:
    sessions, x = Sessions(), np.ones(1 << 26, np.float32)
    y = _negated(sessions, "a", x)
    assert y[-1] == -1
    del y
    held = _resident()
    del sessions
    assert _resident() < held - x.nbytes / 2
