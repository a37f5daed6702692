"""Products, convolutions and activations that optimisers fuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.errors import UnsupportedError
from tests.cases import fixed
from tests.expansions.checks import check, numbers
from tests.graphs import FLOAT, model, node

X = numbers(2, 5, 8)


@pytest.mark.parametrize(
    ("a", "b", "attributes"),
    [
        ((2, 5, 8), (2, 8, 3), {"alpha": 0.5}),
        ((2, 8, 5), (2, 8, 3), {"transA": 1}),
        ((2, 3, 5, 8), (2, 3, 4, 8), {"transB": 1, "alpha": 0.5}),
        ((5, 2, 3, 8), (2, 3, 8, 4), {"transBatchA": 1}),
        ((8, 2, 3, 5), (2, 3, 8, 4), {"transBatchA": 1, "transA": 1}),
        ((2, 3, 5, 8), (4, 2, 3, 8), {"transBatchB": 1, "transB": 1}),
    ],
)
def test_fused_matmul(a: Any, b: Any, attributes: dict[str, Any]) -> None:
    check("FusedMatMul", numbers(*a), numbers(*b), **attributes)


def test_fused_matmul_with_weights_compiles(tmp_path: Path) -> None:
    check("FusedMatMul", X, fixed(numbers(3, 8)), transB=1, alpha=0.5, compiled=tmp_path)
    check("TransposeMatMul", X, fixed(numbers(8, 3)), alpha=0.5)


@pytest.mark.parametrize(
    ("activation", "attributes"),
    [
        ("Relu", {}),
        ("Tanh", {}),
        ("Sigmoid", {}),
        ("Softplus", {}),
        ("LeakyRelu", {"activation_alpha": 0.2}),
        ("Elu", {"activation_alpha": 0.7}),
        ("HardSigmoid", {"activation_alpha": 0.3, "activation_beta": 0.4}),
    ],
)
def test_fused_gemm(activation: str, attributes: dict[str, Any]) -> None:
    check(
        *("FusedGemm", numbers(4, 8), fixed(numbers(3, 8)), fixed(numbers(3))),
        transB=1,
        alpha=0.5,
        beta=2.0,
        activation=activation,
        **attributes,
    )


IMAGE, KERNEL, OFFSET = numbers(2, 3, 6, 6), fixed(numbers(4, 3, 3, 3)), fixed(numbers(4))


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [
        ("Relu", []),
        ("Tanh", []),
        ("Sigmoid", []),
        ("LeakyRelu", [0.2]),
        ("Clip", [-0.3, 0.4]),
        ("HardSigmoid", [0.3, 0.4]),
    ],
)
def test_fused_conv(activation: str, parameters: list[float]) -> None:
    given = {"activation_params": parameters} if parameters else {}
    check(
        *("FusedConv", IMAGE, KERNEL, OFFSET),
        pads=[1, 1, 1, 1],
        strides=[2, 2],
        kernel_shape=[3, 3],
        activation=activation,
        **given,
    )


def test_fused_conv_with_a_sum() -> None:
    check(
        *("FusedConv", IMAGE, KERNEL, OFFSET, numbers(2, 4, 6, 6)),
        pads=[1, 1, 1, 1],
        kernel_shape=[3, 3],
        activation="Relu",
    )


def test_an_activation_without_text_is_refused() -> None:
    proto = model(
        [node("FusedConv", ["x", "w"], ["y"], "f", domain="com.microsoft", activation="Softmax9")],
        {"x": (FLOAT, [2, 3, 6, 6])},
        {"y": (FLOAT, [2, 4, 4, 4])},
        {"w": numbers(4, 3, 3, 3)},
        domains={"com.microsoft": 1},
    )
    with pytest.raises(UnsupportedError, match="'Softmax9' has no expansion"):
        Explainer(proto)


def test_conv_transpose_with_its_pads_as_input() -> None:
    check(
        *("ConvTransposeWithDynamicPads", IMAGE, fixed(numbers(3, 4, 3, 3))),
        *(fixed([1, 1, 0, 1]), OFFSET),
        strides=[2, 2],
        output_padding=[1, 0],
        kernel_shape=[3, 3],
    )


@pytest.mark.parametrize(
    ("op_type", "operands", "attributes"),
    [
        ("FastGelu", (X,), {}),
        ("FastGelu", (X, fixed(numbers(8))), {}),
        ("FastGelu", (X, numbers(8)), {}),
        ("Gelu", (X,), {}),
        ("QuickGelu", (X,), {"alpha": 1.5}),
        ("ScaledSiLU", (X,), {"alpha": 1.5}),
        ("ScaledSiLU", (X, np.array(0.3, np.float32)), {}),
        ("GatedAdd", (X, numbers(2, 5, 8, seed=1), numbers(2, 5, 1)), {}),
    ],
)
def test_activations(op_type: str, operands: Any, attributes: dict[str, Any]) -> None:
    check(op_type, *operands, **attributes)
