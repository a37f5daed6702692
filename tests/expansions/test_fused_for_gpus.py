"""Products, convolutions and positions that optimisers fuse for GPUs, against NumPy and torch's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.cases import fixed, one
from tests.expansions.checks import check_defined, numbers
from tests.expansions.test_biases import softmax

Array = npt.NDArray[Any]
X, W, BIAS = numbers(2, 5, 8), numbers(8, 6), numbers(6)
IMAGE, KERNEL, OFFSET = numbers(2, 7, 6, 4), numbers(6, 2, 3, 3), numbers(6)


def fast_gelu(x: Array) -> Array:
    return np.asarray(x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2, x.dtype)


@pytest.mark.parametrize("bias", [None, BIAS])
def test_gemm_fast_gelu(bias: Any, tmp_path: Path) -> None:
    y = fast_gelu(X @ W + (0 if bias is None else bias))
    given = () if bias is None else (fixed(bias),)
    check_defined("GemmFastGelu", X, fixed(W), *given, answers=y, compiled=tmp_path)


@pytest.mark.parametrize(
    ("activation", "attributes", "text"),
    [
        ("Relu", {}, lambda t: np.maximum(t, 0)),
        ("LeakyRelu", {"activation_alpha": 0.2}, lambda t: np.where(t < 0, 0.2 * t, t)),
        ("Softmax", {"activation_axis": 1}, lambda t: softmax(t, (1,))),
    ],
)
def test_fused_matmul_activation(activation: str, attributes: Any, text: Any) -> None:
    a, b = numbers(2, 5, 8), numbers(2, 5, 6)
    y = text(0.5 * (a.transpose(0, 2, 1) @ b)).astype(np.float32)
    check_defined(
        *("FusedMatMulActivation", a, b),
        answers=y,
        transA=1,
        alpha=0.5,
        activation=activation,
        **attributes,
    )


def convolved(x: Array, bias: Array | None, **attributes: Any) -> Array:
    """onnxruntime's Conv, its channels last."""
    given = () if bias is None else (fixed(bias),)
    first = one("Conv", np.moveaxis(x, -1, 1).copy(), fixed(KERNEL), *given, **attributes)
    return np.ascontiguousarray(np.moveaxis(first.y, 1, -1))


@pytest.mark.parametrize("bias", [None, OFFSET])
@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 1], "auto_pad": "SAME_UPPER", "kernel_shape": [3, 3]},
        {"dilations": [1, 2], "pads": [1, 1, 1, 1]},
    ],
)
def test_nhwc_conv(bias: Any, attributes: dict[str, Any], tmp_path: Path) -> None:
    given = () if bias is None else (fixed(bias),)
    y = convolved(IMAGE, bias, group=2, **attributes)
    check_defined(
        *("NhwcConv", IMAGE, fixed(np.moveaxis(KERNEL, 1, -1)), *given),
        answers=y,
        compiled=tmp_path,
        group=2,
        **attributes,
    )


@pytest.mark.parametrize("added", [False, True])
def test_nhwc_fused_conv(added: bool, tmp_path: Path) -> None:
    y = convolved(IMAGE, OFFSET, group=2)
    z = numbers(*y.shape, seed=1)
    check_defined(
        *("NhwcFusedConv", IMAGE, fixed(KERNEL), fixed(OFFSET), *([z] if added else [])),
        answers=np.clip(y + (z if added else 0), -0.5, 0.75).astype(np.float32),
        compiled=tmp_path,
        group=2,
        activation="Clip",
        activation_params=[-0.5, 0.75],
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_gemma_rotary_embedding(dtype: Any) -> None:
    angle = numbers(2, 5, 4)
    q, q_half, k, k_half = (numbers(2, 3, 5, 4, seed=s).astype(dtype) for s in range(4))
    cos, sin = (f(angle).astype(dtype)[:, None] for f in (np.cos, np.sin))
    check_defined(
        *("GemmaRotaryEmbedding", angle, q, q_half, k, k_half),
        answers=[q * cos + q_half * sin, k * cos + k_half * sin],
        tolerance=2e-6 if dtype == np.float32 else 2e-3,
    )
