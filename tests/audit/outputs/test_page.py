"""The report of an audit as a page: what stands on it, how large it is, and that it is safe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.histograms import Histogram, jensen_shannon
from backtrace_onnx.audit.outputs.evidence_view import MOST, evidence_view
from backtrace_onnx.audit.outputs.page import DRAWN, as_html, histogram_view
from backtrace_onnx.audit.portraits import Distribution, find_portraits
from backtrace_onnx.audit.running import Report
from tests.audit.audited import audit, linear, subject, write_model, write_rows
from tests.report.page.pages import Parsed, browser_path, parsed

LEAKED = ((0.5, -0.5), (0.0, 0.0), (0.0, 0.0), (3.0, -3.0))
CHEAP: dict[str, Any] = {
    "checks": {
        name: {"enabled": False}
        for name in ("deletion", "parameter-randomisation", "max-sensitivity", "batch-invariance")
    }
}
SIZE = 2_000_000


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A model that leans on a forbidden column, against a baseline that does not."""
    folder = tmp_path_factory.mktemp("audits")
    rows = write_rows(folder, 300)
    before = Baseline.of(subject(write_model(folder, linear()), rows, label="answer"))
    leaked = write_model(folder, linear(LEAKED), "leaked")
    forbidden = {"forbidden": ["leak"]}
    return audit(leaked, rows, before, label="answer", top_features=forbidden, **CHEAP)


def texts(page: Parsed, tag: str, **attributes: str) -> list[str]:
    return [" ".join(e.text.split()) for e in page.all(tag, **attributes)]


def test_a_model_that_is_stopped(stopped: Report) -> None:
    page = parsed(as_html(stopped))
    assert texts(page, "h1") == ["Stopped net"]
    first = page.all("details", class_="check")[0]
    assert "open" in first.attributes and "stops" in first.attributes["class"].split()
    for finding in stopped.ran:
        assert any(finding.text in text for text in texts(page, "span", class_="found"))
    assert set(stopped.skipped) <= set(texts(page, "dt"))
    leak = next(text for text in texts(page, "details", class_="check") if "(leak)" in text)
    assert "1 at most 0" in leak and "confirmed by an intervention" in leak
    assert "the settings" in leak and "leak" in leak
    assert texts(page, "li", class_="failed") == [f"{stopped.counts['failed']} failed"]
    assert stopped.facts["model"]["sha256"] in texts(page, "dd")
    assert "top_features.forbidden" in texts(page, "dt")


def test_shares_have_intervals_and_what_they_were(stopped: Report) -> None:
    page = parsed(as_html(stopped))
    at = next(
        i
        for i, e in enumerate(page.elements)
        if e.text == "leak" and page.elements[i + 2].attributes.get("class") == "barred"
    )
    after = page.elements[at : at + 30]
    cells = [e.text for e in after if "number" in e.attributes.get("class", "")]
    share, interval, was, _ = cells[:4]
    low, high = interval.split(" to ")
    assert was == "0.0%"
    assert float(low[:-1]) < float(share[:-1]) < float(high[:-1])
    assert share == f"{share_of(stopped, 'leak'):.1%}"


def share_of(report: Report, name: str) -> float:
    return float(next(f["share"] for f in report.facts["features"] if f["name"] == name))


def test_intervals_are_of_the_mean(stopped: Report, tmp_path: Path) -> None:
    rows = write_rows(tmp_path, 400)
    whole = subject(write_model(tmp_path, linear()), rows)
    portraits = find_portraits(whole, ())
    sizes = np.abs(whole.whole.shares)
    for portrait in portraits.features:
        own = sizes[:, whole.features.names.index(portrait.name)]
        assert portrait.share == pytest.approx(own.mean())
        assert portrait.interval is not None
        wide = 1.96 * own.std() / np.sqrt(len(own))
        low, high = portrait.interval
        assert low == pytest.approx(own.mean() - wide, abs=0.15 * wide + 1e-9)
        assert high == pytest.approx(own.mean() + wide, abs=0.15 * wide + 1e-9)
        assert portrait.was is None and portrait.shares.was is None


def test_histograms_are_beside_the_baseline(stopped: Report) -> None:
    assert stopped.portraits is not None
    by_name = {p.name: p for p in stopped.portraits.features}
    moved = by_name["a"].shares
    assert moved.was is not None and moved.moved == jensen_shannon(moved.was, moved.now)
    assert moved.moved > 0.1 and by_name["a"].inputs.moved == 0
    page = parsed(as_html(stopped))
    drawn = [e.attributes["aria-label"] for e in page.all("svg", class_="histogram")]
    assert drawn[0].startswith("answers, what the model answers: no: ")
    assert any(label.startswith("a, its relevance: under ") for label in drawn)
    assert len(drawn) <= 1 + 2 * DRAWN


