"""Deformable convolution: without offsets it is a Conv, with them onnxruntime agrees."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, explain
from tests.cases import session
from tests.graphs import FLOAT, model, node, normal

W, B = normal(4, 2, 3, 2, seed=3), normal(4, seed=4)
SHAPE = {"strides": [2, 1], "pads": [1, 0, 1, 1], "dilations": [1, 2], "group": 2}


def deformable(offsets: int, opset: int, height: int = 7) -> onnx.ModelProto:
    count = offsets * 6
    return model(
        [
            node(
                "DeformConv",
                ["x", "w", "offset", "b", "mask"],
                ["y"],
                "deform",
                offset_group=offsets,
                kernel_shape=[3, 2],
                **SHAPE,
            )
        ],
        {
            "x": (FLOAT, ["N", 4, height, 6]),
            "offset": (FLOAT, ["N", 2 * count, None, None]),
            "mask": (FLOAT, ["N", count, None, None]),
        },
        {"y": (FLOAT, ["N", 4, None, None])},
        {"w": W, "b": B},
        opset=opset,
    )


def feeds(offsets: int, height: int = 7, scale: float = 1.0) -> dict[str, np.ndarray]:
    rows = (height + 2 - 3) // 2 + 1
    return {
        "x": normal(2, 4, height, 6, seed=5),
        "offset": scale * normal(2, offsets * 12, rows, 5, seed=6),
        "mask": np.abs(normal(2, offsets * 6, rows, 5, seed=7)),
    }


@pytest.mark.parametrize("opset", [19, 22])
@pytest.mark.parametrize(("offsets", "height"), [(1, 7), (2, 7), (1, 1)])
def test_predicts_and_closes(offsets: int, height: int, opset: int) -> None:
    proto, given = deformable(offsets, opset, height), feeds(offsets, height)
    expected = session(proto).run(None, given)[0]
    for mode in ("default", "contrastive"):
        eager = explain(proto, given, mode=mode)
        np.testing.assert_allclose(eager.outputs["y"], expected, atol=1e-5)
        assert np.abs(eager.ledger.total().residual).max() < 1e-4 * np.abs(expected).max()
        compiled = explain(proto, given, mode=mode, engine="onnxruntime")
        for name, r in eager.relevance.items():
            np.testing.assert_allclose(compiled.relevance[name], r, atol=1e-5 * np.abs(r).max())
        assert not eager.relevance["offset"].any()


def test_without_offsets_it_is_a_convolution() -> None:
    given = feeds(1, scale=0.0)
    given["mask"] = np.ones_like(given["mask"])
    plain = model(
        [node("Conv", ["x", "w", "b"], ["y"], "conv", **SHAPE)],
        {"x": (FLOAT, ["N", 4, 7, 6])},
        {"y": (FLOAT, ["N", 4, None, None])},
        {"w": W, "b": B},
    )
    expected = Explainer(plain).explain(given["x"])
    ours = Explainer(deformable(1, 22)).explain(given)
    both = ours.relevance["x"] + ours.relevance["x"]  # half went to the mask, which is data
    np.testing.assert_allclose(both, expected.relevance["x"], atol=1e-5)
