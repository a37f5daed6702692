"""Slopes damped where units are next to 0: what the eager backend computes, and what files do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import config

from backtrace_onnx.backends.eager import EagerOps
from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.graph.graph import SampleAxis
from backtrace_onnx.ops.statistics import damped
from tests.graphs import normal

AXES: dict[str, tuple[tuple[int, ...], Any]] = {
    "rows": ((4, 30), SampleAxis(0, alone=True)),
    "pictures": ((4, 6, 5, 3), SampleAxis(0, alone=True)),
    "several rows of each": ((8, 30), SampleAxis(0)),
    "merged behind heads": ((3, 8, 5), SampleAxis(1, inner=2)),
    "mixed": ((4, 30), SampleAxis(0, mixed=True)),
    "of no one sample": ((4, 30), None),
}


def _by_hand(t: Any, m: Any, epsilon: float, axis: SampleAxis | None, count: int) -> Any:
    wide = t.astype(np.float64)
    of = np.zeros(t.shape, int)
    if axis is not None and not axis.mixed:
        along = np.arange(t.shape[axis]) // (axis.inner or t.shape[axis] // count) % count
        of += along.reshape([-1 if i == axis else 1 for i in range(t.ndim)])
    scale = np.array(
        [np.sqrt((wide[of == k] ** 2).mean()) if (of == k).any() else 0 for k in range(count)]
    )
    size = np.abs(wide)
    return m * size / (size + epsilon * scale[of])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", AXES)
def test_units_are_damped_by_the_scale_of_their_sample(name: str, dtype: Any) -> None:
    shape, axis = AXES[name]
    t, m = normal(*shape, seed=1).astype(dtype), normal(*shape, seed=2).astype(dtype)
    t.flat[3] = 0
    t[-1] *= 7
    ops = EagerOps(dtype, Samples(4), Sessions(), {"": 18})
    want = _by_hand(t, m, 0.3, axis, 4)
    kept, lost = ops.damp(t, m, 0.3, axis, shape)
    np.testing.assert_allclose(kept, want, rtol=1e-5, atol=1e-6)
    assert lost is not None
    np.testing.assert_allclose(lost.sum(), (t * (m - want)).sum(), rtol=1e-4)

    def text(e: Any, t: Any, m: Any, count: Any) -> Any:
        return damped(e, t, m, 0.3, axis, count, shape)

    written = ops.apply(f"damped/{name}", text, t, m, ops.sample_count)
    np.testing.assert_allclose(written, want, rtol=1e-5, atol=1e-6)


def test_units_without_a_scale_are_sent_nothing() -> None:
    ops = EagerOps(np.float32, Samples(2), Sessions(), {"": 18})
    t, m = np.zeros((2, 5), np.float32), np.ones((2, 5), np.float32)
    t[1, 2] = 1e-25
    kept, _ = ops.damp(t, m, 0.3, SampleAxis(0, alone=True), t.shape)
    assert not kept[0].any() and np.isfinite(kept).all()


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="a minute without Numba's JIT")
def test_large_units_are_damped_alike_beside_others() -> None:
    t, m = (normal(3, 1 << 20, seed=seed) for seed in (1, 2))
    whole = EagerOps(np.float32, Samples(3), Sessions(), {"": 18})
    one = EagerOps(np.float32, Samples(1), Sessions(), {"": 18})
    axis = SampleAxis(0, alone=True)
    kept, _ = whole.damp(t, m, 0.3, axis, t.shape)
    for k in range(3):
        alone, _ = one.damp(t[k : k + 1], m[k : k + 1], 0.3, axis, (1, 1 << 20))
        np.testing.assert_array_equal(kept[k : k + 1], alone)


@pytest.mark.parametrize("shape", [(3, 4), (2, 1 << 20)])
def test_slopes_end_where_nothing_is_left(shape: tuple[int, ...]) -> None:
    y, m = np.maximum(normal(*shape, seed=1), 0), normal(*shape, seed=2)
    m[0, y[0].argmin()] = np.inf
    ops = EagerOps(np.float32, Samples(1), Sessions(), {"": 18})
    np.testing.assert_array_equal(
        ops.switch(y, m, bounded=False, of=lambda: y), np.where(y > 0, m, 0)
    )
