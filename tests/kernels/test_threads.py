"""Arrays cut into parts that several threads work on."""

from __future__ import annotations

import multiprocessing
import os
import threading

import numpy as np
import pytest

import backtrace_onnx as bt
from backtrace_onnx.backends.layout import Units
from backtrace_onnx.kernels import threads
from backtrace_onnx.kernels.threads import GRAIN, MOST, cut, run_all
from tests.checks import MODES
from tests.graphs import FLOAT, check_closed, model, node, normal


@pytest.mark.parametrize("length", [0, 1, 7, 8, 1000, 4096])
@pytest.mark.parametrize("size", [0, 1, GRAIN - 1, 3 * GRAIN, 100 * GRAIN])
@pytest.mark.parametrize("step", [1, 1024])
def test_slices_cover_an_axis_once(length: int, size: int, step: int) -> None:
    slices = cut(length, size, step)
    assert [i for part in slices for i in range(length)[part]] == list(range(length))
    assert len(slices) <= max(1, min(MOST, size // GRAIN))
    assert all(part.start % step == 0 for part in slices)


def test_every_call_runs_once_and_on_several_threads() -> None:
    met = threading.Barrier(2, timeout=60)
    done: list[int] = []
    run_all([met.wait, met.wait] if threads.CORES > 1 else [])
    run_all([lambda i=i: done.append(i) for i in range(50)])  # type: ignore[misc]
    assert sorted(done) == list(range(50))


def test_an_error_in_a_part_is_raised() -> None:
    def fail() -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        run_all([fail] * 4)


def _in_a_child() -> None:
    run_all([lambda: None] * 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*")
def test_a_forked_process_has_threads_of_its_own() -> None:
    run_all([lambda: None] * 4)
    child = multiprocessing.get_context("fork").Process(target=_in_a_child)
    child.start()
    child.join(60)
    assert child.exitcode == 0


@pytest.mark.parametrize("sizes", [(5, 3, 2), (1, 5, 3), (1, 1, 5000), (1, 1, 1), (0, 4, 4)])
def test_parts_of_units_stay_contiguous(sizes: tuple[int, int, int]) -> None:
    units = Units(*sizes, np.zeros((1, sizes[1], 1), np.float32), np.zeros(sizes[0], np.int64))
    x = np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes)
    parts = units.parts(1024)
    cuts = [part((x, None)) for part in parts]
    assert all(a.flags.c_contiguous and b is None for a, b in cuts)
    assert np.array_equal(np.concatenate([a.reshape(-1) for a, _ in cuts]), x.reshape(-1))


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_parts_change_no_explanation(
    monkeypatch: pytest.MonkeyPatch, mode: str, samples: int
) -> None:
    network = model(
        [
            node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4),
            node("MaxPool", ["c"], ["p"], kernel_shape=[3, 3], strides=[2, 2]),
            node("Conv", ["p", "v"], ["d"], pads=[1] * 4),
            node("Add", ["p", "d"], ["s"]),
            node("GlobalAveragePool", ["s"], ["y"]),
        ],
        {"x": (FLOAT, ["n", 3, 24, 24])},
        {"y": (FLOAT, ["n", 8, 1, 1])},
        {
            "w": normal(8, 3, 3, 3, seed=1),
            "b": normal(8, seed=2),
            "v": normal(8, 8, 3, 3, seed=3),
        },
    )
    x = normal(samples, 3, 24, 24, seed=4)
    whole = bt.explain(network, x, mode=mode, target=2)
    monkeypatch.setattr(threads, "GRAIN", 64)
    parts = bt.explain(network, x, mode=mode, target=2)
    assert np.array_equal(whole.relevance["x"], parts.relevance["x"])
    check_closed(parts)
    assert np.allclose(parts.ledger.total().unassigned, whole.ledger.total().unassigned, atol=1e-6)
