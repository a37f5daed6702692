"""From a template and values to one page of HTML, and to a file that is there whole or not at all.

Texts are escaped wherever they are printed, and what would steer a reader's eye (controls, marks
that turn the order of letters) is spelled out. A policy in the page lets nothing be loaded, and
nothing run or style it but its own script and style, named by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.terminal_text import visible
from backtrace_onnx.report.page.stylesheet import shades
from backtrace_onnx.results.whole_files import written_whole

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
LONGEST = 400
"""Characters of a name that a page shows; what is longer is cut in its middle."""


def check_pages() -> None:
    """Raise RequestError, naming the extra, where what makes pages is not installed."""
    if find_spec("jinja2") is None:
        raise RequestError("a page of HTML needs jinja2: pip install 'backtrace-onnx[html]'")


def make_page(template: str, **values: Any) -> str:
    """The page of a template (a name without .html). Raises RequestError where jinja2 is absent."""
    check_pages()
    style = _tidy(f"{_read('page.css')}\n{shades()}")
    script = _tidy(_read("page.js"))
    allowed = f"style-src {_hash(style)}; script-src {_hash(script)}"
    policy = f"default-src 'none'; img-src data:; {allowed}; base-uri 'none'; form-action 'none'"
    own = {"style": Safe(style), "script": Safe(script), "policy": Safe(policy)}
    made = _environment().get_template(f"{template}.html")
    return _tidy(made.render(version=version("backtrace-onnx"), **own, **values)) + "\n"


def write_page(path: Path, text: str) -> None:
    """Write a page whole or not at all. Raises RequestError where it cannot be written."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


class Safe(str):
    """A text that is HTML already: our own, never one that came from a file."""

    def __html__(self) -> str:
        return str(self)


class Whole(str):
    """A text that is printed in full, however long it is."""


def data_url(kind: str, content: bytes) -> Safe:
    """Content as an address that holds all of it; `kind` is its media type."""
    return Safe(f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}")


def shown(value: Any) -> Any:
    """A value as pages print it: texts without what steers the eye, and not endless."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    if len(value) > LONGEST and not isinstance(value, Whole):
        half = LONGEST // 2
        value = f"{value[:half]} … {value[-half:]}"
    return visible(value)


def breakable(value: str) -> Safe:
    """A name, escaped, that may be broken behind its dots, slashes and underscores."""
    escaped = html.escape(shown(value))
    return Safe(re.sub(r"([./_])(?=.)", r"\1<wbr>", escaped))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["breakable"] = breakable
    return made


@cache
def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _tidy(text: str) -> str:
    return "\n".join(line for line in map(str.rstrip, text.split("\n")) if line)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


__all__ = [
    "Safe",
    "Whole",
    "breakable",
    "check_pages",
    "data_url",
    "make_page",
    "shown",
    "write_page",
]
