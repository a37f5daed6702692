"""Tokenizers: ids of texts, tokens of ids, words, and errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from backtrace_onnx import Tokenizer
from backtrace_onnx.errors import InputError, RequestError
from tests.text.made import VOCABULARY, byte_pairs, tokenizers, word_pieces


def pieces(tokenizer: Tokenizer, text: str) -> list[tuple[str, bool, bool]]:
    found = tokenizer.tokens(tokenizer.encode(text).ids)
    return [(token.text, token.begins, token.special) for token in found]


def test_word_pieces(tmp_path: Path) -> None:
    found = pieces(Tokenizer(word_pieces(tmp_path)), "Good FILMS badly!")
    assert found == [
        ("[CLS]", True, True),
        ("good", True, False),
        (" film", True, False),
        ("s", False, False),
        (" bad", True, False),
        ("ly", False, False),
        (" !", True, False),
        ("[SEP]", True, True),
    ]


def test_words_that_are_unknown_or_masked_are_words(tmp_path: Path) -> None:
    found = pieces(Tokenizer(word_pieces(tmp_path)), "zebra [MASK]")
    assert [(text, special) for text, _, special in found[1:-1]] == [
        ("[UNK]", False),
        (" [MASK]", False),
    ]


def test_byte_pairs_join_to_letters_and_words(tmp_path: Path) -> None:
    tokenizer = Tokenizer(byte_pairs(tmp_path))
    text = "a good, göod 😀<|end|>"
    found = tokenizer.tokens(tokenizer.encode(text).ids)
    assert b"".join(token.raw for token in found).decode() == text
    assert "".join(token.text for token in found if token.special) == "<|end|>"
    words: list[bytes] = []
    for token in found:
        words += [token.raw] if token.begins else []
        words[-1] += b"" if token.begins else token.raw
    assert [word.decode() for word in words] == ["a", " good", ",", " göod", " 😀", "<|end|>"]


def test_sentence_pieces(tmp_path: Path) -> None:
    vocabulary = [("<unk>", 0.0), ("▁", -2.0), ("▁good", -1.0), ("ly", -1.5), ("<0xC3>", -9.0)]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(vocabulary, 0, byte_fallback=True))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.save(str(tmp_path / "unigram.json"))
    tokens = Tokenizer(tmp_path / "unigram.json").tokens([2, 3, 2, 4])
    assert [token.raw for token in tokens] == [b" good", b"ly", b" good", b"\xc3"]
    assert [token.begins for token in tokens] == [True, False, True, False]


def test_ends_of_words(tmp_path: Path) -> None:
    vocabulary = {"un": 0, "good</w>": 1, "film</w>": 2}
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab=vocabulary, merges=[], end_of_word_suffix="</w>")
    )
    made.save(str(tmp_path / "ends.json"))
    tokens = Tokenizer(tmp_path / "ends.json").tokens([0, 1, 2])
    assert [token.text for token in tokens] == ["un", "good", " film"]
    assert [token.begins for token in tokens] == [True, False, True]


def test_ids_that_stand_for_nothing(tmp_path: Path) -> None:
    tokens = Tokenizer(word_pieces(tmp_path)).tokens([999, -1])
    assert [token.text for token in tokens] == ["<id 999>", "<id -1>"]


def test_the_files_own_padding_and_truncation_are_not_used(tmp_path: Path) -> None:
    tokenizer = Tokenizer(word_pieces(tmp_path, length=9, pad_id=0, pad_token="[PAD]"))
    assert len(tokenizer.encode("a good bad film !").ids) == 7
    assert tokenizer.pad == 0 and not tokenizer.pads_left


def test_pairs(tmp_path: Path) -> None:
    found = Tokenizer(word_pieces(tmp_path)).encode(("a film", "bad"))
    assert found.types == (0, 0, 0, 0, 1, 1)


def test_one_token(tmp_path: Path) -> None:
    tokenizer = Tokenizer(byte_pairs(tmp_path))
    good = tokenizer.token_id(" good")
    assert tokenizer.tokens([good])[0].text == " good"
    assert tokenizer.token_id(7) == 7
    assert tokenizer.tokens([tokenizer.token_id("<|end|>")])[0].special
    with pytest.raises(RequestError, match=r"'ab' is not one token but 2 \('a', 'b'\)"):
        tokenizer.token_id("ab")
    with pytest.raises(RequestError, match=r"not one token but 0 \(none\)"):
        tokenizer.token_id("")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "WordPiece"}}', "\x00"])
def test_files_that_are_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(InputError, match=r"t\.json: not a tokenizer\.json"):
        Tokenizer(tmp_path / "t.json")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Tokenizer(tmp_path / "t.json")
    with pytest.raises(InputError, match="is a folder"):
        Tokenizer(tmp_path)


def test_without_the_library(tmp_path: Path, monkeypatch: Any) -> None:
    path = word_pieces(tmp_path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"pip install 'backtrace-onnx\[text\]'"):
        Tokenizer(path)


@pytest.mark.parametrize("text", [7, ("a", "b", "c"), ("a", 1), None])
def test_what_is_no_text(text: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a text is a string or a pair"):
        Tokenizer(word_pieces(tmp_path)).encode(text)


def test_half_a_surrogate_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be tokenised"):
        Tokenizer(word_pieces(tmp_path)).encode("good \ud800")


def test_size(tmp_path: Path) -> None:
    assert Tokenizer(word_pieces(tmp_path)).size == len(VOCABULARY)
