"""Walks in parts, some rows of attention at a time: the same as the walk at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from backtrace_onnx import Explainer, Explanation
from backtrace_onnx.propagation import part_runs, parts
from backtrace_onnx.propagation.part_runs import PartRuns
from tests.cases import Case, fixed, one, starts
from tests.checks import check_ledger
from tests.expansions.checks import numbers
from tests.graphs import Array

TOKENS, MICROSOFT = 40, "com.microsoft"
MODES = ("default", "contrastive", "gradient", "lrp", "attnlrp", "cp-lrp", "gamma(0.25)")
Q, K, V = (numbers(2, TOKENS, 8, seed=i) for i in range(3))
MASK = np.ones((2, TOKENS), np.int32)
MASK[1, 29:] = 0
STANDARD: dict[str, Any] = {"domain": "", "opset": 23}


def by_heads(x: Array, count: int) -> Array:
    return np.ascontiguousarray(x.reshape(2, TOKENS, count, -1).swapaxes(1, 2))


HEADS = [by_heads(x, 4) for x in (Q, K, V)]
FEW = [by_heads(x[..., :4], 2) for x in (K, V)]


def written_out() -> onnx.ModelProto:
    """Two layers of causal attention over tokens, of which some are padding, and a head."""
    layer = """
        q{i} = MatMul(h{i}, w)  k{i} = MatMul(h{i}, v)  u{i} = MatMul(h{i}, wu)
        s{i} = MatMul(q{i}, t{i})  t{i} = Transpose <perm = [0, 2, 1]> (k{i})
        z{i} = Mul(s{i}, half)  m{i} = Add(z{i}, hidden)  a{i} = Softmax <axis = -1> (m{i})
        o{i} = MatMul(a{i}, u{i})  p{i} = Tanh(o{i})  h{j} = Add(h{i}, p{i})
    """
    layers = "".join(layer.format(i=i, j=i + 1) for i in range(2))
    proto = parser.parse_model(f"""
        <ir_version: 10, opset_import: ["": 18]>
        net (int64[batch, tokens] ids, int64[batch, tokens] mask) => (float[batch, 3] y)
            <float half = {{0.5}}, float zero = {{0.0}}, float lowest = {{-10000.0}},
             int64 first = {{0}}, int64 one = {{1}}>
        {{
            shape = Shape <start = 1, end = 2> (ids)  count = Squeeze(shape)
            at = Range(first, count, one)  rows = Unsqueeze(at, axis)
            before = GreaterOrEqual(rows, at)  real = Cast <to = 9> (mask)
            wide = Unsqueeze(real, axis)  seen = And(before, wide)
            hidden = Where(seen, zero, lowest)
            h0 = Gather(table, ids) {layers}
            mean = ReduceMean <keepdims = 0> (h2, axis)  y = MatMul(mean, out)
        }}""")
    weights = {name: numbers(4, 4, seed=i) for i, name in enumerate(("w", "v", "wu"))}
    weights |= {"table": numbers(9, 4), "out": numbers(4, 3), "axis": np.array([1])}
    made = (numpy_helper.from_array(x, name) for name, x in weights.items())
    proto.graph.initializer.extend(made)
    return proto


IDS = {"ids": np.random.default_rng(0).integers(0, 9, (2, TOKENS)), "mask": MASK.astype(np.int64)}
CASES: dict[str, Case] = {
    "fused": one(
        *("Attention", Q, fixed(numbers(8, 24)), fixed(numbers(24)), fixed(MASK)),
        domain=MICROSOFT,
        num_heads=4,
        unidirectional=1,
    ),
    "by features": one("MultiHeadAttention", Q, K, V, domain=MICROSOFT, num_heads=4),
    "standard": one("Attention", *HEADS, is_causal=1, **STANDARD),
    "masked, capped": one(
        "Attention", *HEADS, numbers(2, 1, TOKENS, TOKENS), softcap=2.0, scale=0.3, **STANDARD
    ),
    "grouped": one("Attention", HEADS[0], *FEW, is_causal=1, **STANDARD),
    "written out": Case(written_out(), IDS),
}


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the tensors that were walked some rows at a time, once for each block; all are."""
    found: list[str] = []
    whole = PartRuns.blocks

    def told(self: PartRuns, part: Any, *given: Any) -> Any:
        for made in whole(self, part, *given):
            found.append(part.output)
            yield made

    monkeypatch.setattr(PartRuns, "blocks", told)
    monkeypatch.setattr(parts, "MOST", 0)
    monkeypatch.setattr(part_runs, "AT_ONCE", 7 * 4 * 4 * TOKENS)  # 7 of 40 rows
    yield found


