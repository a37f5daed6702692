"""Attention with grouped queries and a cache; rotary positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.graph.rotation_tables import is_rotation_table
from tests.cases import fixed
from tests.expansions.checks import Array, check, explained, numbers
from tests.graphs import FLOAT, INT64, model, node

ANGLES = np.outer(np.arange(16), 1 / 10000 ** (np.arange(8) / 8)).astype(np.float32)
COS, SIN = np.cos(ANGLES), np.sin(ANGLES)
PLACES = np.array([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]])
HEADS = {"num_heads": 4, "kv_num_heads": 2, "outputs": 3}


def int32(*values: int) -> Array:
    return np.array(values, np.int32)


def total(value: int) -> Array:
    return np.array(value, np.int32)


def projected(samples: int, tokens: int) -> tuple[Array, ...]:
    shapes = ((samples, tokens, n) for n in (64, 32, 32))
    return tuple(numbers(*shape, seed=k) for k, shape in enumerate(shapes))


TURNED = [
    {},
    {"rotary_interleaved": 1},
    {"local_window_size": 2},
    {"softcap": 1.5},
    {"smooth_softmax": 1, "scale": 0.3},
]


@pytest.mark.parametrize("attributes", TURNED)
def test_prompt(attributes: dict[str, Any]) -> None:
    made = check(
        *("GroupQueryAttention", *projected(2, 5), None, None, int32(4, 4), total(5)),
        *(fixed(COS), fixed(SIN)),
        do_rotary=1,
        **HEADS,
        **attributes,
    )
    assert not any(made.relevance[name].any() for name in ("x3", "x4"))


@pytest.mark.parametrize("attributes", TURNED)
@pytest.mark.parametrize("buffer", [4, 9])
def test_new_tokens_with_a_cache_of_unequal_lengths(
    attributes: dict[str, Any], buffer: int
) -> None:
    cache = numbers(2, 2, buffer, 16), numbers(2, 2, buffer, 16, seed=1)
    made = check(
        *("GroupQueryAttention", *projected(2, 1), *cache, int32(4, 2), total(5)),
        *(fixed(COS), fixed(SIN)),
        do_rotary=1,
        **HEADS,
        **attributes,
    )
    assert not made.relevance["x4"][1, :, 2:].any()  # the second sample has two earlier tokens
    assert not made.relevance["x4"][0, :, 4:].any()


def test_several_new_tokens_scores_with_additions_and_packed_heads(tmp_path: Path) -> None:
    cache = numbers(1, 2, 4, 16), numbers(1, 2, 4, 16, seed=1)
    check(
        *("GroupQueryAttention", *projected(1, 3), *cache, int32(6), total(7)),
        *(fixed(COS), fixed(SIN)),
        do_rotary=1,
        **HEADS,
    )
    prompt = (int32(4, 4), total(5))
    check("GroupQueryAttention", numbers(2, 5, 128), *[None] * 4, *prompt, **HEADS)
    check(
        *("GroupQueryAttention", *projected(2, 5), None, None, fixed([4, 4], np.int32)),
        fixed(5, np.int32),
        compiled=tmp_path,
        **HEADS,
    )
    check("GroupQueryAttention", *projected(2, 5), None, None, *prompt, causal=0, **HEADS)
    added, sink = numbers(1, 1, 5, 5), fixed(numbers(4))
    for more in ((added,), (None, sink)):
        check(
            *("GroupQueryAttention", *projected(2, 5), None, None, *prompt, None, None, None),
            *more,
            **HEADS,
        )
    buffer = numbers(2, 2, 4, 16), numbers(2, 2, 4, 16, seed=1)
    check(
        *("GroupQueryAttention", *projected(2, 1), *buffer, int32(4, 2), total(5)),
        *(None, None, None, numbers(1, 4, 1, 5)),
        **HEADS,
    )


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding(interleaved: int) -> None:
    cos, sin = fixed(COS[:, :4]), fixed(SIN[:, :4])
    for x, places, more in (
        (numbers(2, 5, 16), PLACES, {}),
        (numbers(2, 2, 5, 8), PLACES, {}),
        (numbers(2, 5, 16), np.array([3]), {}),
        (numbers(2, 5, 24), PLACES, {"num_heads": 2, "rotary_embedding_dim": 8}),
    ):
        made = check("RotaryEmbedding", x, places, cos, sin, interleaved=interleaved, **more)
        assert not made.relevance["x1"].any()
    given = {"domain": "", "opset": 23, "interleaved": interleaved}
    check("RotaryEmbedding", numbers(2, 5, 16), cos, sin, PLACES, num_heads=2, **given)
    check(
        "RotaryEmbedding",
        numbers(2, 2, 5, 8),
        *(fixed(t.array[PLACES]) for t in (cos, sin)),
        **given,
    )


@pytest.mark.parametrize("layout", [0, 1])
def test_rotary_embedding_of_several_position_streams(layout: int) -> None:
    streams = np.stack([PLACES, PLACES + 1, PLACES + 3])
    check(
        *("MRotaryEmbedding", numbers(2, 5, 16), streams, fixed(COS[:, :4]), fixed(SIN[:, :4])),
        num_heads=2,
        mrope_section=[2, 1, 1],
        mrope_layout=layout,
    )


def test_tables_of_angles_are_told_from_embeddings() -> None:
    both = np.concatenate([SIN, COS], 1)
    for table in (COS, SIN, both, COS.astype(np.float16), 1.3 * COS):
        assert is_rotation_table(table)
    assert is_rotation_table(both.T, axis=1)
    for table in (numbers(16, 8), numbers(100, 3), COS[:3], np.zeros((9, 2)), ANGLES[0]):
        assert not is_rotation_table(table)


@pytest.mark.parametrize("looked_up", [True, False])
def test_positions_that_turn_take_nothing(looked_up: bool) -> None:
    """Cosines looked up and cosines computed from the positions are explained alike."""
    frequencies = (1 / 10000 ** (np.arange(8) / 8)).astype(np.float32)
    if looked_up:
        cosines = [node("Gather", ["table", "places"], ["cos"], "look")]
    else:
        cosines = [
            node("Cast", ["places"], ["real"], "cast", to=1),
            node("Unsqueeze", ["real", "last"], ["column"], "column"),
            node("Mul", ["column", "frequencies"], ["angles"], "angles"),
            node("Cos", ["angles"], ["cos"], "cos"),
        ]
    proto = model(
        [*cosines, node("Mul", ["x", "cos"], ["y"], "turn")],
        {"x": (FLOAT, ["N", 5, 8]), "places": (INT64, ["N", 5])},
        {"y": (FLOAT, ["N", 5, 8])},
        {"table": COS, "last": np.array([2]), "frequencies": frequencies},
    )
    made = explained(proto, {"x": numbers(2, 5, 8), "places": PLACES}, start=np.ones((2, 5, 8)))
    np.testing.assert_array_equal(made.relevance["x"], np.ones((2, 5, 8)))
    assert not made.relevance["places"].any()
