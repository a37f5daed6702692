"""Pages in a real browser, without a screen: they render, load nothing, and can be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.explanation import Explanations
from tests.report.made import explanation
from tests.report.page.pages import browser_path

RNG = np.random.default_rng(11)
WICKED = '"><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\u202e' + "x" * 900


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = browser_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as runner:
        started = runner.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture explained for three answers, and a table whose names are hostile."""
    folder = tmp_path_factory.mktemp("pages")
    inputs = {"image": RNG.random((1, 3, 12, 12)).astype(np.float32)}
    parts = [
        explanation(inputs, {"image": RNG.normal(size=(1, 3, 12, 12))}, target=k) for k in range(3)
    ]
    Explanations(parts).save_html(folder / "picture.html")
    made = explanation({WICKED: RNG.normal(size=(1, 3))})
    names = {WICKED: (WICKED, "שם ארוך", "b" * 500)}
    replace(made, names=names).save_html(folder / "wicked.html")
    return folder


@contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[Any]:
    """A page; that it complains of nothing and asks for nothing but itself is checked."""
    context = browser.new_context(**options)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append("a dialog"), dialog.dismiss()))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:image/")] == [path.as_uri()]


def shown(page: Any, selector: str) -> list[str]:
    """The texts of what is to be seen."""
    return [e.inner_text() for e in page.query_selector_all(selector) if e.is_visible()]


def layers(page: Any) -> list[str]:
    """The maps that are to be seen."""
    found = page.query_selector_all(".cover image")
    return [e.get_attribute("href") for e in found if e.is_visible()]


def test_one_picks_an_answer(browser: Any, pages: Path) -> None:
    with opened(browser, pages / "picture.html") as page:
        assert shown(page, ".question")[0].startswith("Why “class 2”?")
        (before,) = layers(page)
        page.get_by_label("class 0").check()
        assert shown(page, ".question")[0].startswith("Why “class 0”?")
        (after,) = layers(page)
        assert after != before
        page.keyboard.press("ArrowRight")
        assert shown(page, ".question")[0].startswith("Why “class 1”?")
        assert len(shown(page, "p.sum")) == 1


def test_picking_needs_no_script_and_the_slider_is_not_there(browser: Any, pages: Path) -> None:
    with opened(browser, pages / "picture.html", java_script_enabled=False) as page:
        page.get_by_label("class 1").check()
        assert shown(page, ".question")[0].startswith("Why “class 1”?")
        assert len(layers(page)) == 1
        assert not page.query_selector(".opacity").is_visible()


def test_the_slider_fades_relevance(browser: Any, pages: Path) -> None:
    opacity = "getComputedStyle(document.querySelector('.cover')).opacity"
    with opened(browser, pages / "picture.html") as page:
        assert page.evaluate(opacity) == "1"
        page.get_by_label("Opacity of the relevance").fill("40")
        assert page.evaluate(opacity) == "0.4"


def test_a_module_opens_to_its_books(browser: Any, pages: Path) -> None:
    with opened(browser, pages / "picture.html") as page:
        visible = [e for e in page.query_selector_all(".flow summary") if e.is_visible()]
        assert shown(page, ".nodes") == []
        visible[0].focus()
        page.keyboard.press("Enter")
        (table,) = shown(page, ".nodes")
        assert "node0" in table and "Gemm" in table and "100.0 %" in table


def test_a_row_marks_its_region(browser: Any, pages: Path) -> None:
    with opened(browser, pages / "picture.html") as page:
        rows = [e for e in page.query_selector_all("tr[data-box]") if e.is_visible()]
        mark = page.query_selector(".mark")
        assert mark.get_attribute("width") == "0"
        rows[0].focus()
        x, y, width, height = rows[0].get_attribute("data-box").split(" ")
        found = [mark.get_attribute(name) for name in ("x", "y", "width", "height")]
        assert found == [x, y, width, height]


def test_names_of_strangers_do_nothing_and_fit(browser: Any, pages: Path) -> None:
    with opened(browser, pages / "wicked.html", viewport={"width": 400, "height": 800}) as page:
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("document.images.length") == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_light_and_dark_and_paper(browser: Any, pages: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    for scheme, color in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 23, 27)")):
        with opened(browser, pages / "picture.html", color_scheme=scheme) as page:
            assert page.evaluate(paper) == color
            page.emulate_media(media="print")
            assert page.evaluate(paper) == "rgb(255, 255, 255)"
            assert not page.query_selector(".opacity").is_visible()
            assert page.pdf().startswith(b"%PDF")
