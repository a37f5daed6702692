"""The page of an explanation: what stands on it for inputs of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.errors import RequestError
from backtrace_onnx.explanation import Explanations
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.given_reasons import GivenReason, GivenReasons
from backtrace_onnx.report.page.explanation_page import explanation_page
from backtrace_onnx.report.page.page_facts import PageFacts
from backtrace_onnx.report.page.stylesheet import MOST
from tests.report.made import explanation
from tests.report.page.pages import Parsed, parsed

RNG = np.random.default_rng(5)
FACTS = PageFacts("net.onnx", "backtrace-onnx explain net.onnx x.npy", (("numpy", "2"),))


def page_of(*subjects: ExplainedSample) -> Parsed:
    return parsed(explanation_page(subjects, FACTS))


def texts(page: Parsed, tag: str, **attributes: str) -> list[str]:
    return [" ".join(e.text.split()) for e in page.all(tag, **attributes)]


def answers(inputs: Any, count: int, **more: Any) -> list[ExplainedSample]:
    """One sample, explained for several answers."""
    y = np.linspace(0.1, 1, count)[None] / np.linspace(0.1, 1, count).sum()
    return [
        ExplainedSample(
            explanation(
                inputs,
                {n: RNG.normal(size=x.shape) for n, x in inputs.items()},
                output=y,
                target=k,
                **more,
            ),
            source="a.png",
        )
        for k in range(count)
    ]


def test_a_picture_with_all_answers() -> None:
    page = page_of(*answers({"image": RNG.random((1, 3, 12, 12)).astype(np.float32)}, 3))
    radios = page.all("input", type="radio")
    assert [r.attributes["class"] for r in radios] == ["pick-1", "pick-2", "pick-3"]
    assert [("checked" in r.attributes) for r in radios] == [False, False, True]
    assert texts(page, "legend") == ["Explained for"]
    assert [t.split()[1] for t in texts(page, "label") if "class" in t] == ["0", "1", "2"]
    assert texts(page, "h1") == ["a.png: class 2 (60.6%)"]
    pictures = [e for e in page.all("image") if "id" in e.attributes]
    layers = [e for e in page.all("image") if "id" not in e.attributes and e.attributes.get("x")]
    assert len(pictures) == 1 and len(layers) == 3, "the picture is there once"
    assert len({layer.attributes["href"] for layer in layers}) == 3
    assert len(texts(page, "p", class_="sum")) == 3
    named = [e for e in page.all("g") if e.attributes.get("role") == "img"]
    assert len(named) == 3 and all(
        "Map of the relevance" in e.attributes["aria-label"] for e in named
    )
    assert "backtrace-onnx explain net.onnx x.npy" in texts(page, "code")


def test_numbers_in_rows_are_a_waterfall() -> None:
    (only,) = answers({"x": RNG.normal(size=(1, 6)).astype(np.float32)}, 1)
    page = page_of(only)
    assert "What adds up to it" in texts(page, "h3")
    rows = [e for e in page.all("th") if e.attributes.get("scope") == "row"]
    assert any("biases and constants" in row.text for row in rows)
    assert not [e for e in page.all("input", type="radio") if "hidden" not in e.attributes]


@pytest.mark.parametrize(
    ("shape", "sign"),
    [((1, 2, 200), "wave"), ((1, 20, 30), "sheet"), ((1, 4, 5, 6, 7), "sheet"), ((1, 500), "wave")],
)
def test_series_arrays_and_volumes(shape: tuple[int, ...], sign: str) -> None:
    page = page_of(*answers({"x": RNG.normal(size=shape).astype(np.float32)}, 1))
    assert page.all("svg", class_=sign)


def test_a_batch_has_a_section_each_and_a_list_of_them() -> None:
    made = explanation({"x": RNG.normal(size=(3, 5))}, samples=3)
    subjects = [ExplainedSample(made, sample=i, source=f"rows.csv row {i + 1}") for i in range(3)]
    page = page_of(*subjects)
    links = [e.attributes["href"] for e in page.all("a") if e.attributes["href"] != "#content"]
    sections = [e.attributes["id"] for e in page.all("section", class_="sample")]
    assert links == [f"#{name}" for name in sections] == [f"#sample-{i}" for i in (1, 2, 3)]
    assert texts(page, "h1") == ["3 explained samples"]
    assert texts(page, "h2")[0].startswith("rows.csv row 1: ")


def test_what_is_left_out_is_said() -> None:
    made = explanation({"x": RNG.normal(size=(30, 5))}, samples=30)
    subjects = [ExplainedSample(made, sample=i, source=f"row {i}") for i in range(30)]
    page = page_of(*subjects)
    assert len(page.all("section", class_="sample")) == MOST
    assert f"{30 - MOST} more are not on this page." in texts(page, "p")
    many = page_of(*answers({"x": RNG.normal(size=(1, 5))}, 40))
    assert len(many.all("input", type="radio")) == MOST
    assert f"{40 - MOST} less likely ones are not on this page." in texts(many, "p")
    assert any("class 39" in text for text in texts(many, "label"))


def test_two_channels() -> None:
    x = RNG.random((1, 3, 12, 12)).astype(np.float32)
    made = explanation({"x": x}, {"x": np.abs(RNG.normal(size=x.shape))}, {"x": np.ones(x.shape)})
    page = page_of(ExplainedSample(made))
    captions = texts(page, "figcaption")
    assert captions[:4] == [
        "input",
        "for minus against",
        "what the target brings",
        "what all else brings",
    ]


def test_a_mode_that_divides_nothing_up_says_so() -> None:
    made = replace(explanation({"x": RNG.normal(size=(1, 5))}), conserved="nothing")
    page = page_of(ExplainedSample(made))
    assert "What adds up to it" not in texts(page, "h3")
    assert any("does not divide the score up" in text for text in texts(page, "p"))
    assert not page.all("ol", class_="flow")


def test_nothing_at_all() -> None:
    made = explanation({"x": np.zeros((1, 5))}, {"x": np.zeros((1, 5))})
    page_of(ExplainedSample(made))
    empty = explanation({"x": np.zeros((1, 0))}, {"x": np.zeros((1, 0))})
    page_of(ExplainedSample(empty))


def test_reasons_of_people() -> None:
    (only,) = answers({"x": RNG.normal(size=(1, 3))}, 1)
    reason = GivenReason("R1", "Your <debt> is high.", ("x[0]",), -0.2, 0.3, True)
    page = page_of(replace(only, reasons=GivenReasons("yes", True, (reason,), ("x[2]",))))
    assert "Reasons against yes" in texts(page, "h3")
    told = "Your <debt> is high. (R1; x[0]; confirmed by an intervention)"
    assert told in texts(page, "li")
    assert any("as strong: x[2]." in text for text in texts(page, "p"))
    page = page_of(replace(only, reasons=GivenReasons("yes", False, ())))
    assert "No reasons are given: it is the answer." in texts(page, "p")


def test_names_of_strangers() -> None:
    wicked = "<script>alert(1)</script>\u202e" + "x" * 3000
    made = explanation({wicked: RNG.normal(size=(1, 3))})
    made = replace(made, names={wicked: (wicked, '"><b>', "עברית")})
    text = explanation_page([ExplainedSample(made, source=wicked)], FACTS)
    page = parsed(text)
    assert len(page.all("script")) == 1 and not page.all("b") and "\u202e" not in text
    assert any("<script>alert(1)</script>\\u202e" in t for t in texts(page, "h1"))
    assert any("עברית" in e.text for e in page.all("bdi"))
    assert len(text) < 200_000


def test_the_same_explanation_is_the_same_page_and_no_date() -> None:
    subjects = answers({"image": RNG.random((1, 3, 12, 12)).astype(np.float32)}, 2)
    assert explanation_page(subjects, FACTS) == explanation_page(subjects, FACTS)


def test_saved_from_python(tmp_path: Path) -> None:
    inputs = {"x": RNG.normal(size=(2, 4)).astype(np.float32)}
    parts = [explanation(inputs, samples=2, target=k) for k in (0, 1)]
    parts[0].save_html(tmp_path / "one.html")
    one = parsed((tmp_path / "one.html").read_text("utf-8"))
    assert len(one.all("section", class_="sample")) == 2
    Explanations(parts).save_html(tmp_path / "two.html")
    two = parsed((tmp_path / "two.html").read_text("utf-8"))
    assert len(two.all("section", class_="sample")) == 2
    assert len(two.all("input", type="radio")) == 4
    with pytest.raises(RequestError, match="an original goes with one input"):
        parts[0].save_html(tmp_path / "no.html", picture=tmp_path / "absent.png")
    assert not (tmp_path / "no.html").exists()
