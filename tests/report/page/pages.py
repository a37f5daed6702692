"""Pages as tests read them: by the parser of the standard library, and by a real browser."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from math import isfinite

import pytest

VOID = frozenset({"meta", "input", "br", "wbr", "hr", "img", "link"})
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Element:
    """A tag as it stands in a page, with all text in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Parsed(HTMLParser):
    """A page's elements, in their order; what is not closed where it must be is an error."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1].tag == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """The elements of a tag whose attributes hold these words."""
        wanted = {name.rstrip("_").replace("_", "-"): word for name, word in attributes.items()}
        return [
            e
            for e in self.elements
            if e.tag == tag
            and all(word in e.attributes.get(name, "").split() for name, word in wanted.items())
        ]


def parsed(text: str) -> Parsed:
    """A page that is whole, loads nothing, and lets nothing run but its own script and style."""
    page = Parsed()
    page.feed(text)
    page.close()
    assert not page.open, f"not closed: {page.open}"
    for element in page.elements:
        for name, value in element.attributes.items():
            assert not name.startswith("on") and name != "style", f"{element.tag} {name}={value}"
            if name in ("x", "y", "width", "height") and not value.endswith("%"):
                number = float(value)
                assert isfinite(number) and (number >= 0 or name in "xy"), f"{name}={value}"
            if name in ("d", "transform", "viewbox", "points"):
                assert not re.search("nan|inf", value), f"{element.tag} {name}={value[:80]}"
            if name in ("src", "href", "action", "srcset", "poster", "data"):
                assert value.startswith(("#", "data:image/")), f"{element.tag} {name}={value[:80]}"
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids)), "an id stands twice"
    (style,), (script,) = page.all("style"), page.all("script")
    (policy,) = (e.attributes["content"] for e in page.all("meta") if "http-equiv" in e.attributes)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for kind, own in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(own.text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert not re.search(r"url\((?!#)|@import|https?:", style.text + script.text)
    return page


def browser_path() -> str:
    """Where Chromium is; the test is skipped, saying so, where it is not."""
    pytest.importorskip("playwright", reason="playwright is not installed")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    return found
