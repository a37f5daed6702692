"""Sums with a bias, and what optimisers for GPUs fuse with them, against NumPy."""

from __future__ import annotations

from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.errors import UnsupportedError
from tests.cases import fixed
from tests.expansions.checks import assert_alike, check_defined, explained, numbers
from tests.graphs import FLOAT, model, node

Array = npt.NDArray[Any]
X, SKIP, BIAS = numbers(2, 5, 8), numbers(2, 5, 8, seed=1), numbers(8, seed=2)


def softmax(x: Array, axes: tuple[int, ...]) -> Array:
    exponents = np.exp(x - x.max(axes, keepdims=True))
    return np.asarray(exponents / exponents.sum(axes, keepdims=True))


def gelu(x: Array) -> Array:
    return np.asarray(x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2, np.float32)


def test_bias_add(tmp_path: Path) -> None:
    check_defined("BiasAdd", X, fixed(BIAS), SKIP, answers=X + BIAS + SKIP, compiled=tmp_path)


@pytest.mark.parametrize(
    ("shape", "axis", "inner"),
    [((2, 1, 1, 5), 3, 1), ((5, 5), -1, 0), ((1, 3, 5, 5), 3, 0), ((2, 1, 5, 5), 2, 1)],
)
def test_bias_softmax(shape: Any, axis: int, inner: int, tmp_path: Path) -> None:
    scores, bias = numbers(2, 3, 5, 5), numbers(*shape, seed=1)
    check_defined(
        *("BiasSoftmax", scores, bias),
        answers=softmax(scores + bias, tuple(range(axis % 4, 4))),
        compiled=tmp_path,
        axis=axis,
        is_inner_broadcast=inner,
    )


def test_bias_softmax_is_explained_as_what_it_was_fused_from() -> None:
    nodes = [
        [node("BiasSoftmax", ["x", "b"], ["a"], domain="com.microsoft", axis=2)],
        [node("Add", ["x", "b"], ["s"]), node("Softmax", ["s"], ["a"])],
    ]
    fused, plain = (
        explained(
            model(
                [*part, node("MatMul", ["a", "v"], ["y"])],
                {"x": (FLOAT, ["N", 5, 5]), "v": (FLOAT, ["N", 5, 4])},
                {"y": (FLOAT, ["N", 5, 4])},
                {"b": np.where(np.tri(5), 0, -np.inf).astype(np.float32)},
                domains={"com.microsoft": 1},
            ),
            {"x": numbers(2, 5, 5), "v": numbers(2, 5, 4)},
        )
        for part in nodes
    )
    assert_alike(fused, plain)


def test_bias_split_gelu(tmp_path: Path) -> None:
    left, right = np.split(X + BIAS, 2, -1)
    check_defined("BiasSplitGelu", X, fixed(BIAS), answers=left * gelu(right), compiled=tmp_path)


@pytest.mark.parametrize("residual", [None, SKIP])
@pytest.mark.parametrize("switches", [(), (fixed(0.5, np.float32),), (None, fixed(False))])
def test_bias_dropout_drops_nothing(residual: Any, switches: Any) -> None:
    y = X + BIAS + (0 if residual is None else SKIP)
    every = np.ones(X.shape, bool)
    check_defined("BiasDropout", X, fixed(BIAS), residual, *switches, answers=[y, every])
    check_defined("BiasDropout", X, BIAS, residual, *switches, answers=y)


def test_bitmasks_have_a_bit_for_every_element(tmp_path: Path) -> None:
    full = np.full(3, 0xFFFFFFFF, np.uint32)  # 80 elements
    ratio, training = fixed(0.1, np.float32), fixed(False)
    check_defined("BitmaskDropout", X, ratio, training, answers=[X, full], compiled=tmp_path)
    check_defined(
        *("BitmaskBiasDropout", X, fixed(BIAS), SKIP, ratio, training),
        answers=[X + BIAS + SKIP, full],
    )


def test_training_is_refused() -> None:
    proto = model(
        [node("BitmaskDropout", ["x", "r", "t"], ["y"], "d", domain="com.microsoft")],
        {"x": (FLOAT, [2, 5, 8])},
        {"y": (FLOAT, [2, 5, 8])},
        {"r": np.float32(0.5), "t": np.bool_(True)},
        domains={"com.microsoft": 1},
    )
    with pytest.raises(UnsupportedError, match="drops at random while training"):
        Explainer(proto)
