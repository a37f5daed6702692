"""Streams mixed by gates, causal convolutions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cases import fixed
from tests.expansions.checks import check, numbers

STREAMS, FLAT = numbers(2, 5, 3, 4), numbers(2, 5, 12)


@pytest.mark.parametrize(
    ("streams", "gates", "attributes"),
    [
        (STREAMS, (2, 5, 3), {"reduction_scale": 0.5}),
        (STREAMS, (2, 5, 3, 1), {}),
        (STREAMS, (2, 5, 3, 4), {}),
        (FLAT, (2, 5, 12), {"num_branches": 3}),
        (FLAT, (2, 5, 3), {"num_branches": 3}),
    ],
)
def test_streams_become_one(streams: Any, gates: Any, attributes: dict[str, Any]) -> None:
    check("HyperConnectionPreMix", streams, numbers(*gates), **attributes)


def test_streams_take_in_a_block() -> None:
    block, mix = numbers(2, 5, 4), numbers(2, 5, 3, 3)
    check("HyperConnectionPostMix", STREAMS, block, numbers(2, 5, 3), mix)
    check("HyperConnectionPostMix", STREAMS, block, numbers(2, 5, 3, 1))
    check("HyperConnectionPostMix", FLAT, block, numbers(2, 5, 3), mix, num_branches=3)


def test_gates_of_linear_attention() -> None:
    per_head = fixed(numbers(4)), fixed(numbers(4, seed=1))
    check("LinearAttentionGate", numbers(2, 5, 4), *per_head, numbers(2, 5, 4, seed=1), outputs=2)
    check("LinearAttentionGate", numbers(2, 5, 4), *per_head)


@pytest.mark.parametrize(
    ("state", "attributes"),
    [(None, {}), ((2, 4, 2), {"activation": "silu"}), ((2, 4, 4), {"dilation": 2})],
)
def test_causal_convolution(state: Any, attributes: dict[str, Any]) -> None:
    past = None if state is None else numbers(*state)
    kernel = fixed(numbers(4, 1, 3)), fixed(numbers(4))
    check("CausalConvWithState", numbers(2, 4, 7), *kernel, past, outputs=2, **attributes)


@pytest.mark.parametrize("outputs", [1, 2])
def test_gate_of_a_value_that_streams_share(outputs: int) -> None:
    scales = [fixed(numbers(3, 4, seed=k)) for k in range(3)]
    check(
        *("EngramGate", STREAMS, numbers(2, 5, 3, 4, seed=1), numbers(2, 5, 4), *scales),
        outputs=outputs,
        epsilon=1e-3,
    )
