"""The most tokens that a model reads, as its tables of positions tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, InputError, Tokenizer
from backtrace_onnx.graph.token_limit import token_limit
from backtrace_onnx.text.inputs import TextInput
from tests.graphs import FLOAT, INT64, model, node, normal
from tests.text.made import word_pieces

ONE = np.array(1, np.int64)
ROWS = 7


def constants(**more: Any) -> dict[str, Any]:
    numbers = {"zero": ONE * 0, "one": ONE, "two": 2 * ONE, "axis": np.array([1], np.int64)}
    return {**numbers, "start": np.array([0], np.int64), **more}


COUNTED = [
    node("Shape", ["ids"], ["size"], start=1, end=2),
    node("Squeeze", ["size", "start"], ["count"]),
    node("Range", ["zero", "count", "one"], ["numbers"]),
]
"""0, 1, 2, ... as many as there are tokens: GPT-2."""
SUMMED = [
    node("Equal", ["ids", "one"], ["padding"]),
    node("Not", ["padding"], ["there"]),
    node("Cast", ["there"], ["mask"], to=7),
    node("CumSum", ["mask", "one"], ["sums"]),
    node("Mul", ["sums", "mask"], ["numbered"]),
]
"""1, 2, 3, ..., and 0 for padding: RoBERTa and OPT."""
LOOKED_UP = [node("Gather", ["table", "numbers"], ["rows"])]
BURIED = [
    node("Shape", ["ids"], ["size"], start=1, end=2),
    node("Slice", ["stored", "start", "size", "axis"], ["numbers"]),
]
"""A stored row of numbers, cut to the number of tokens: BERT."""
CASES = {
    "counted": (COUNTED + LOOKED_UP, {}, ROWS),
    "summed": ([*SUMMED, node("Add", ["numbered", "one"], ["numbers"]), *LOOKED_UP], {}, ROWS - 2),
    "shifted": (
        [
            *SUMMED,
            node("Sub", ["numbered", "one"], ["from0"]),
            node("Add", ["from0", "two"], ["numbers"]),
            *LOOKED_UP,
        ],
        {},
        ROWS - 2,
    ),
    "cut": (BURIED + LOOKED_UP, {"stored": np.arange(ROWS).reshape(1, ROWS)}, ROWS),
    "table cut": (
        [
            node("Shape", ["ids"], ["size"], start=1, end=2),
            node("Slice", ["table", "start", "size", "start"], ["rows"]),
        ],
        {},
        ROWS,
    ),
}


def reader(nodes: list[Any], more: dict[str, Any]) -> Any:
    """Sum over the tokens of word vector plus position vector."""
    weights = constants(table=normal(ROWS, 4), words=normal(20, 4), **more)
    weights["first"] = np.array([1], np.int64)
    body = [
        *nodes,
        node("Gather", ["words", "ids"], ["vectors"]),
        node("Add", ["vectors", "rows"], ["placed"]),
        node("ReduceSum", ["placed", "first"], ["y"], keepdims=0),
    ]
    return model(body, {"ids": (INT64, ["N", "T"])}, {"y": (FLOAT, ["N", 4])}, weights)


@pytest.mark.parametrize(("nodes", "more", "limit"), CASES.values(), ids=CASES.keys())
def test_the_limit_is_where_the_model_ends(nodes: Any, more: dict[str, Any], limit: int) -> None:
    explainer = Explainer(reader(nodes, more))
    assert token_limit(explainer.graph) == limit
    explainer.explain({"ids": np.full((1, limit), 5)})
    with pytest.raises(InputError, match="the model cannot run"):
        explainer.explain({"ids": np.full((1, limit + 1), 5)})


def test_tables_of_other_things_do_not_limit() -> None:
    nodes = [
        node("Sub", ["ids", "one"], ["numbers"]),  # arithmetic on the ids themselves
        *LOOKED_UP,
    ]
    assert token_limit(Explainer(reader(nodes, {})).graph) is None


def test_a_text_that_is_too_long_is_refused_in_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer(word_pieces(tmp_path))
    explainer = Explainer(reader(COUNTED + LOOKED_UP, {}))
    long = "good " * 6  # and two special tokens
    with pytest.raises(InputError, match=r"has 8 tokens; the model reads at most 7: shorten it"):
        explainer.explain(long, tokenizer=tokenizer)
    feeds = tokenizer.feeds(long, explainer, truncate=True)
    assert feeds["ids"].shape == (1, 7) and feeds["ids"][0, -1] == tokenizer.encode(long).ids[-1]
    assert TextInput(tokenizer, most=5, truncate=True).encode([long], explainer.graph)[
        "ids"
    ].shape == (1, 5)


def test_an_index_that_only_the_runtime_knows_is_told_in_words() -> None:
    explainer = Explainer(reader(COUNTED + LOOKED_UP, {}))
    with pytest.raises(InputError, match=r"ids holds 9 tokens, and the model reads at most 7$"):
        explainer.explain({"ids": np.full((1, 9), 5)})
    with pytest.raises(InputError, match=r"looks up row 20 of a table of 20 rows"):
        explainer.explain({"ids": np.full((1, 2), 20)})
