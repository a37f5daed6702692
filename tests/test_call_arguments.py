"""What `explain` and `compile` are told is shown by their signatures and their documentation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import backtrace_onnx as bt
from backtrace_onnx.methods.several_walks import SEVERAL
from tests.graphs import mlp, normal

CALLS = [bt.explain, bt.compile, bt.Explainer.explain, bt.Explainer.compile]
OUTPUT = {
    "mode": "default",
    "output": None,
    "task": None,
    "scaler": None,
    "sample_axis": None,
    "class_axis": None,
    "columns": None,
    "labels": (),
    "sidecar": None,
    "through": None,
    "baseline": None,
    "background": None,
}
EXPLAIN = {
    **OUTPUT,
    "threshold": None,
    "target": None,
    "targets": None,
    "start": None,
    "keep": "inputs",
    "tokenizer": None,
    "progress": None,
}
COMPILE = {**OUTPUT, "threshold": 0.5, "target": "optional", "start": False, "tensors": None}


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (bt.explain, EXPLAIN),
        (bt.Explainer.explain, EXPLAIN),
        (bt.compile, COMPILE),
        (bt.Explainer.compile, COMPILE),
    ],
)
def test_every_argument_stands_in_the_signature(
    call: Callable[..., Any], wanted: dict[str, Any]
) -> None:
    found = inspect.signature(call).parameters
    by_name = {n: p.default for n, p in found.items() if p.kind is p.KEYWORD_ONLY}
    for opening in ("engine", "providers", "libraries", "on_unsupported"):
        by_name.pop(opening, None)
    assert by_name == wanted
    free = [n for n, p in found.items() if p.kind is p.VAR_KEYWORD]
    assert free == ["parameters"]


@pytest.mark.parametrize("call", CALLS)
def test_every_argument_is_documented_once(call: Callable[..., Any]) -> None:
    text = inspect.getdoc(call) or ""
    listed = text.partition("\nArgs:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^ {4}(\w[\w, ]*): ", listed, re.MULTILINE)
    said = [name for entry in entries for name in entry.split(", ")]
    assert sorted(said) == sorted(set(inspect.signature(call).parameters) - {"self"})
    assert "\nRaises:\n" in text


def test_parameters_of_modes_are_those_that_a_type_checker_knows() -> None:
    from backtrace_onnx.call_arguments import ExplainArguments, ExplainKeywords

    known = set(ExplainKeywords.__annotations__) - set(ExplainArguments.__annotations__)
    assert known == {field.name for kind in SEVERAL.values() for field in fields(kind)}


def test_arguments_that_there_are_not(tmp_path: Path) -> None:
    explainer = bt.Explainer(mlp())
    with pytest.raises(bt.RequestError, match="mode 'default' takes no parameter 'treshold'"):
        explainer.explain(normal(3, 4), treshold=0.5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"compile\(\) got an unexpected keyword argument 'modes'"):
        explainer.compile(tmp_path / "x.onnx", modes="default")  # type: ignore[call-arg]


def test_a_threshold_of_none_is_a_half(tmp_path: Path) -> None:
    explainer = bt.Explainer(mlp())
    files = [tmp_path / "one.onnx", tmp_path / "other.onnx"]
    explainer.compile(files[0], task="segmentation")
    explainer.compile(files[1], task="segmentation", threshold=None)
    assert files[0].read_bytes() == files[1].read_bytes()
