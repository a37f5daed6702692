"""Attention of decoders with their caches, against NumPy and onnxruntime's own Attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.errors import UnsupportedError
from tests.cases import fixed, one, session
from tests.expansions.checks import MICROSOFT, check_defined, numbers, whole
from tests.expansions.test_biases import softmax
from tests.graphs import FLOAT, model, node

Array = npt.NDArray[Any]
HEADS, SIZE = 2, 3
QUERY, KEY = numbers(4, 2, 6), numbers(5, 2, 6, seed=1)
CACHES = numbers(2, HEADS, 3, SIZE), numbers(2, HEADS, 3, SIZE, seed=1)
WQ, WKV, B = numbers(6, 6), numbers(6, 12), numbers(18)


def by_heads(x: Array) -> Array:
    """[tokens, samples, features] as [samples, heads, tokens, size]."""
    return x.reshape(*x.shape[:2], HEADS, SIZE).transpose(1, 2, 0, 3)


@pytest.mark.parametrize("crossing", [False, True])
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_decoder_attention(crossing: bool, cached: bool, padded: bool, tmp_path: Path) -> None:
    q = by_heads(QUERY @ WQ + B[:6])
    k, v = (by_heads(x) for x in np.split((KEY if crossing else QUERY) @ WKV + B[6:], 2, -1))
    if cached:
        old = CACHES
        k, v = old if crossing else (np.concatenate(x, 2) for x in zip(old, (k, v), strict=True))
    mask = np.zeros((2, k.shape[2]), bool)
    mask[1, -2:] = padded
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(SIZE)
    scores = np.where(mask[:, None, None], -np.inf, scores)
    y = (softmax(scores, (3,)) @ v).transpose(2, 0, 1, 3).reshape(QUERY.shape)
    switches = [fixed(np.bool_(on)) for on in (crossing, cached, True, padded)]
    check_defined(
        *("DecoderAttention", QUERY, KEY, fixed(WQ), fixed(WKV), fixed(B), fixed(mask)),
        *(*CACHES, *switches),
        answers=[y.astype(np.float32), k.copy(), v.copy()],
        compiled=tmp_path,
        num_heads=HEADS,
    )


def test_switches_must_be_known() -> None:
    names = ["q", "k", "wq", "wkv", "b", "", "", "", "on", "off", "off", "off"]
    proto = model(
        [node("DecoderAttention", names, ["y"], "d", domain=MICROSOFT, num_heads=HEADS)],
        {"q": (FLOAT, [4, 2, 6]), "k": (FLOAT, [5, 2, 6]), "on": (9, [1])},
        {"y": (FLOAT, [4, 2, 6])},
        {"wq": WQ, "wkv": WKV, "b": B, "off": np.bool_(False)},
        domains={MICROSOFT: 1},
    )
    with pytest.raises(UnsupportedError, match="must be a constant"):
        Explainer(proto)


@pytest.mark.parametrize("masked", [False, True])
def test_decoder_masked_self_attention(masked: bool, tmp_path: Path) -> None:
    x, past = numbers(2, 1, 6), np.stack(CACHES)
    mask = fixed([[1, 1, 1, 1], [0, 1, 1, 1]], np.int32) if masked else None
    given = (x, fixed(np.concatenate([WQ, WKV], 1)), fixed(B), mask, past)
    plain = whole(one("Attention", *given, domain=MICROSOFT, outputs=2, num_heads=HEADS))
    y, present = session(plain.proto).run(["y", "y1"], plain.feeds)
    check_defined(
        *("DecoderMaskedSelfAttention", *given, None, fixed(3, np.int32)),
        answers=[y, present],
        compiled=tmp_path,
        num_heads=HEADS,
    )
