"""Texts as inputs: what is fed, and that padding and batches change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, Tokenizer
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.text.inputs import Companions, TextInput
from tests.checks import check_ledger, gap
from tests.graphs import FLOAT, INT64, model, node
from tests.text.made import SIZE, byte_pairs, classifier, weights, word_pieces

INT32 = onnx.TensorProto.INT32
TEXTS = ["a good film", "bad !", "films badly good good"]
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer(classifier())


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return Tokenizer(word_pieces(tmp_path))


def bag(length: int | str = "sequence", *names: str) -> onnx.ModelProto:
    """The mean embedding of ids without a mask; `names` are further inputs that only are added."""
    inputs = dict.fromkeys(("input_ids", *names), (INT64, ("batch", length)))
    nodes = [
        node("Gather", ["words", "input_ids"], ["e"]),
        node("ReduceMean", ["e", "axis"], ["y"], keepdims=0),
        *(node("Identity", [name], [f"{name}_seen"]) for name in names),
    ]
    outputs = {f"{name}_seen": (INT64, ("batch", length)) for name in names}
    constants = {"words": weights(SIZE, 2, seed=0), "axis": np.array([1])}
    return model(nodes, inputs, {"y": (FLOAT, ("batch", 2)), **outputs}, constants)


def test_what_is_fed(explainer: Explainer, tokenizer: Tokenizer) -> None:
    feeds = tokenizer.feeds(["good", ("a film", "bad")], explainer)
    assert feeds["input_ids"].tolist() == [[2, 6, 3, 0, 0, 0], [2, 5, 8, 3, 7, 3]]
    assert feeds["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert feeds["token_type_ids"].tolist() == [[0] * 6, [0, 0, 0, 0, 1, 1]]
    assert all(x.dtype == np.int64 for x in feeds.values())


def test_the_models_types_and_length(tokenizer: Tokenizer) -> None:
    feeds = tokenizer.feeds("good", Explainer(classifier(7, INT32)))
    assert feeds["input_ids"].tolist() == [[2, 6, 3, 0, 0, 0, 0]]
    assert all(x.dtype == np.int32 and x.shape == (1, 7) for x in feeds.values())


def test_padding_on_the_left_and_positions(tmp_path: Path) -> None:
    left = Tokenizer(word_pieces(tmp_path, direction="left", pad_id=0, pad_token="[PAD]"))
    explainer = Explainer(bag("sequence", "attention_mask", "position_ids"))
    feeds = left.feeds(["good", "a good film"], explainer)
    assert feeds["input_ids"].tolist() == [[0, 0, 2, 6, 3], [2, 5, 6, 8, 3]]
    assert feeds["position_ids"].tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]
    assert TextInput(left).last(feeds).tolist() == [-1, -1]


def test_the_last_token_of_each_text(explainer: Explainer, tokenizer: Tokenizer) -> None:
    feeds = tokenizer.feeds(["good", "a good film"], explainer)
    assert TextInput(tokenizer).last(feeds).tolist() == [2, -1]


def test_a_word_to_be_found(explainer: Explainer, tokenizer: Tokenizer) -> None:
    feeds = tokenizer.feeds(["a [MASK] film", "good", "[MASK] [MASK]"], explainer)
    assert TextInput(tokenizer).asked(feeds).tolist() == [2, 2, 1]
    assert tokenizer.targets(feeds, "film").tolist() == [[2, 8], [2, 8], [1, 8]]
    assert tokenizer.targets(feeds, name="input_ids").tolist() == [[2, -1], [2, -1], [1, -1]]


@pytest.mark.parametrize("mode", MODES)
def test_padding_carries_nothing_and_a_batch_changes_nothing(
    mode: str, explainer: Explainer, tokenizer: Tokenizer
) -> None:
    together = explainer.explain(TEXTS, tokenizer=tokenizer, mode=mode)
    check_ledger(together, each=True)
    mask = together.inputs["attention_mask"] == 1
    for name in ("input_ids", "token_type_ids"):
        assert not together.positive[name][~mask].any()
        assert np.count_nonzero(together.positive[name][mask]) > mask.sum() / 2
        assert mode != "contrastive" or not together.negative[name][~mask].any()
    for k, text in enumerate(TEXTS):
        alone = explainer.explain(text, tokenizer=tokenizer, mode=mode)
        want = alone.relevance["input_ids"][0]
        assert gap(together.relevance["input_ids"][k, : len(want)], want) < 1e-5
        padded = explainer.explain(tokenizer.feeds(text, explainer, length=12), mode=mode)
        assert gap(padded.relevance["input_ids"][0, : len(want)], want) < 1e-5
        assert not padded.relevance["input_ids"][0, len(want) :].any()


@pytest.mark.parametrize("mode", MODES)
def test_compiled_explains_alike(mode: str, explainer: Explainer, tokenizer: Tokenizer) -> None:
    eager = explainer.explain(TEXTS, tokenizer=tokenizer, mode=mode)
    compiled = Explainer(classifier(), engine="onnxruntime").explain(eager.inputs, mode=mode)
    assert gap(compiled.relevance["input_ids"], eager.relevance["input_ids"]) < 1e-5
    assert not compiled.relevance["input_ids"][eager.inputs["attention_mask"] == 0].any()


def test_relevance_of_a_token_is_that_of_its_embedding(
    explainer: Explainer, tokenizer: Tokenizer
) -> None:
    found = explainer.explain(TEXTS, tokenizer=tokenizer, keep=["e0"])
    assert gap(found.relevance["e0"].sum(-1), found.relevance["input_ids"]) < 1e-6


def test_tokens_name_the_places_of_a_single_text(
    explainer: Explainer, tokenizer: Tokenizer
) -> None:
    alone = explainer.explain("good films", tokenizer=str(tokenizer.path))
    assert alone.names["input_ids"] == ("[CLS]", "good", "film", "s", "[SEP]")
    assert {row.name for row in alone.top(5, input="input_ids")} == set(alone.names["input_ids"])
    assert not explainer.explain(TEXTS, tokenizer=tokenizer).names


def test_texts_beside_arrays(explainer: Explainer, tokenizer: Tokenizer) -> None:
    kinds = np.ones((1, 4), np.int64)
    given = {"input_ids": "good film", "token_type_ids": kinds}
    found = explainer.explain(given, tokenizer=tokenizer)
    assert found.inputs["token_type_ids"].tolist() == kinds.tolist()


def test_other_names(tmp_path: Path, tokenizer: Tokenizer) -> None:
    explainer = Explainer(bag("sequence", "m"))
    entry = TextInput(tokenizer, "input_ids", given=Companions(mask="m"))
    feeds = entry.encode(["good"], explainer.graph)
    assert feeds["m"].tolist() == [[1, 1, 1]]
    wrong = TextInput(tokenizer, "input_ids", given=Companions(mask="mm"))
    with pytest.raises(InputError, match="no input 'mm'; it has: input_ids, m"):
        wrong.encode(["good"], explainer.graph)


def test_texts_that_are_too_long(explainer: Explainer, tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"has 5 tokens; the model reads at most 4: shorten it"):
        tokenizer.feeds("a good film", Explainer(classifier(4)))
    cut = tokenizer.feeds("a good film", Explainer(classifier(4)), truncate=True)
    assert cut["input_ids"].tolist() == [[2, 5, 6, 3]]  # [SEP] stays
    with pytest.raises(InputError, match="length is 3, but input 'input_ids' takes 4 tokens"):
        tokenizer.feeds("a", Explainer(classifier(4)), length=3)


def test_without_a_mask_texts_must_be_as_long(tokenizer: Tokenizer) -> None:
    explainer = Explainer(bag())
    assert explainer.explain(["good", "bad"], tokenizer=tokenizer).inputs["input_ids"].shape == (
        2,
        3,
    )
    with pytest.raises(InputError, match="no attention mask, so that texts of different lengths"):
        tokenizer.feeds(["good", "a film"], explainer)
    fixed = tokenizer.feeds("good", Explainer(bag(5)))
    assert fixed["input_ids"].tolist() == [[2, 6, 3, 0, 0]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "tokenizer is given, but no text"),
        (np.zeros((1, 2), np.int64), "tokenizer is given, but no text"),
        ({"ids": "good"}, "no input 'ids' for token ids; it has: input_ids int64"),
    ],
)
def test_what_cannot_be_read(
    given: Any, words: str, explainer: Explainer, tokenizer: Tokenizer
) -> None:
    with pytest.raises(InputError, match=words):
        explainer.explain(given, tokenizer=tokenizer)


def test_models_that_take_no_ids(tokenizer: Tokenizer) -> None:
    plain = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, ("n", 3))}, {"y": (FLOAT, ("n", 3))})
    with pytest.raises(InputError, match="no input 'input_ids' for token ids; it has: x float32"):
        tokenizer.feeds("good", Explainer(plain))
    with pytest.raises(InputError, match=r"'x' takes float32\[n, 3\], no token ids"):
        tokenizer.feeds("good", Explainer(plain), name="x")


def test_a_text_without_tokens(explainer: Explainer, tokenizer: Tokenizer) -> None:
    entry = TextInput(tokenizer, special=False)
    with pytest.raises(InputError, match="the text '' has no tokens"):
        entry.encode([""], explainer.graph)
    only = explainer.explain("", tokenizer=tokenizer)
    assert only.inputs["input_ids"].tolist() == [[2, 3]]


@pytest.mark.parametrize(("word", "token"), [("pad", 0), ("mask", 4)])
@pytest.mark.parametrize("mode", ["integrated_gradients", "deeplift"])
def test_a_token_in_place_of_every_word(
    mode: str, word: str, token: int, explainer: Explainer, tokenizer: Tokenizer
) -> None:
    """What surrounds a text stays, and a word that is not known is one, too."""
    text = "a good qqq"
    ids = tokenizer.feeds(text, explainer)["input_ids"]
    assert ids.tolist() == [[2, 5, 6, 1, 3]]
    found = explainer.explain(text, tokenizer=tokenizer, mode=mode, baseline=word)
    want = explainer.explain(
        found.inputs, mode=mode, baseline={"input_ids": np.array([[2, token, token, token, 3]])}
    )
    assert np.array_equal(found.relevance["input_ids"], want.relevance["input_ids"])
    assert not found.relevance["input_ids"][0, [0, 4]].any()
    assert np.count_nonzero(found.relevance["input_ids"]) == 3
    assert any(f"the text with {word} tokens for words" in str(note) for note in found.notes)


def test_no_token_to_put_in_place_of_words(
    explainer: Explainer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"mode": "deeplift", "baseline": "mask"}
    feeds = tokenizer.feeds("good", explainer)
    with pytest.raises(RequestError, match="nothing says which inputs are texts: give a tokenizer"):
        explainer.explain(feeds, **how)
    (tmp_path / "gpt").mkdir()
    bare = Tokenizer(byte_pairs(tmp_path / "gpt"))
    with pytest.raises(RequestError, match=r"bytes\.json names no mask token; give ids"):
        TextInput(bare).without_words(feeds, "mask")
