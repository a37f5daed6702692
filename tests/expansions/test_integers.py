"""Sums, means and products of 8-bit tensors, against NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import NodeProto

from backtrace_onnx import Explanation
from tests.expansions.checks import MICROSOFT, MODES, explained, numbers
from tests.graphs import FLOAT, model, node

Array = npt.NDArray[Any]
SCALE, FINE, ZERO = np.float32(0.05), 0.0173, 120
X, OTHER = numbers(2, 3, 4), numbers(3, 1, seed=1)
STORED = [node("QuantizeLinear", [name, "s", "z"], [f"{name}q"], f"store {name}") for name in "xv"]


def levels(x: Array) -> Array:
    """Of 8 bits without sign, less their zero point."""
    return np.clip(np.rint(x / SCALE) + ZERO, 0, 255).astype(np.int64) - ZERO


def run(nodes: Sequence[NodeProto], y: Array, both: bool = False) -> Explanation:
    """Explained in both modes: the answer is y, the books close."""
    feeds = {"x": X, **({"v": OTHER} if both else {})}
    proto = model(
        [*STORED[: 1 + both], *nodes],
        {name: (FLOAT, list(x.shape)) for name, x in feeds.items()},
        {"y": (FLOAT, list(y.shape))},
        {"s": SCALE, "z": np.uint8(ZERO), "s2": np.float32(FINE), "z2": np.uint8(110)},
        domains={MICROSOFT: 1},
    )
    start = np.abs(numbers(*y.shape, seed=2))
    starts = {"default": start, "contrastive": (start, start)}
    made = [explained(proto, feeds, mode, start=starts[mode]) for mode in MODES]
    for one in made:
        np.testing.assert_allclose(one.outputs["y"], y, atol=1e-6)
    return made[0]


@pytest.mark.parametrize(("axes", "keep"), [([1], 1), ([0, 2], 0), ([-1], 0)])
def test_mean_and_sum(axes: list[int], keep: int) -> None:
    kept: dict[str, Any] = {"axes": axes, "keepdims": keep}
    total = levels(X).sum(tuple(axes), keepdims=bool(keep))
    mean = SCALE * levels(X).mean(tuple(axes), keepdims=bool(keep))
    rounded = np.clip(np.rint(mean / FINE) + 110, 0, 255) - 110
    inputs = ["xq", "s", "z", "s2", "z2"]
    nodes = [
        node("QLinearReduceMean", inputs, ["m"], "mean", domain=MICROSOFT, **kept),
        node("DequantizeLinear", ["m", "s2", "z2"], ["y"], "read"),
    ]
    run(nodes, FINE * rounded)
    nodes = [
        node("ReduceSumInteger", ["xq"], ["t"], "sum", domain=MICROSOFT, **kept),
        node("Cast", ["t"], ["y"], "read", to=FLOAT),
    ]
    made = run(nodes, (total + ZERO * X.size // total.size).astype(np.float32))
    assert made.relevance["x"].any()


def test_product() -> None:
    for names, zero in ((["xq", "z", "vq", "z"], 0), (["xq", "", "vq", "z"], ZERO)):
        nodes = [
            node("MulInteger", names, ["p"], "product", domain=MICROSOFT),
            node("Cast", ["p"], ["y"], "read", to=FLOAT),
        ]
        made = run(nodes, ((levels(X) + zero) * levels(OTHER)).astype(np.float32), both=True)
        assert made.relevance["x"].any() and made.relevance["v"].any()
