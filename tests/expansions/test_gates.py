"""Gated activations, against what their definitions say in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.cases import fixed
from tests.expansions.checks import check, check_defined, numbers

Array = npt.NDArray[Any]
GATE, UP = 3 * numbers(2, 5, 6), 3 * numbers(2, 5, 6, seed=1)
OPTIONS = {"activation_alpha": 1.702, "activation_beta": 1.0, "limit": 2.0}


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def swiglu(gate: Array, up: Array, alpha: float, beta: float, limit: float) -> Array:
    """As onnxruntime's documentation says; a limit of zero is none."""
    if limit > 0:
        gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
    return (gate * sigmoid(alpha * gate) * (up + beta)).astype(np.float32)


@pytest.mark.parametrize("limit", [0.0, 2.0])
def test_swiglu_of_two_halves(limit: float, tmp_path: Path) -> None:
    attributes = {**OPTIONS, "limit": limit}
    answer = swiglu(GATE, UP, 1.702, 1.0, limit)
    check_defined("SwiGLU", GATE, UP, answers=answer, compiled=tmp_path, **attributes)
    whole = np.concatenate([GATE, UP], -1)
    made = check_defined("SwiGLU", whole, answers=answer, **attributes)
    assert made.relevance["x0"].shape == whole.shape


def test_swiglu_without_attributes_is_that_of_the_standard() -> None:
    check_defined("SwiGLU", GATE, UP, answers=swiglu(GATE, UP, 1.0, 0.0, 0.0))


def test_router_and_halves_of_one_product() -> None:
    x, weight = numbers(2, 5, 4), numbers(4, 3 + 2 * 6)
    product = x @ weight
    router, gate, up = np.split(product, [3, 9], -1)
    answers = [router, swiglu(gate, up, 1.702, 1.0, 2.0)]
    attributes = {**OPTIONS, "router_size": 3}
    check_defined("RouterGateUpProj", x, fixed(weight), answers=answers, **attributes)


def test_a_gate_with_weights() -> None:
    x, y, gate, weight = numbers(5, 6), numbers(5, 6, seed=1), numbers(5, 4), numbers(4, 1)
    answer = x + y * sigmoid(gate @ weight)
    check_defined("GatedAdd", x, y, gate, fixed(weight), answers=answer)


@pytest.mark.parametrize(
    "attributes",
    [
        {"n_group": 4, "topk_group": 2, "group_topk": 2, "top_k": 3},
        {"n_group": 2, "topk_group": 1, "group_topk": 9, "top_k": 2, "router_sentinel": -50.0},
        {"top_k": 4},
    ],
)
def test_router_of_groups(attributes: dict[str, Any]) -> None:
    bias = fixed(0.1 * numbers(16))
    made = check("MoEGroupRouter", numbers(10, 16), bias, **attributes)
    chosen = made.relevance["x0"] != 0
    assert (chosen.sum(1) <= attributes["top_k"]).all() and chosen.any()


def test_all_scores_of_a_router() -> None:
    x, bias, weight = numbers(10, 16), numbers(16), numbers(16, 8)
    shares = sigmoid(x)
    answers = [None, shares + bias, shares]
    check_defined("MoEGroupRouter", x, fixed(bias), answers=answers, top_k=2)
    of_rows = sigmoid(numbers(10, 8) @ weight.T)
    check_defined(
        *("MoEGroupRouter", numbers(10, 8), fixed(bias), fixed(weight)),
        answers=[None, of_rows + bias, of_rows],
        top_k=2,
    )


def normalised(x: Array, scale: Array, epsilon: float) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * scale


@pytest.mark.parametrize("positions", ["base", "each"])
@pytest.mark.parametrize(("start", "width", "turned"), [(0, 0, 8), (2, 6, 4)])
def test_normalised_and_turned(positions: str, start: int, width: int, turned: int) -> None:
    x, scale = numbers(2, 5, 3, 8).astype(np.float16), numbers(width or 8)
    angles = 0.3 * np.arange(20)[:, None] / (1 + np.arange(turned // 2))
    cos, sin = (f(angles).astype(np.float32) for f in (np.cos, np.sin))
    at = np.array([[4, 3, 2, 1, 0], [9, 8, 7, 6, 5]]) if positions == "each" else np.array([7])
    rows = np.broadcast_to(at if positions == "each" else at + np.arange(5), (2, 5))
    unit = normalised(x.astype(np.float32)[..., start : start + (width or 8)], scale, 1e-6)
    half = turned // 2
    first, second = unit[..., :half], unit[..., half:turned]
    c, s = cos[rows][:, :, None], sin[rows][:, :, None]
    parts = [first * c - second * s, first * s + second * c, unit[..., turned:]]
    y = np.concatenate(parts, -1).reshape(2, 5, -1).astype(np.float16)
    check_defined(
        *("RMSNormRotary", x, fixed(scale), fixed(at), fixed(cos), fixed(sin)),
        answers=[y, unit],
        tolerance=2e-3,
        rotary_embedding_dim=turned,
        output_fp16=1,
        input_start=start,
        input_width=width,
    )


@pytest.mark.parametrize("prologue", [True, False])
def test_streams_gated_by_a_network_of_low_rank(prologue: bool, tmp_path: Path) -> None:
    streams, block, gates = numbers(2, 5, 12), numbers(2, 5, 4), numbers(2, 5, 3)
    scale, down, up, inject = numbers(12), numbers(12, 2), numbers(2, 12), numbers(12, 3)
    grouped = streams.reshape(2, 5, 3, 4)
    if prologue:
        grouped = grouped + gates[..., None] * block[..., None, :]
    flat = normalised(grouped, scale.reshape(3, 4), 1e-5).reshape(2, 5, 12)
    z = 0.5 * (flat @ down)
    opened = flat * sigmoid((z * sigmoid(z)) @ up)
    mixed = 0.25 * opened.reshape(2, 5, 3, 4).sum(-2)
    answers = [mixed, 2 * sigmoid(flat @ inject / 3), grouped.reshape(2, 5, 12)]
    check_defined(
        *("HyperConnectionLowRankMix", streams, *(fixed(w) for w in (scale, down, up, inject))),
        *((block, gates) if prologue else ()),
        answers=answers,
        compiled=tmp_path,
        tolerance=1e-5,
        num_branches=3,
        **{"silu_alpha": 0.5, "reduction_scale": 0.25, "gate_div": 3.0, "gate_mul": 2.0},
    )
