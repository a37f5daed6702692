"""Texts in reports: what is read, shaded, drawn and written as HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from backtrace_onnx import Tokenizer
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.report.answers import explained_answer, predicted_answer
from backtrace_onnx.report.continuation import continuation, plot_continuation, print_continuation
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.headlines import answered
from backtrace_onnx.report.picture_style import shade
from backtrace_onnx.report.pictures import plot_relevance
from backtrace_onnx.report.ranking import rank
from backtrace_onnx.report.shaded_text import ink, lines, page, visible
from backtrace_onnx.report.token_relevance import read_text_relevance
from backtrace_onnx.text.inputs import TextInput
from tests.report.made import Array, explanation
from tests.text.made import byte_pairs, word_pieces


def subject(
    folder: Path,
    ids: list[list[int]],
    relevance: Any,
    *,
    against: Any = None,
    mask: Any = None,
    bytes_: bool = False,
    **options: Any,
) -> ExplainedSample:
    """A made-up explanation of ids, with a mask and types beside them."""
    tokenizer = Tokenizer(byte_pairs(folder) if bytes_ else word_pieces(folder))
    x = np.array(ids)
    inputs = {"input_ids": x, "attention_mask": np.ones_like(x) if mask is None else np.array(mask)}
    inputs["token_type_ids"] = np.zeros_like(x)
    zeros = {name: np.zeros(x.shape) for name in inputs}
    made = explanation(
        inputs,
        {**zeros, "input_ids": np.array(relevance)},
        {**zeros, "input_ids": np.array(against)} if against is not None else None,
        samples=len(x),
    )
    entry = TextInput(tokenizer, "input_ids")
    return ExplainedSample(made, sidecar=Sidecar(Path("m"), {"input_ids": entry}), **options)


GOOD_FILMS = [[2, 6, 8, 9, 11, 3, 0, 0]]
R = [[0.1, 0.5, 0.2, -0.1, 0.05, 0.05, 0.0, 0.0]]
MASK = [[1, 1, 1, 1, 1, 1, 0, 0]]


def test_tokens_special_ones_and_padding_apart(tmp_path: Path) -> None:
    found = read_text_relevance(subject(tmp_path, GOOD_FILMS, R, mask=MASK), "input_ids")
    assert [(m.text, m.relevance, m.index) for m in found.marks] == [
        ("good", 0.5, 1),
        (" film", 0.2, 2),
        ("s", -0.1, 3),
        (" !", 0.05, 4),
    ]
    assert [m.text for m in found.special] == ["[CLS]", "[SEP]"]
    assert (found.padding, found.filled) == (2, 0.0)
    assert found.limit == 0.5 and found.total == pytest.approx(1.0)


def test_words_add_their_pieces_up(tmp_path: Path) -> None:
    made = subject(tmp_path, GOOD_FILMS, R, against=np.full((1, 8), 0.01), mask=MASK, words=True)
    found = read_text_relevance(made, "input_ids")
    assert [m.text for m in found.marks] == ["good", " films", " !"]
    films = found.marks[1]
    assert films.channels == pytest.approx((0.1, 0.02))
    assert films.relevance == pytest.approx(0.08)


def test_letters_of_several_tokens_are_whole_in_words(tmp_path: Path) -> None:
    tokenizer = Tokenizer(byte_pairs(tmp_path))
    ids = [tokenizer.encode("ö good").ids]
    r = np.ones((1, len(ids[0])))
    tokens = read_text_relevance(subject(tmp_path, ids, r, bytes_=True), "input_ids")
    assert [m.text for m in tokens.marks] == ["�", "�", " good"]
    words = read_text_relevance(subject(tmp_path, ids, r, bytes_=True, words=True), "input_ids")
    assert [m.text for m in words.marks] == ["ö", " good"]


def test_ranking_is_of_tokens_only(tmp_path: Path) -> None:
    parts = rank(subject(tmp_path, GOOD_FILMS, R, mask=MASK))
    assert {part.input for part in parts} == {"input_ids"}
    assert [part.name for part in parts[:3]] == ["good", "film", "s"]
    assert sum(part.share for part in parts) == pytest.approx(1.0)


def shown(made: ExplainedSample) -> str:
    to = Console(width=200, color_system="truecolor", force_terminal=True, highlight=False)
    with to.capture() as captured:
        for line in lines(made, "input_ids"):
            to.print(line)
    return captured.get()


def test_a_terminal(tmp_path: Path) -> None:
    text = shown(subject(tmp_path, GOOD_FILMS, R, mask=MASK))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert plain.splitlines()[0] == "good films !"
    assert "special tokens: [CLS] +0.1 (10.0%), [SEP] +0.05 (5.0%)" in plain
    assert "padding: 2 tokens, no relevance" in plain
    assert "speaks against" in plain and "speaks for" in plain
    strongest = shade(1.0)
    assert f"48;2;{';'.join(str(int(strongest[i : i + 2], 16)) for i in (1, 3, 5))}m" in text
    assert "\x1b[4;" in text  # what speaks against is underlined


def test_a_terminal_without_signs(tmp_path: Path) -> None:
    text = shown(subject(tmp_path, [[2, 6, 3]], [[0.1, 0.5, 0.1]]))
    assert "against" not in text and "padding" not in text


def test_hostile_texts_are_shown_as_they_are() -> None:
    assert visible("a\x1b[31mb\u202ec\nd\u00a0e\ud800") == "a�[31mb�c⏎d e�"


class _Collected(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_texts_are_no_html(tmp_path: Path) -> None:
    tokenizer = Tokenizer(byte_pairs(tmp_path))
    text = '<script src="x">a&amp;\'</script><img onerror=1>'
    ids = [tokenizer.encode(text).ids]
    r = np.linspace(-1, 1, len(ids[0]))[None]
    made = subject(tmp_path, ids, r, bytes_=True, source=text)
    found = _Collected()
    found.feed(page([made]))
    assert not {"script", "img"} & set(found.tags)
    assert found.tags.count("span") == len(ids[0])
    assert text in found.text
    assert "http" not in page([made])


def test_colours_tell_signs_apart_and_letters_can_be_read() -> None:
    assert shade(0.0) == "#ffffff" and shade(1.0) != shade(-1.0)
    red, blue = int(shade(1.0)[1:3], 16), int(shade(-1.0)[1:3], 16)
    assert red > 150 > 50 > blue
    for strength in np.linspace(-1, 1, 41):
        colour = shade(float(strength))
        assert _contrast(colour, ink(colour)) >= 3.0, (strength, colour)


def _contrast(one: str, other: str) -> float:
    """Ratio of luminances by WCAG 2.1."""
    bright = sorted((_luminance(one), _luminance(other)))
    return (bright[1] + 0.05) / (bright[0] + 0.05)


def _luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("against", [None, np.full((1, 8), 0.02)])
def test_a_picture(tmp_path: Path, against: Array | None) -> None:
    made = subject(tmp_path, GOOD_FILMS, R, against=against, mask=MASK)
    plot_relevance(made, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    full = [int(shade(1.0)[i : i + 2], 16) for i in (1, 3, 5)]
    assert (pixels == full).all(axis=-1).sum() > 500
    assert pixels.shape[1] == 9 * 150 and pixels.shape[0] < (1200 if against is not None else 700)


def test_a_long_text_is_cut_and_says_so(tmp_path: Path) -> None:
    ids = [[2, *[6, 8, 9] * 300, 3]]
    made = subject(tmp_path, ids, np.random.default_rng(0).normal(size=(1, 902)))
    plot_relevance(made, tmp_path / "p.svg")
    assert "tokens are left out" in re.sub("<!--|-->", "", (tmp_path / "p.svg").read_text())


def speaking(tmp_path: Path, places: list[int], ids: list[int]) -> list[ExplainedSample]:
    """Made-up explanations of tokens of one text, by an output [tokens, vocabulary]."""
    tokenizer = Tokenizer(word_pieces(tmp_path))
    count, size = len(places), tokenizer.size
    x = np.array([ids] * count)
    relevance = np.tril(np.full((len(ids), len(ids)), 0.1))[places]
    y = np.random.default_rng(0).normal(size=(count, len(ids), size))
    made = explanation(
        {"input_ids": x}, {"input_ids": relevance}, output=y, task="generation", samples=count
    )
    target = np.array([[place, ids[place + 1]] for place in places])
    object.__setattr__(made, "target", target)
    sidecar = Sidecar(Path("m"), {"input_ids": TextInput(tokenizer, "input_ids")})
    return [ExplainedSample(made, k, f"-> {k}", sidecar) for k in range(count)]


def test_tokens_of_a_language_model_have_names(tmp_path: Path) -> None:
    first, *_ = speaking(tmp_path, [1, 2, 3], [5, 6, 8, 9, 11])
    target, prediction = explained_answer(first), predicted_answer(first)
    assert target is not None and prediction is not None
    assert (target.index, target.label) == ((1, 8), "'film'")
    y = first.explanation.outputs["y"][0, 1]
    assert target.probability == pytest.approx(np.exp(y[8]) / np.exp(y).sum())
    assert prediction.index == (1, int(y.argmax()))
    assert "explained: 'film'" in answered(first)


def test_an_entry_set_against_another(tmp_path: Path) -> None:
    (one,) = speaking(tmp_path, [1], [5, 6, 8])
    size = one.explanation.outputs["y"].shape[2]
    versus = ExplainedSample(
        one.explanation, 0, "", one.sidecar, entries=(2 * size + 6, 2 * size + 7)
    )
    assert re.match(r"'good' \(.*\) rather than 'bad' \(.*\); predicted: ", answered(versus))


def test_a_continuation(tmp_path: Path) -> None:
    subjects = speaking(tmp_path, [1, 2, 3], [5, 6, 8, 9, 11])
    rows = continuation(subjects)
    assert [row.name.split(" (")[0] for row in rows] == ["'film'", "'s'", "'!'"]
    assert [len(row.sentence.marks) for row in rows] == [2, 3, 4]
    to = Console(width=200, highlight=False, markup=False)
    with to.capture() as captured:
        print_continuation(to, rows)
    printed = [line.rstrip() for line in captured.get().splitlines() if "%" in line]
    assert [line.split(")")[1].strip() for line in printed] == [
        "a good",
        "a good film",
        "a good films",
    ]
    plot_continuation(rows, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.width > 300


def test_what_is_no_continuation(tmp_path: Path) -> None:
    assert continuation(speaking(tmp_path, [1], [5, 6, 8])) == []
    same_place = speaking(tmp_path, [1, 1], [5, 6, 8])
    assert continuation(same_place) == []
    texts = [subject(tmp_path, GOOD_FILMS * 2, R * 2, sample=k) for k in range(2)]
    assert continuation(texts) == []


def test_groups_of_words(tmp_path: Path) -> None:
    groups = {"praise": ["good"], "thing": ["films", "input_ids[4]"], "blame": ["bad"]}
    made = subject(tmp_path, GOOD_FILMS, R, mask=MASK, groups=groups)
    parts = {part.name: part for part in rank(made)}
    assert parts["praise"].relevance == pytest.approx(0.5)
    assert parts["thing"].relevance == pytest.approx(0.15)
    assert (parts["blame"].relevance, str(parts["blame"])) == (0.0, "blame = not in this text")
    assert set(parts) == {"praise", "thing", "blame", "[CLS]", "[SEP]"}
    assert sum(part.relevance for part in parts.values()) == pytest.approx(0.8)
    plot_relevance(made, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_groups_of_words_in_several_texts(tmp_path: Path) -> None:
    ids = [*GOOD_FILMS, [2, 7, 8, 3, 0, 0, 0, 0]]
    r = [*R, [0.1, -0.4, 0.2, 0.1, 0, 0, 0, 0]]
    mask = [*MASK, [1, 1, 1, 1, 0, 0, 0, 0]]
    made = subject(tmp_path, ids, r, mask=mask)
    found = made.explanation.groups({"film": ["film*"], "bad": ["bad"]}, sidecar=made.sidecar)
    np.testing.assert_allclose(found["film"].relevance, [0.1, 0.2])
    np.testing.assert_allclose(found["bad"].relevance, [0.0, -0.4])
    assert found["film"].entries.tolist() == [2, 1] and found["bad"].entries.tolist() == [0, 1]
    np.testing.assert_allclose(found.total, [0.8, 0.0], atol=1e-12)
