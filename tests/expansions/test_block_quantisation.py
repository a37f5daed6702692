"""Weights of a few bits, and mixtures of experts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.cases import Fixed, fixed
from tests.expansions.checks import check, check_defined, numbers


def packed(*shape: int) -> Fixed:
    return fixed(np.random.default_rng(shape).integers(0, 256, shape), np.uint8)


def scales(*shape: int) -> Fixed:
    return fixed(0.02 * np.abs(numbers(*shape)))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", ["none", "packed", "real"])
def test_matmul_of_weights_in_blocks(bits: int, zeros: str) -> None:
    given = {
        "none": None,
        "packed": packed(6, (3 * bits + 7) // 8),
        "real": fixed(numbers(6, 3)),
    }[zeros]
    if bits == 8 and zeros == "real":
        pytest.skip("onnxruntime does not run it")
    check(
        *("MatMulNBits", numbers(2, 5, 40), packed(6, 3, 2 * bits), scales(6, 3), given),
        K=40,
        N=6,
        block_size=16,
        bits=bits,
    )


def test_activations_that_onnxruntime_rounds_are_not_rounded() -> None:
    check(
        *("MatMulNBits", numbers(5, 32), packed(8, 2, 8), scales(16), packed(8), None),
        fixed(numbers(8)),
        K=32,
        N=8,
        block_size=16,
        accuracy_level=4,
        tolerance=1e-2,
    )


def real(packed: Fixed, scales: Fixed, bits: int, features: int) -> npt.NDArray[np.float32]:
    """What weights [made, blocks, bytes] of 4 or 8 bits stand for: [features, made]."""
    x = packed.array
    x = np.stack([x & 15, x >> 4], -1).reshape(*x.shape[:2], -1) if bits == 4 else x
    blocks = (x.astype(np.float32) - 2.0 ** (bits - 1)) * scales.array[..., None]
    made = blocks.reshape(len(x), -1)[:, :features]
    return made.T.astype(np.float32)


@pytest.mark.parametrize("rank", [20, 0])
def test_matmul_with_an_adapter(rank: int) -> None:
    x, base = numbers(2, 5, 40), (packed(6, 3, 8), scales(6, 3))
    down, up = (packed(rank, 2, 32), scales(20, 2)), (packed(6, 1, 32), scales(6, 1))
    answer = x @ real(*base, 4, 40)
    if rank:
        answer += x @ real(*down, 8, 40) @ real(*up, 8, 20)
    check_defined(
        *("MatMulNBitsQLoRA", x, *base, *down, *up),
        answers=answer,
        tolerance=1e-5,
        **{"K": 40, "N": 6, "bits": 4, "block_size": 16, "lora_bits": 8, "lora_block_size": 32},
    )


def test_a_matmul_without_weights_makes_nothing() -> None:
    empty = fixed(np.zeros((6, 3, 0), np.uint8)), fixed(np.zeros(0, np.float32))
    check_defined(
        *("MatMulNBits", numbers(5, 40), *empty),
        answers=np.zeros((5, 6), np.float32),
        **{"K": 40, "N": 6, "bits": 4, "block_size": 16},
    )


@pytest.mark.parametrize("kind", [0, 1])
def test_matmul_of_four_bit_floats(kind: int) -> None:
    check(
        *("MatMulBnb4", numbers(2, 5, 32), packed(96), scales(12)),
        K=32,
        N=6,
        block_size=16,
        quant_type=kind,
    )


def test_rows_of_tables_in_blocks() -> None:
    ids = np.array([[1, 2], [6, 0]])
    for bits, table, zeros in ((4, packed(7, 16), None), (8, packed(7, 32), packed(7, 2))):
        made = check(
            *("GatherBlockQuantized", table, ids, scales(7, 2), zeros),
            bits=bits,
            block_size=16,
            quantize_axis=1,
        )
        assert made.relevance["x0"].all()


def layers(width: int) -> list[Any]:
    shapes = (4, width, 8), (4, width), (4, 8, 6), (4, 8)
    return [fixed(numbers(*shape)) for shape in shapes]


@pytest.mark.parametrize(
    ("width", "attributes"),
    [
        (6, {"k": 1}),
        (6, {"k": 2, "normalize_routing_weights": 1, "activation_type": "gelu"}),
        (6, {"k": 2, "activation_type": "silu"}),
        (6, {"k": 3, "activation_type": "identity"}),
        (12, {"k": 2, "activation_type": "swiglu", "swiglu_fusion": 1}),
        (
            12,
            {
                "k": 2,
                "activation_type": "swiglu",
                "swiglu_fusion": 1,
                "activation_alpha": 1.7,
                "activation_beta": 1.0,
                "swiglu_limit": 0.5,
            },
        ),
    ],
)
def test_mixture_of_experts(width: int, attributes: dict[str, Any]) -> None:
    router = numbers(10, 4)
    check("MoE", numbers(2, 5, 8), router, *layers(width), **attributes)
    made = check("MoE", numbers(10, 8), router, *layers(width), **attributes)
    chosen = made.relevance["x1"] != 0
    assert (chosen.sum(1) <= attributes["k"]).all()


@pytest.mark.parametrize(("bits", "block"), [(4, 0), (8, 0), (4, 16)])
def test_quantised_mixture_of_experts(bits: int, block: int) -> None:
    of_one, of_two = ((4, 32), (4, 32)) if not block else ((4, 32, 2), (4, 32, 1))
    check(
        *("QMoE", numbers(10, 32), numbers(10, 4), packed(4, 32, 4 * bits), scales(*of_one)),
        *(fixed(numbers(4, 32)), packed(4, 32, 2 * bits), scales(*of_two), fixed(numbers(4, 32))),
        k=2,
        activation_type="swiglu",
        swiglu_fusion=1,
        expert_weight_bits=bits,
        **({"block_size": block} if block else {}),
    )
