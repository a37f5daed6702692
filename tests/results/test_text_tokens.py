"""Tokens that a model cuts texts into have relevance each; a text has that of its tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from backtrace_onnx import Explainer, Explanation, InputError
from backtrace_onnx.cli import commands
from backtrace_onnx.graph.token_tensors import find_text_tokens
from tests.graphs import FLOAT, STRING, model, node

Engine = Literal["numba", "onnxruntime"]
ENGINES: tuple[Engine, ...] = ("numba", "onnxruntime")
WORDS = ["good", "bad", "film", "nice"]
WEIGHTS = np.array([[2], [-3], [0.5], [1]], np.float32)


def words(*, split: bool = False, several: int = 0) -> onnx.ModelProto:
    """y = counts of WORDS times WEIGHTS, as skl2onnx writes CountVectorizer and a linear model."""
    flat = np.array([-1], np.int64)
    cut: dict[str, Any] = {
        "tokenexp": "[a-zA-Z0-9_]+",
        "mark": 0,
        "mincharnum": 1,
        "pad_value": "#",
    }
    count: dict[str, Any] = {"mode": "TF", "ngram_counts": [0], "ngram_indexes": [0, 1, 2, 3]}
    count |= {"min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0}
    cutting = node("Tokenizer", ["lower"], ["tokens"], domain="com.microsoft", **cut)
    nodes = [
        node("Reshape", ["text", "flat"], ["row"]),
        node("StringNormalizer", ["row"], ["lower"], case_change_action="LOWER", locale="C"),
        node("StringSplit", ["lower"], ["tokens", "sizes"]) if split else cutting,
        node("Flatten", ["tokens"], ["table"]),
        node("TfIdfVectorizer", ["table"], ["counts"], pool_strings=WORDS, **count),
        node("MatMul", ["counts", "w"], ["y"]),
    ]
    return model(
        nodes,
        {"text": (STRING, ["N", 1] if not several else [several, 1])},
        {"y": (FLOAT, ["N", 1])},
        {"flat": flat, "w": WEIGHTS},
        opset=20,
        domains={"com.microsoft": 1},
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("split", [False, True])
def test_a_token_has_the_weight_of_its_word(engine: Engine, split: bool) -> None:
    texts = ["Good film good", "bad", "unknown words nice film here"]
    explainer = Explainer(words(split=split), engine=engine)
    made = explainer.explain(texts, mode="epsilon(absolute=1e-6)", task="regression")
    tokens = made.tokens["text"]
    expected: list[list[float]] = [[2, 0.5, 2], [-3], [0, 0, 1, 0.5, 0]]
    for sample, (text, row) in enumerate(zip(texts, expected, strict=True)):
        found = tokens.row(sample)
        assert [t.text for t in found] == text.lower().split()
        assert [t.relevance for t in found] == pytest.approx(row, rel=1e-5)
        assert made.relevance["text"][sample, 0] == pytest.approx(sum(row), rel=1e-5)
        alone = explainer.explain(text, mode="epsilon(absolute=1e-6)", task="regression")
        assert [t.relevance for t in alone.tokens["text"].row(0)] == [t.relevance for t in found]
    assert abs(made.ledger.total().relative_residual) < 1e-6
    assert set(made.relevance) == {"text"}
    kept = explainer.explain(
        texts, mode="epsilon(absolute=1e-6)", task="regression", keep=["tokens"]
    )
    assert kept.relevance["tokens"].shape == (3, 5)


def test_every_mode_that_shares_reaches_the_words() -> None:
    for mode in ("default", "contrastive", "epsilon(absolute=1e-6)", "attnlrp", "gradient"):
        made = Explainer(words()).explain(["nice film"], mode=mode, task="regression")
        sums = made.tokens["text"].relevance.sum(axis=1)
        np.testing.assert_allclose(sums, made.relevance["text"][:, 0], rtol=1e-6)
        assert sums[0] > 0 and len(made.tokens["text"].channels) == (1 + (mode == "contrastive"))


@pytest.mark.parametrize(
    "given",
    [
        ["bad film", "nice"],
        ("bad film", "nice"),
        np.array(["bad film", "nice"]),
        [["bad film"], ["nice"]],
        {"text": ["bad film", "nice"]},
    ],
)
def test_a_list_of_texts_is_a_batch(given: Any) -> None:
    made = Explainer(words()).explain(given, mode="epsilon(absolute=1e-6)", task="regression")
    np.testing.assert_allclose(made.relevance["text"], np.array([[-2.5], [1]]), rtol=1e-5)


def test_texts_that_do_not_fit_are_told_what_does() -> None:
    made = Explainer(words()).explain("bad", mode="epsilon(absolute=1e-6)", task="regression")
    np.testing.assert_allclose(made.relevance["text"], [[-3]], rtol=1e-5)
    with pytest.raises(InputError, match="takes string") as caught:
        Explainer(words(several=3)).explain(["a", "b"])
    assert "x[None]" not in str(caught.value)
    with pytest.raises(InputError, match="axis 1 must be 1"):
        Explainer(words()).explain([["a", "b"]])


def test_tokens_are_kept_in_files(tmp_path: Path) -> None:
    made = Explainer(words()).explain(["bad film", "nice"], mode="contrastive", task="regression")
    made.save(tmp_path / "e.npz")
    read = Explanation.load(tmp_path / "e.npz").tokens["text"]
    assert read.texts.tolist() == [["bad", "film"], ["nice", ""]]
    for found, written in zip(read.channels, made.tokens["text"].channels, strict=True):
        np.testing.assert_array_equal(found, written)


def test_the_command_line_ranks_and_shades_words(tmp_path: Path) -> None:
    onnx.save(words(), tmp_path / "m.onnx")
    asked = [
        "explain",
        str(tmp_path / "m.onnx"),
        "a good film",
        "bad",
        "--mode",
        "epsilon(absolute=1e-6)",
    ]
    done = CliRunner().invoke(commands, [*asked, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert ["good", "+2", "80.0%"] in rows and ["film", "+0.5", "20.0%"] in rows
    assert ["bad", "-3", "100.0%"] in rows
    page = (tmp_path / "out" / "relevance.html").read_text("utf-8")
    assert ">good</span>" in page.replace("> good", ">good")
    assert (tmp_path / "out" / "relevance_1.png").stat().st_size > 1000


def test_what_holds_tokens_is_found() -> None:
    from backtrace_onnx.model.loading import load
    from backtrace_onnx.passes.pipeline import prepare

    assert find_text_tokens(prepare(load(words())).graph()) == {"text": ("tokens",)}
