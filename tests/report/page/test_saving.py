"""Pages saved from Python, with the model: they show what the command line shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, Explanation
from tests.graphs import mlp


def body(page: Path) -> str:
    """What a page shows, without the name of its source and the command."""
    text = page.read_text("utf-8")
    text = text[text.index("<body") :]
    text = re.sub(r"<p>The same again, on a terminal.*?</pre>", "", text, flags=re.DOTALL)
    text = re.sub(r"<bdi>x\.npy</bdi>: ", "", text)
    return re.sub(r"\s+", " ", text)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    onnx.save(mlp(), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32))
    return tmp_path


@pytest.mark.parametrize("kept", [{}, {"keep": "all"}])
def test_with_the_model_it_is_the_page_of_the_command(
    run: Any, kept: dict[str, Any], here: Path
) -> None:
    page = here / "typed.html"
    files = (here / "m.onnx", here / "x.npy")
    code, _, err = run("explain", *files, "--mode", "lrp", "--no-check", "--html", page)
    assert (code, err) == (0, "")
    made = Explainer(here / "m.onnx").explain(np.load(here / "x.npy"), mode="lrp", **kept)
    made.save_html(here / "made.html", model=here / "m.onnx")
    assert body(here / "made.html") == body(page)


def test_of_another_model_or_origin_stages_have_no_relevance_of_their_own(here: Path) -> None:
    made = Explainer(here / "m.onnx").explain(np.load(here / "x.npy"), mode="lrp")
    made.save_html(here / "own.html", model=here / "m.onnx")
    made.save(here / "x.npz")
    Explanation.load(here / "x.npz").save_html(here / "loaded.html", model=here / "m.onnx")
    assert body(here / "loaded.html") == body(here / "own.html")
    other = mlp()
    other.doc_string = "other"
    onnx.save(other, here / "other.onnx")
    made.save_html(here / "other.html", model=here / "other.onnx")
    assert body(here / "other.html") != body(here / "own.html")
