"""What the documents say of the code is so, and what they link to is there."""

from __future__ import annotations

import ast
import doctest
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "backtrace_onnx"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "models").glob("*.md")),
    *sorted((ROOT / "scripts").rglob("*.md")),
]


def test_every_document_is_in_the_list_of_documents() -> None:
    listed = (ROOT / "docs" / "README.md").read_text("utf-8")
    beside = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", listed)) == beside


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def folders() -> dict[str, tuple[str, ...]]:
    """The lines of every folder's docstring, by the folder's name with a slash."""
    found = {}
    for file in (*PACKAGE.glob("*/**/__init__.py"), ROOT / "exporters" / "__init__.py"):
        root = PACKAGE if PACKAGE in file.parents else ROOT
        text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
        lines = tuple(line for line in text.splitlines() if line)
        found[f"{file.parent.relative_to(root).as_posix()}/"] = lines
    return found


@pytest.mark.parametrize("name", sorted(folders()))
def test_a_folder_says_in_three_lines_what_it_is(name: str) -> None:
    lines = folders()[name]
    assert len(lines) == 3, "what enters, what leaves, what it must never know: a line each"
    assert " enter" in lines[0]
    assert "leave" in lines[1]
    assert "never" in lines[2]


def test_the_table_of_folders_is_their_docstrings() -> None:
    rows = re.findall(r"^\| `([\w/]+/)` \| (.*) \| (.*) \| (.*) \|$", ARCHITECTURE, re.MULTILINE)
    assert {name: tuple(cells) for name, *cells in rows} == folders()
    assert [name for name, *_ in rows] == sorted(folders())


def test_the_layers_are_those_that_are_kept() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each["type"] == "layers")
    section = ARCHITECTURE.partition("\n## Layers\n")[2]
    assert blocks(section, "text")[0].splitlines() == contract["layers"]


def test_the_way_of_the_data_is_this_one() -> None:
    """Every name of the drawing is in the file beside it."""
    (drawing, *_) = blocks(ARCHITECTURE, "text")
    found = re.findall(r"\|\s+(\w+)\s+([\w/]+)\.py\b", drawing)
    assert len(found) > 15
    for name, path in found:
        module = import_module(f"backtrace_onnx.{path.removesuffix('/__init__').replace('/', '.')}")
        classes = [x for x in vars(module).values() if isinstance(x, type)]
        assert any(hasattr(owner, name) for owner in (module, *classes)), f"{name} in {path}.py"


def test_the_walk_by_hand_runs() -> None:
    example = "\n".join(blocks(ARCHITECTURE, "pycon"))
    test = doctest.DocTestParser().get_doctest(example, {}, "architecture.md", None, None)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner().run(test, out=said.append)
    assert tried > 20
    assert not failed, "".join(said)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text("utf-8"), flags=re.DOTALL)
    dead = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not _leads(link, document)]
    assert not dead


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_are_named_exist(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    named = re.findall(r"`((?:[\w.]+/)*[\w.]+\.(?:py|toml|md))`", text)
    assert named
    roots = (ROOT, PACKAGE, ROOT / "docs")
    assert not [name for name in named if not any((root / name).is_file() for root in roots)]


def _leads(link: str, document: Path) -> bool:
    """Whether a link leads out of the repository, or to a file (and a heading) that is there."""
    if re.match(r"\w+:", link):
        return True
    path, _, heading = link.partition("#")
    file = document.parent / path if path else document
    if not file.exists():
        return False
    return not heading or heading in _anchors(file.read_text("utf-8"))


def _anchors(text: str) -> Iterator[str]:
    """What headings are linked by: in lower case, without signs, blanks as hyphens."""
    bare = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for heading in re.findall(r"^#+ (.*)$", bare, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
