"""Text: what a gram is given goes to the terms that make it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.errors import CompileError
from tests.graphs import FLOAT, INT64, STRING, model, node

GRAMS = {
    "ngram_counts": [0, 3],
    "ngram_indexes": [1, 0, 4, 2, 3],
    "min_gram_length": 1,
    "max_gram_length": 2,
}
POOL = [5, 7, 9, 5, 7, 7, 9]  # 5, 7, 9; 5 7, 7 9
X = np.array([[5, 7, 9, 5, 7], [1, 9, 1, 9, 9], [5, 1, 7, 1, 2]], np.int64)


def vectorizer(skips: int, words: bool = False, rank: int = 2, **more: object) -> onnx.ModelProto:
    pool = {"pool_strings": [str(t) for t in POOL]} if words else {"pool_int64s": POOL}
    kind = STRING if words else INT64
    return model(
        [
            node(
                "TfIdfVectorizer",
                ["x"],
                ["y"],
                "tfidf",
                **{"mode": "TF", "max_skip_count": skips, **GRAMS, **pool, **more},
            )
        ],
        {"x": (kind, ["N", "L"][-rank:])},
        {"y": (FLOAT, ["N", 5][-rank:])},
    )


def by_hand(
    x: npt.NDArray[np.int64], r: npt.NDArray[np.float64], skips: int
) -> npt.NDArray[np.float64]:
    """Occurrences of every gram, one by one."""
    grams = [((5,), 1), ((7,), 0), ((9,), 4), ((5, 7), 2), ((7, 9), 3)]
    sent = np.zeros(len(x))
    for terms, column in grams:
        places = [
            [i + k * stride for k in range(len(terms))]
            for stride in range(1, (skips if len(terms) > 1 else 0) + 2)
            for i in range(len(x) - (len(terms) - 1) * stride)
            if all(x[i + k * stride] == t for k, t in enumerate(terms))
        ]
        for covered in places:
            sent[covered] += r[column] / len(places) / len(terms)
    return sent


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("skips", [0, 1])
def test_a_grams_relevance_goes_to_its_occurrences(skips: int, words: bool) -> None:
    x = X.astype(str).astype(object) if words else X
    explainer = Explainer(vectorizer(skips, words))
    r = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    explanation = explainer.explain(x, start=r)
    expected = np.stack([by_hand(row, own, skips) for row, own in zip(X, r, strict=True)])
    np.testing.assert_allclose(explanation.relevance["x"], expected, atol=1e-6)
    total = explanation.ledger.total()
    assert np.abs(total.residual).max() < 1e-5
    alone = explainer.explain(x[:1], start=r[:1])
    np.testing.assert_array_equal(alone.relevance["x"], explanation.relevance["x"][:1])


def test_one_sequence_without_an_axis_for_samples() -> None:
    r = np.arange(5, dtype=np.float32)
    explanation = Explainer(vectorizer(0, rank=1)).explain(X[0], start=r)
    np.testing.assert_allclose(explanation.relevance["x"], by_hand(X[0], r, 0), atol=1e-6)


def test_shorter_than_a_gram() -> None:
    r = np.ones((1, 5), np.float32)
    explanation = Explainer(vectorizer(1)).explain(np.array([[7]], np.int64), start=r)
    np.testing.assert_allclose(explanation.relevance["x"], [[1]])
    assert explanation.ledger.total().unassigned.item() == pytest.approx(4)


def test_compiled_alike() -> None:
    r = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    eager, compiled = (
        Explainer(vectorizer(1), engine=engine).explain(X, start=r)  # type: ignore[arg-type]
        for engine in ("numba", "onnxruntime")
    )
    np.testing.assert_allclose(compiled.relevance["x"], eager.relevance["x"], atol=1e-6)


def test_texts_are_compared_from_opset_19_on(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=r"tfidf.*opset 19"):
        Explainer(vectorizer(0, words=True)).compile(tmp_path / "explained.onnx")
    assert not list(tmp_path.iterdir())


def test_text_is_split_and_joined() -> None:
    proto = model(
        [
            node("StringConcat", ["a", "b"], ["joined"], "join"),
            node(
                "StringNormalizer",
                ["joined"],
                ["low"],
                "lower",
                case_change_action="LOWER",
                locale="C",
            ),
            node("StringSplit", ["low"], ["terms", "count"], "split", delimiter=" "),
            node("Reshape", ["terms", "flat"], ["row"], "row"),
            node(
                "TfIdfVectorizer",
                ["row"],
                ["y"],
                "tfidf",
                mode="TF",
                max_skip_count=0,
                pool_strings=["good", "bad"],
                **{**GRAMS, "ngram_counts": [0], "ngram_indexes": [0, 1], "max_gram_length": 1},
            ),
        ],
        {"a": (STRING, [2]), "b": (STRING, [2])},
        {"y": (FLOAT, [1, 2])},
        {"flat": np.array([1, -1], np.int64)},
        opset=20,
    )
    feeds = {"a": np.array(["A Good ", "so "], object), "b": np.array(["film", "bad"], object)}
    explanation = Explainer(proto).explain(feeds, start=np.array([[1, 2]], np.float32))
    np.testing.assert_allclose(explanation.relevance["a"], [0.5, 1])
    np.testing.assert_allclose(explanation.relevance["b"], [0.5, 1])


def test_stopwords_are_refused() -> None:
    proto = model(
        [node("StringNormalizer", ["x"], ["y"], "norm", stopwords=["the"], locale="C")],
        {"x": (STRING, [None])},
        {"y": (STRING, [None])},
    )
    (row,) = Explainer(proto).support()
    assert row.coverage == "none" and "stopwords" in row.rule