def ask(case: Case, mode: str, **options: Any) -> Explanation:
    start = starts(case, mode if mode == "contrastive" else "default")
    given = start if len(start) > 1 else start[0]
    explainer = Explainer(case.proto)
    made: Explanation = explainer.explain(
        case.feeds, mode=mode, output=case.output, start=given, **options
    )
    return made


def check_same(found: Explanation, want: Explanation) -> None:
    for name, r in want.relevance.items():
        size = max(float(np.abs(r).max()), 1e-30)
        np.testing.assert_allclose(found.relevance[name] / size, r / size, atol=3e-6)
    assert found.ledger.keys() == want.ledger.keys()
    scale = float(np.abs(want.ledger.total().start).max())
    for name, entry in want.ledger.items():
        for kind in ("incoming", "data", "constants", "unassigned"):
            got, right = (getattr(x, kind) / scale for x in (found.ledger[name], entry))
            np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-5, err_msg=f"{name} {kind}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_attention(name: str, mode: str, request: pytest.FixtureRequest) -> None:
    want = ask(CASES[name], mode)
    blocks = request.getfixturevalue("blocks")
    found = ask(CASES[name], mode)
    assert len(blocks) >= 2 * len(set(blocks)) > 0
    check_same(found, want)
    if want.ledger.total().relative_residual < 1e-4:
        check_ledger(found)


@pytest.mark.parametrize("mode", ["attnlrp", "lrp", "gradient"])
def test_the_same_again_and_alone(mode: str, blocks: list[str]) -> None:
    case = CASES["written out"]
    found, again = ask(case, mode), ask(case, mode)
    alone = ask(Case(case.proto, {n: x[:1] for n, x in IDS.items()}), mode)
    assert set(blocks) == {"o0", "o1"}
    for name, r in found.relevance.items():
        np.testing.assert_array_equal(again.relevance[name], r)
        np.testing.assert_array_equal(alone.relevance[name], r[:1])


def test_a_tensor_that_is_asked_for_is_whole(request: pytest.FixtureRequest) -> None:
    """Attention weights of one layer: it is not cut, the other one is."""
    case = CASES["written out"]
    through = {"h1": np.array([True, False, True, True])}
    want = ask(case, "attnlrp", keep=["a1"], through=through)
    blocks = request.getfixturevalue("blocks")
    found = ask(case, "attnlrp", keep=["a1"], through=through)
    assert set(blocks) == {"o0"} and found.relevance["a1"].shape == (2, TOKENS, TOKENS)
    check_same(found, want)
    blocks.clear()
    assert ask(case, "attnlrp", keep=["a0", "a1"]).relevance["a0"].any() and not blocks


def test_several_targets(request: pytest.FixtureRequest) -> None:
    case = CASES["written out"]
    want = Explainer(case.proto).explain(case.feeds, targets="all", mode="attnlrp")
    blocks = request.getfixturevalue("blocks")
    found = Explainer(case.proto).explain(case.feeds, targets="all", mode="attnlrp")
    assert blocks
    for one_found, one_wanted in zip(found, want, strict=True):
        check_same(one_found, one_wanted)


def test_what_is_compared_with_a_reference_is_walked_at_once(blocks: list[str]) -> None:
    ask(CASES["by features"], "deeplift", baseline="zeros")
    assert not blocks