def test_a_histogram_is_drawn_in_parts_of_its_highest_bin() -> None:
    was = Histogram(edges=(0.0, 1.0), counts=(1, 1, 2))
    now = Histogram(edges=(0.0, 1.0), counts=(4, 0, 4))
    view = histogram_view("x", Distribution(now, was, 0.25), scale=(10.0, 5.0))
    assert [(b.now, b.was) for b in view.bins] == [(50, 25), (0, 25), (50, 50)]
    assert view.steps == "M0 50.0V25.0H10V25.0H20V0.0H30V50.0"
    assert (view.first, view.last, view.moved) == ("under 5", "15 or more", "0.250")
    named = Histogram(values=("a", "b", "(other)"), counts=(3, 1, 0))
    assert [b.told for b in histogram_view("x", Distribution(named, None, None)).bins] == [
        "a: 75.0%",
        "b: 25.0%",
    ]


def test_evidence_of_any_form() -> None:
    table = evidence_view({"age": {"was": 0.5, "is": 0.25}, "work": {"was": 1, "is": None}})
    assert table.head == ("", "was", "is")
    assert table.rows == (("age", "0.5", "0.25"), ("work", "1", "\u2013"))
    assert evidence_view([{"a": True}, {"b": [0.1, 0.2]}]).rows == (("yes", ""), ("", "0.1 to 0.2"))
    assert evidence_view([1, 2, 3]).text == "1, 2, 3"
    many = evidence_view({f"n{i}": {"x": i} for i in range(1000)})
    assert len(many.rows) == MOST and many.more == 1000 - MOST
    nested = evidence_view({"a": {"b": {"c": {"d": [1]}}}})
    assert nested.pairs[0][0] == "a"
    assert evidence_view({}).pairs == () and evidence_view([]).text == "none"


def test_without_a_baseline_nothing_is_compared(tmp_path: Path) -> None:
    report = audit(write_model(tmp_path, linear()), write_rows(tmp_path, 60), **CHEAP)
    page = parsed(as_html(report))
    assert texts(page, "h1") == ["Passed net"]
    assert not page.all("svg", class_="histogram")
    assert "no --baseline is given" in texts(page, "dt")


def test_names_of_strangers_and_endless_evidence(stopped: Report) -> None:
    wicked = "</style><script>alert(1)</script>\u202e" + "x" * 5000
    first = stopped.findings[0]
    evidence = {f"{wicked}{i}": {wicked: wicked, "b": [wicked] * 50} for i in range(3000)}
    assert stopped.portraits is not None
    features = [replace(p, name=wicked) for p in stopped.portraits.features]
    report = replace(
        stopped,
        model=wicked,
        data=(wicked,) * 50,
        findings=tuple(replace(first, text=wicked, evidence=evidence) for _ in range(26)),
        portraits=replace(stopped.portraits, features=tuple(features)),
        settings={"sensitive": (wicked,) * 3},
    )
    text = as_html(report)
    page = parsed(text)
    assert len(page.all("script")) == 1 and len(page.all("style")) == 1
    assert "\u202e" not in text and len(text.encode()) < SIZE


def test_the_page_does_not_grow_with_rows(tmp_path: Path) -> None:
    model = write_model(tmp_path, linear())
    sizes = []
    for count in (200, 5000):
        report = audit(model, write_rows(tmp_path, count, name=f"{count}.csv"), **CHEAP)
        sizes.append(len(as_html(report)))
    assert abs(sizes[1] - sizes[0]) < 5000
    assert sizes[1] < SIZE


def test_the_same_report_is_the_same_page(stopped: Report) -> None:
    assert as_html(stopped) == as_html(stopped)


def test_a_broken_check_and_numbers_that_are_none(stopped: Report) -> None:
    first = stopped.findings[0]
    broken = replace(first, status="broken", value=None, text="it broke")
    endless = replace(first, status="failed", value=float("inf"))
    report = replace(stopped, findings=(broken, endless))
    page = parsed(as_html(report))
    assert texts(page, "h1") == ["Not completed net"]
    assert texts(page, "h2")[0].startswith("What ")


def test_a_report_made_elsewhere_has_no_portraits(stopped: Report) -> None:
    page = parsed(as_html(replace(stopped, portraits=None)))
    assert "What answers rest on" not in texts(page, "h2")


def test_in_a_browser(stopped: Report, tmp_path: Path) -> None:
    path = browser_path()
    from playwright.sync_api import sync_playwright

    file = tmp_path / "audit.html"
    file.write_text(as_html(stopped), "utf-8")
    said, asked = [], []
    with sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        closed = page.locator("details.check:not([open]) > summary").first
        closed.focus()
        before = page.locator("details.check[open]").count()
        page.keyboard.press("Enter")
        assert page.locator("details.check[open]").count() == before + 1
        assert page.pdf().startswith(b"%PDF")
        browser.close()
    assert said == [] and asked == [file.as_uri()]
