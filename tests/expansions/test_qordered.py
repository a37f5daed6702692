"""8-bit operators of transformers quantised for GPUs, against NumPy on what they stand for."""

from __future__ import annotations

from math import erf
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.errors import UnsupportedError
from tests.expansions.checks import MICROSOFT, MODES, explained, numbers
from tests.expansions.test_biases import softmax
from tests.graphs import FLOAT, model, node

Array = npt.NDArray[Any]
IN, OUT = np.float32(0.031), np.float32(0.047)
X = numbers(2, 5, 6)


def rounded(x: Array, scale: Any) -> Array:
    return np.asarray(np.clip(np.rint(x / scale), -128, 127) * scale)


def weight(*shape: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """As stored column by column, a scale for every column, and what they stand for."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(-127, 128, shape).astype(np.int8)
    scales = (0.002 + 0.004 * rng.random(shape[1])).astype(np.float32)
    return np.ascontiguousarray(levels.T).reshape(shape), scales, levels * scales


def run(op_type: str, inputs: list[str], weights: dict[str, Any], y: Array, **how: Any) -> None:
    """x stored, the operator, y read: as NumPy says to one step, the books closed."""
    nodes = [
        node("QuantizeLinear", ["x", "in", "zero"], ["xq"], "store"),
        node(op_type, inputs, ["yq"], "n", domain=MICROSOFT, **how),
        node("DequantizeLinear", ["yq", "out"], ["y"], "read"),
    ]
    constants = {"in": IN, "out": OUT, "zero": np.int8(0), **weights}
    shapes = {"x": (FLOAT, list(X.shape))}, {"y": (FLOAT, list(y.shape))}
    proto = model(nodes, *shapes, constants, domains={MICROSOFT: 1})
    start = np.abs(numbers(*y.shape, seed=2))
    starts = {"default": start, "contrastive": (start, start)}
    made = [explained(proto, {"x": X}, mode, start=starts[mode]) for mode in MODES]
    for one in made:
        assert np.abs(one.outputs["y"] - rounded(y, OUT)).max() <= 1.01 * OUT
        assert one.positive["x"].any()


@pytest.mark.parametrize("added", [False, True])
def test_matmul(added: bool) -> None:
    stored, scales, real = weight(6, 4)
    bias, c = numbers(4), np.arange(40).reshape(2, 5, 4).astype(np.int8)
    inputs = ["xq", "in", "w", "ws", "out", "b", *(["c", "out"] if added else [])]
    y = rounded(X, IN) @ real + bias + (c * OUT if added else 0)
    given = {"w": stored, "ws": scales, "b": bias, "c": c}
    run("QOrderedMatMul", inputs, given, y, order_A=1, order_B=0, order_Y=1)


def test_gelu() -> None:
    x = rounded(X, IN)
    y = x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2
    run("QOrderedGelu", ["xq", "in", "out"], {}, y, order_X=1, order_Y=1)


@pytest.mark.parametrize("beta", ["", "b"])
def test_layer_normalization(beta: str) -> None:
    x, gamma, shift = rounded(X, IN), numbers(6).astype(np.float16), numbers(6).astype(np.float16)
    centred = x - x.mean(-1, keepdims=True)
    y = centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-3) * gamma.astype(float)
    inputs = ["xq", "in", "g", beta, "out"]
    y = y + (shift.astype(float) if beta else 0)
    run("QOrderedLayerNormalization", inputs, {"g": gamma, "b": shift}, y, epsilon=1e-3)


@pytest.mark.parametrize("masked", [False, True])
def test_attention(masked: bool) -> None:
    made = {name: weight(6, 4, seed=k) for k, name in enumerate("qkv")}
    biases = {f"b{name}": numbers(4, seed=k) for k, name in enumerate("qkv")}
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
    q, k, v = (
        rounded(rounded(X, IN) @ made[n][2] + biases[f"b{n}"], OUT)
        .reshape(2, 5, 2, 2)
        .transpose(0, 2, 1, 3)
        for n in "qkv"
    )
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(2)
    if masked:
        scores = scores - 10000 * (1 - mask[:, None, None])
    y = (softmax(scores, (3,)) @ v).transpose(0, 2, 1, 3).reshape(2, 5, 4)
    inputs = ["xq", "in", "out", "out", "out", "q", "k", "v", "sq", "sk", "sv", "bq", "bk", "bv"]
    inputs += ["", "", "out", *(["mask"] if masked else [])]
    given = {**{n: made[n][0] for n in "qkv"}, **{f"s{n}": made[n][1] for n in "qkv"}, **biases}
    orders = {"order_input": 1, "order_weight": 0, "order_output": 1}
    run("QOrderedAttention", inputs, {**given, "mask": mask}, y, num_heads=2, **orders)


def test_tiles_are_refused() -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "zero"], ["xq"], "store"),
        node("QOrderedGelu", ["xq", "s", "s"], ["yq"], "g", domain=MICROSOFT, order_X=2),
        node("DequantizeLinear", ["yq", "s"], ["y"], "read"),
    ]
    kind = FLOAT, [2, 6]
    weights = {"s": IN, "zero": np.int8(0)}
    proto = model(nodes, {"x": kind}, {"y": kind}, weights, domains={MICROSOFT: 1})
    with pytest.raises(UnsupportedError, match="order_X 2 lays it out in tiles"):
        Explainer(proto)
