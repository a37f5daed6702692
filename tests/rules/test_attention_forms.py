"""Attention however it was written: masks, positions, shared keys, routing; same and exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import NodeProto

from backtrace_onnx import Explainer, Explanation
from tests.checks import check_ledger
from tests.graphs import BOOL, FLOAT, INT64, model, node

Array = npt.NDArray[Any]
LOW = float(np.finfo(np.float32).min)
MODES = ("default", "contrastive")
X = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
SHOWN = ~MASK[0].astype(bool)


def weights() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    made: dict[str, Any] = {f"w{p}": rng.standard_normal((8, 8)) for p in "qkv"}
    made |= {f"b{p}": rng.standard_normal(8) for p in "qkv"}
    reals = {"root": 2.0, "half": 0.5, "quarter": 0.5**0.5, "one": 1.0, "zero": 0.0}
    made |= reals | {"low": -1e4, "lowest": LOW, "minus": -np.inf}
    made = {name: np.asarray(w, np.float32) for name, w in made.items()}
    made |= {"heads": np.array([0, 0, 2, 4]), "flat": np.array([0, 0, 8]), "by": np.array([1, 2])}
    return made | {"none": np.int64(0), "single": np.int64(1), "last": np.array([-1])}


def projections() -> list[NodeProto]:
    """q, k, v by heads: [samples, 2, tokens, 4]."""
    nodes = []
    for p in "qkv":
        nodes += [
            node("MatMul", ["x", f"w{p}"], [f"{p}0"], f"{p}/product"),
            node("Add", [f"{p}0", f"b{p}"], [f"{p}1"], f"{p}/bias"),
            node("Reshape", [f"{p}1", "heads"], [f"{p}2"], f"{p}/heads"),
            node("Transpose", [f"{p}2"], [p], f"{p}/turned", perm=[0, 2, 1, 3]),
        ]
    return nodes


def ending() -> list[NodeProto]:
    return [
        node("Transpose", ["o"], ["o0"], "back", perm=[0, 2, 1, 3]),
        node("Reshape", ["o0", "flat"], ["y"], "merged"),
    ]


TURNED = node("Transpose", ["k"], ["kt"], "kt", perm=[0, 1, 3, 2])
SCORES = {
    "scores divided": [
        TURNED,
        node("MatMul", ["q", "kt"], ["s0"], "scores"),
        node("Div", ["s0", "root"], ["s"], "scaled"),
    ],
    "q scaled": [
        TURNED,
        node("Mul", ["q", "half"], ["q9"], "scaled"),
        node("MatMul", ["q9", "kt"], ["s"], "scores"),
    ],
    "both scaled": [
        TURNED,
        node("Mul", ["q", "quarter"], ["q9"], "scaled q"),
        node("Mul", ["kt", "quarter"], ["k9"], "scaled k"),
        node("MatMul", ["q9", "k9"], ["s"], "scores"),
    ],
    "root of the shape": [
        TURNED,
        node("MatMul", ["q", "kt"], ["s0"], "scores"),
        node("Shape", ["q"], ["size"], "size", start=-1),
        node("Cast", ["size"], ["real size"], "real size", to=1),
        node("Sqrt", ["real size"], ["size root"], "size root"),
        node("Div", ["s0", "size root"], ["s"], "scaled"),
    ],
    "einsum": [
        node("Einsum", ["q", "k"], ["s0"], "scores", equation="bhqd,bhkd->bhqk"),
        node("Mul", ["s0", "half"], ["s"], "scaled"),
    ],
}
PLAIN = [
    node("Softmax", ["m"], ["a"], "softmax", axis=-1),
    node("MatMul", ["a", "v"], ["o"], "weighed"),
]


def subtracted(low: str) -> list[NodeProto]:
    """(1 - mask) * low, added."""
    return [
        node("Cast", ["mask"], ["mask real"], "mask real", to=1),
        node("Unsqueeze", ["mask real", "by"], ["mask laid"], "mask laid"),
        node("Sub", ["one", "mask laid"], ["mask turned"], "mask turned"),
        node("Mul", ["mask turned", low], ["mask low"], "mask low"),
        node("Add", ["s", "mask low"], ["m"], "masked"),
    ]


KEPT = [
    node("Cast", ["mask"], ["kept0"], "kept", to=BOOL),
    node("Unsqueeze", ["kept0", "by"], ["kept"], "kept laid"),
]
MASKS = {
    "-10000": [*subtracted("low"), *PLAIN],
    "lowest": [*subtracted("lowest"), *PLAIN],
    "where": [*KEPT, node("Where", ["kept", "s", "minus"], ["m"], "masked"), *PLAIN],
    "where added": [
        *KEPT,
        node("Where", ["kept", "zero", "minus"], ["mask low"], "mask low"),
        node("Add", ["s", "mask low"], ["m"], "masked"),
        *PLAIN,
    ],
    "cleaned": [
        *KEPT,
        node("Where", ["kept", "s", "minus"], ["m"], "masked"),
        node("Softmax", ["m"], ["a0"], "softmax", axis=-1),
        node("IsNaN", ["a0"], ["bad"], "bad"),
        node("Where", ["bad", "zero", "a0"], ["a"], "clean"),
        node("MatMul", ["a", "v"], ["o"], "weighed"),
    ],
}


def built(nodes: Sequence[NodeProto], more: Mapping[str, Any] | None = None) -> onnx.ModelProto:
    made = [*projections(), *nodes, *ending()]
    used = {name for n in made for name in n.input}
    inputs = {"x": (FLOAT, ["N", "S", 8])}
    if "mask" in used:
        inputs["mask"] = (INT64, ["N", "S"])
    given = {k: w for k, w in {**weights(), **(more or {})}.items() if k in used}
    return model(made, inputs, {"y": (FLOAT, ["N", "S", 8])}, given)


def explained(proto: onnx.ModelProto, mode: str, sample: int | None = None) -> Explanation:
    feeds: dict[str, Array] = {"x": X, "mask": MASK}
    feeds = {i.name: feeds[i.name] for i in proto.graph.input}
    if sample is not None:
        feeds = {name: x[sample : sample + 1] for name, x in feeds.items()}
    start = np.abs(np.random.default_rng(2).standard_normal((2, 5, 8))).astype(np.float32)
    start *= MASK[..., None]  # what is asked are tokens that are there
    given = (start, start[:, :, ::-1].copy()) if mode == "contrastive" else (start,)
    if sample is not None:
        given = tuple(r[sample : sample + 1] for r in given)
    made = Explainer(proto).explain(feeds, mode=mode, start=given if len(given) > 1 else given[0])
    check_ledger(made, each=True)
    return made


def same(ours: Explanation, theirs: Explanation, tolerance: float = 1e-5) -> None:
    for channel in ("positive", "negative"):
        a, b = (getattr(e, channel) for e in (ours, theirs))
        if "x" in b:
            assert np.abs(a["x"] - b["x"]).max() <= tolerance * np.abs(b["x"]).max()


@pytest.mark.parametrize("mode", MODES)
def test_any_scaling_any_mask(mode: str) -> None:
    """Masked tokens carry exactly 0, the mask takes nothing, and all forms agree."""
    wanted = explained(built([*SCORES["scores divided"], *MASKS["-10000"]]), mode)
    forms = [("scores divided", name) for name in MASKS] + [(name, "lowest") for name in SCORES]
    for scaling, mask in forms:
        made = explained(built([*SCORES[scaling], *MASKS[mask]]), mode)
        assert not made.relevance["mask"].any(), (scaling, mask)
        assert not made.relevance["x"][0, SHOWN].any(), (scaling, mask)
        same(made, wanted)


@pytest.mark.parametrize("mask", MASKS)
def test_batch_is_explained_as_alone_and_compiled(mask: str, tmp_path: Path) -> None:
    proto = built([*SCORES["q scaled"], *MASKS[mask]])
    for mode in MODES:
        together = explained(proto, mode)
        for k in range(2):
            alone = explained(proto, mode, k)
            apart = np.abs(together.relevance["x"][k] - alone.relevance["x"][0]).max()
            assert apart <= 1e-5 * np.abs(alone.relevance["x"]).max()
    eager, compiled = (
        Explainer(proto, engine=engine).explain({"x": X, "mask": MASK}, task="regression")
        for engine in ("numba", "onnxruntime")
    )
    same(compiled, eager)


def causal(keep: Sequence[NodeProto]) -> list[NodeProto]:
    return [
        *SCORES["q scaled"],
        *keep,
        node("Where", ["kept", "s", "minus"], ["m"], "masked"),
        *PLAIN,
    ]


LENGTH = [
    node("Shape", ["x"], ["length0"], "length", start=1, end=2),
    node("Squeeze", ["length0"], ["length"], "length scalar"),
]
CAUSAL = {
    "by range": [
        *LENGTH,
        node("Range", ["none", "length", "single"], ["places"], "places"),
        node("Unsqueeze", ["places", "last"], ["rows"], "rows"),
        node("LessOrEqual", ["places", "rows"], ["kept"], "kept"),
    ],
    "by trilu": [
        *LENGTH,
        node("Concat", ["length0", "length0"], ["square"], "square", axis=0),
        node("Expand", ["one", "square"], ["ones"], "ones"),
        node("Trilu", ["ones"], ["lower"], "lower", upper=0),
        node("Cast", ["lower"], ["kept"], "kept", to=BOOL),
    ],
    "constant": [],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", CAUSAL)
def test_later_tokens_carry_exactly_nothing(how: str, mode: str) -> None:
    square = np.tril(np.ones((5, 5), bool))
    proto = built(causal(CAUSAL[how]), {"kept": square} if how == "constant" else None)
    start = np.zeros((2, 5, 8), np.float32)
    start[:, 2] = 1
    given = (start, start) if mode == "contrastive" else start
    made = Explainer(proto).explain(X, mode=mode, start=given)
    assert not made.relevance["x"][:, 3:].any()
    assert made.positive["x"][:, :3].all()
    reference = built(causal([]), {"kept": square})
    same(made, Explainer(reference).explain(X, mode=mode, start=given))


def test_relative_positions_take_their_share_as_constants() -> None:
    """A table looked up by distances, which shapes tell; a bias for each head and distance."""
    table = np.random.default_rng(3).standard_normal((9, 2)).astype(np.float32)
    places = [
        *LENGTH,
        node("Range", ["none", "length", "single"], ["places"], "places"),
        node("Unsqueeze", ["places", "last"], ["rows"], "rows"),
        node("Sub", ["rows", "places"], ["distances"], "distances"),
        node("Add", ["distances", "most"], ["buckets"], "buckets"),
        node("Gather", ["table", "buckets"], ["looked"], "looked"),
        node("Transpose", ["looked"], ["by head"], "by head", perm=[2, 0, 1]),
        node("Add", ["s", "by head"], ["m"], "biased"),
    ]
    computed = built([*SCORES["q scaled"], *places, *PLAIN], {"table": table, "most": np.int64(4)})
    at = np.arange(5)
    fixed = table[at[:, None] - at + 4].transpose(2, 0, 1)
    constant = built(
        [*SCORES["q scaled"], node("Add", ["s", "fixed"], ["m"], "biased"), *PLAIN],
        {"fixed": fixed},
    )
    for mode in MODES:
        a, b = explained(computed, mode), explained(constant, mode)
        same(a, b)
        books = (e.ledger.total().constants for e in (a, b))
        np.testing.assert_allclose(*books, atol=1e-5)


def test_keys_that_heads_share_by_expanding_them() -> None:
    """One key and value for both heads, repeated by Expand or broadcast by MatMul."""
    proto = {}
    for how in ("expanded", "broadcast"):
        first = [
            node("Slice", [p, "begin", "end", "heads axis"], [f"{p}s"], f"{p}/one") for p in "kv"
        ]
        repeat = []
        for p in "kv":
            if how == "expanded":
                repeat += [
                    node("Shape", [p], [f"{p}shape"], f"{p}/shape"),
                    node("Expand", [f"{p}s", f"{p}shape"], [f"{p}r"], f"{p}/repeated"),
                ]
            else:
                repeat.append(node("Identity", [f"{p}s"], [f"{p}r"], f"{p}/same"))
        nodes = [
            *first,
            *repeat,
            node("Transpose", ["kr"], ["kt"], "kt", perm=[0, 1, 3, 2]),
            node("MatMul", ["q", "kt"], ["s0"], "scores"),
            node("Mul", ["s0", "half"], ["m"], "scaled"),
            node("Softmax", ["m"], ["a"], "softmax", axis=-1),
            node("MatMul", ["a", "vr"], ["o"], "weighed"),
        ]
        cut = {"begin": np.array([0]), "end": np.array([1]), "heads axis": np.array([1])}
        proto[how] = built(nodes, cut)
    for mode in MODES:
        same(explained(proto["expanded"], mode), explained(proto["broadcast"], mode))


def routed(answers: Callable[[], list[NodeProto]]) -> onnx.ModelProto:
    """Every token goes through the weights of the expert its router scores highest."""
    rng = np.random.default_rng(4)
    nodes = [
        node("MatMul", ["x", "router"], ["scores"], "router"),
        node("Softmax", ["scores"], ["shares"], "shares", axis=-1),
        node("TopK", ["shares", "count"], ["share", "chosen"], "top", axis=-1),
        *answers(),
        node("Mul", ["answer", "share"], ["y"], "weighed"),
    ]
    return model(
        nodes,
        {"x": (FLOAT, ["N", 5, 8])},
        {"y": (FLOAT, ["N", 5, 8])},
        {
            "router": rng.standard_normal((8, 3)).astype(np.float32),
            "experts": rng.standard_normal((3, 8, 8)).astype(np.float32),
            "count": np.array([1]),
            "row": np.array([-2]),
        },
    )


def test_experts_whose_weights_are_gathered() -> None:
    def gathered(operator: str) -> Callable[[], list[NodeProto]]:
        index = "chosen" if operator == "GatherND" else "flat chosen"
        return lambda: [
            node("Squeeze", ["chosen", "last axis"], ["flat chosen"], "flat"),
            node(operator, ["experts", index], ["own"], "own"),
            node("Unsqueeze", ["x", "row"], ["rows"], "rows"),
            node("MatMul", ["rows", "own"], ["answers"], "expert"),
            node("Squeeze", ["answers", "row"], ["answer"], "answer"),
        ]

    made = {}
    for operator in ("GatherND", "Gather"):
        proto = routed(gathered(operator))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "last axis"))
        for mode in MODES:
            explanation = Explainer(proto).explain(X, mode=mode, task="regression")
            check_ledger(explanation)
            assert explanation.relevance["x"].any()
            made[operator, mode] = explanation
    for mode in MODES:
        same(made["GatherND", mode], made["Gather", mode])
