"""Half-precision models: relevance is computed in float32, as for the same model in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.support import (
    Array,
    Case,
    Fixed,
    assert_close,
    chain,
    channels,
    check_compiled,
    check_ledger,
    fixed,
    generator,
    link,
    normal,
    one,
    starts,
)


def _cases(dtype: npt.DTypeLike) -> dict[str, Case]:
    """The same numbers, all of them half-precision ones, in either type."""
    rng = generator("half")

    def data(*shape: int) -> Array:
        return normal(rng, *shape, dtype=np.float16).astype(dtype)

    def held(*shape: int) -> Fixed:
        return fixed(data(*shape))

    x, image, scales = data(2, 4), data(1, 2, 4, 4), fixed(np.array([1, 1, 2, 1.5], np.float32))
    statistics = [fixed(np.exp2(np.round(data(2))).astype(dtype)) for _ in range(4)]
    return {
        "Gemm": chain(x, link("Gemm", held(4, 5), held(5)), link("Relu")),
        "Gemm, scaled, gated": chain(x, link("Gemm", held(4, 5), held(5), alpha=2.0), link("Tanh")),
        "MatMul": one("MatMul", x, data(4, 3)),
        "Add": one("Add", x, held(4)),
        "Max": one("Max", x, held(4)),
        "Conv": one("Conv", image, held(3, 2, 3, 3), held(3)),
        "BatchNormalization": one("BatchNormalization", image, *statistics),
        "ReduceMean": one("ReduceMean", x, fixed([1])),
        "MaxPool": one("MaxPool", image, kernel_shape=[2, 2]),
        "nearest": one("Resize", image, None, scales, mode="nearest"),
        "linear": one("Resize", image, None, scales, mode="linear"),
    }


@pytest.mark.parametrize("mode", ["default", "contrastive"])
@pytest.mark.parametrize("name", _cases(np.float32))
def test_half_precision(name: str, mode: str, tmp_path: Path) -> None:
    half, single = _cases(np.float16)[name], _cases(np.float32)[name]
    r = starts(single, mode)
    got, want = half.explain(mode, r), single.explain(mode, r)
    for feed in half.feeds:
        assert got.relevance[feed].dtype == np.float32
        assert_close(channels(got, feed), channels(want, feed), 1e-5, f"{mode} {feed}")
    check_ledger(got)
    check_compiled(half, mode, r, got, tmp_path)
