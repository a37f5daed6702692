"""Complex products and Fourier transforms of real signals, against NumPy's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.errors import UnsupportedError
from tests.cases import fixed
from tests.expansions.checks import check_defined, numbers
from tests.graphs import FLOAT, model, node

Array = npt.NDArray[Any]


def paired(z: Array) -> Array:
    return np.stack([z.real, z.imag], -1).astype(np.float32)


def complexes(x: Array) -> Array:
    return np.asarray(x[..., 0] + 1j * x[..., 1])


@pytest.mark.parametrize("shape", [(2, 5, 2), (5, 2), (1, 5, 2)])
@pytest.mark.parametrize("conjugated", [False, True])
def test_complex_products(shape: Any, conjugated: bool, tmp_path: Path) -> None:
    a, b = numbers(2, 5, 2), numbers(*shape, seed=1)
    second = complexes(b).conj() if conjugated else complexes(b)
    name = "ComplexMulConj" if conjugated else "ComplexMul"
    y = paired(complexes(a) * second)
    check_defined(name, a, b, answers=y, compiled=tmp_path)
    check_defined(name, a, fixed(b), answers=y)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("length", [6, 8])
def test_rfft_and_its_inverse(axes: int, length: int, tmp_path: Path) -> None:
    x = numbers(3, 4, length)
    over = tuple(range(-axes, 0))
    spectrum = paired(np.fft.rfftn(x, axes=over))
    check_defined("Rfft", x, answers=spectrum, compiled=tmp_path, signal_ndim=axes)
    z = numbers(3, 4, length // 2 + 1, 2, seed=1)
    signal = np.fft.irfftn(complexes(z), axes=over).astype(np.float32)
    check_defined("Irfft", z, answers=signal, compiled=tmp_path, signal_ndim=axes)


def test_a_normalised_transform_is_refused() -> None:
    proto = model(
        [node("Rfft", ["x"], ["y"], "f", domain="com.microsoft", normalized=1)],
        {"x": (FLOAT, [2, 6])},
        {"y": (FLOAT, [2, 4, 2])},
        domains={"com.microsoft": 1},
    )
    with pytest.raises(UnsupportedError, match="not normalised"):
        Explainer(proto)
