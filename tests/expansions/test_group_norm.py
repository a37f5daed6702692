"""Group normalisation as optimisers of diffusion models write it, against torch and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.cases import fixed
from tests.expansions.checks import check_defined, numbers

Array = npt.NDArray[Any]
GAMMA, BETA, BIAS = (numbers(8, seed=k) for k in (2, 3, 4))


def group_norm(x: Array, groups: int, epsilon: float, silu: int) -> Array:
    """Of x with its channels first."""
    laid = x.astype(np.float64).reshape(len(x), groups, -1)
    centred = laid - laid.mean(-1, keepdims=True)
    unit = (centred / np.sqrt(centred.var(-1, keepdims=True) + epsilon)).reshape(x.shape)
    y = unit * GAMMA.reshape(-1, 1, 1) + BETA.reshape(-1, 1, 1)
    return np.asarray(y / (1 + np.exp(-y)) if silu else y, x.dtype)


def laid(x: Array, last: int) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("silu", [0, 1])
@pytest.mark.parametrize("groups", [1, 4])
def test_group_norm(last: int, silu: int, groups: int, tmp_path: Path) -> None:
    x = numbers(2, 8, 5, 3)
    made = check_defined(
        *("GroupNorm", laid(x, last), fixed(GAMMA), fixed(BETA)),
        answers=laid(group_norm(x, groups, 1e-3, silu), last),
        tolerance=1e-5,
        compiled=tmp_path,
        groups=groups,
        activation=silu,
        channels_last=last,
        epsilon=1e-3,
    )
    assert made.ledger.total().constants == pytest.approx(0)  # it passes, as the native one does


def test_half_precision_with_float_scales() -> None:
    x = numbers(2, 8, 5, 3)
    check_defined(
        *("GroupNorm", laid(x, 1).astype(np.float16), fixed(GAMMA), fixed(BETA)),
        answers=laid(group_norm(x, 4, 1e-5, 0), 1).astype(np.float16),
        tolerance=3e-3,
        groups=4,
        activation=0,
    )


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("bias", [None, BIAS])
@pytest.mark.parametrize("flat", [False, True])
def test_skip_group_norm(last: int, bias: Any, flat: bool, tmp_path: Path) -> None:
    x, skip = numbers(2, 8, 5, 3), numbers(2, 8, *((1, 1) if flat else (5, 3)), seed=1)
    total = x + skip + (0 if bias is None else bias.reshape(-1, 1, 1))
    given = skip[:, :, 0, 0] if flat else laid(skip, last)
    check_defined(
        *("SkipGroupNorm", laid(x, last), fixed(GAMMA), fixed(BETA), given),
        *(() if bias is None else (fixed(bias),)),
        answers=[laid(group_norm(total, 4, 1e-5, 1), last), laid(total, last)],
        tolerance=1e-5,
        compiled=tmp_path,
        groups=4,
        activation=1,
        channels_last=last,
    )
