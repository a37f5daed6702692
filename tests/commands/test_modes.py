"""Every mode from the command line: what it says it computes, keeps and draws."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, Explanation
from backtrace_onnx.cli import commands
from backtrace_onnx.methods.descriptions import GROUPS, describe
from backtrace_onnx.methods.named import NAMES
from backtrace_onnx.methods.several_walks import SEVERAL
from backtrace_onnx.policies import POLICIES, find_method
from tests.command_line import ADULT, DIGIT, MNIST, ROWS
from tests.graphs import FLOAT, mlp, model, node, normal

Run = Callable[..., tuple[int, str, str]]


def test_the_help_lists_every_mode_in_its_group() -> None:
    text = commands.commands["explain"].help or ""
    for group, names in GROUPS.items():
        assert f"{group}: {', '.join(names)}" in text
    own = {"default", "contrastive"}
    listed = {name for names in GROUPS.values() for name in names}
    assert listed == own | {*NAMES} | {*SEVERAL} and own <= {*POLICIES}
    assert all(describe(find_method(name)) for name in listed)


@pytest.mark.parametrize(
    ("mode", "conserved", "said"),
    [
        ("default", "score", "where relevance went"),
        ("lrp(0.25)", "score", "where relevance went"),
        ("gradient", "nothing", "does not divide it up"),
        ("gradient_x_input", "nothing", "does not divide it up"),
        ("smoothgrad(samples=3)", "nothing", "does not divide it up"),
        ("gradcam", "nothing", "the map is that of 'pool2/MaxPool_output', 7 x 7"),
        ("deeplift", "difference", "where the difference to the baseline went"),
        ("integrated_gradients(steps=4)", "difference", "4 points on the line"),
    ],
)
def test_what_a_mode_computes_is_told_and_kept(
    run: Run, mode: str, conserved: str, said: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, text, err = run("explain", MNIST, DIGIT, "--mode", mode, "--out", out)
    assert code == 0, err
    assert f"relevance is {describe(find_method(mode))}" in " ".join(text.split())
    assert said in " ".join(text.split())
    record = json.loads((out / "report.json").read_text("utf-8"))
    assert (record["mode"], record["conserved"]) == (mode, conserved)
    kept = Explanation.load(out / "explanation.npz")
    assert (kept.mode, kept.computes) == (mode, record["computes"])
    assert kept.conserved == conserved
    flows = conserved != "nothing"
    assert (out / "relevance.png").is_file() and (out / "layers.png").is_file() == flows
    assert not any("reached the inputs" in note.text for note in kept.notes)
    assert "reached the inputs" not in text


def test_baselines_and_backgrounds_are_files(run: Run, tmp_path: Path) -> None:
    asked = ("explain", ADULT, ROWS, "--json", "--top", 12)
    line = ("--mode", "integrated_gradients(steps=8)")
    code, text, err = run(*asked, *line, "--baseline", "mean", "--background", ROWS)
    assert code == 0, err
    mean = json.loads(text)
    code, text, err = run(*asked, *line, "--baseline", ROWS, "--baseline", "zeros")
    assert code == 0, err
    several = json.loads(text)
    assert "6 baselines" in " ".join(several["samples"][0]["notes"])
    for found in (mean, several):
        books = found["samples"][0]["ledger"]["positive"]
        assert abs(books["residual"]) < 1e-6 * abs(books["start"]) and books["constants"] == 0
    code, text, err = run(*asked, "--mode", "expected_gradients(samples=20)", "--background", ROWS)
    assert code == 0, err
    assert "20 draws, seed 0" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mode", "expected_gradients"), "a background is needed"),
        (("--mode", "gradient", "--baseline", "zeros"), "takes no baseline"),
        (("--mode", "deeplift", "--baseline", "nowhere.npy"), "nowhere.npy: no such file"),
        (("--mode", "smoothgrad(samples=none)"), "samples is a number of draws"),
        (("--mode", "smoothgrad("), "unknown mode"),
    ],
)
def test_what_does_not_fit_ends_with_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = run("explain", ADULT, ROWS, *arguments)
    assert code == 2 and said in " ".join(err.split())


def test_slopes_that_are_all_0_are_told() -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("MatMul", ["a", "w"], ["h"])]
    nodes.append(node("Add", ["h", "one"], ["y"]))
    weights = {"w": normal(4, 3, seed=1), "one": np.float32([1, 2, 3])}
    net = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)
    x = -np.ones((2, 4), np.float32)
    for mode in ("gradient", "smoothgrad", "integrated_gradients"):
        made = Explainer(net).explain(x, mode=mode)
        told = [note.text for note in made.notes if note.warning]
        assert len(told) == (0 if mode == "integrated_gradients" else 1), (mode, told)


def test_modes_that_are_small_beside_the_score_raise_no_alarm() -> None:
    net = mlp()
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in net.graph.initializer}
    del net.graph.initializer[:]
    weights = {name: 1e-3 * w if name == "w" else w for name, w in weights.items()}
    net.graph.initializer.extend(onnx.numpy_helper.from_array(w, n) for n, w in weights.items())
    for mode in ("gradient", "gradient_x_input", "smoothgrad", "integrated_gradients"):
        made: Any = Explainer(net).explain(normal(2, 4, seed=3), mode=mode)
        assert not any(note.warning for note in made.notes)
