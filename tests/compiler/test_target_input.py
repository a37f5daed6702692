"""How compiled files are told what to explain, and that onnxruntime loads them in silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from onnx import helper, numpy_helper

import backtrace_onnx as bt
from backtrace_onnx.cli import commands
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

X = normal(5, 4, seed=3)
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
LOADS = """
import onnxruntime, sys
for file in sys.argv[1:]:
    onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
"""


def _speaker() -> onnx.ModelProto:
    """Ids [batch, tokens] -> logits [batch, tokens, 5]."""
    return model(
        [node("Gather", ["e", "ids"], ["h"], "embed"), node("MatMul", ["h", "w"], ["y"], "head")],
        {"ids": (INT64, ["batch", "tokens"])},
        {"y": (FLOAT, ["batch", "tokens", 5])},
        {"e": normal(7, 3), "w": normal(3, 5, seed=1)},
    )


def _run(path: Path, feeds: dict[str, Any]) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run([next(o.name for o in session.get_outputs() if "/" in o.name)], feeds)[0]


def _said(files: list[Path]) -> str:
    """What onnxruntime says while it loads the files, at its own level of talk."""
    names = [str(file) for file in files]
    done = subprocess.run([sys.executable, "-c", LOADS, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_files_load_without_a_warning_for_every_task_and_mode(tmp_path: Path) -> None:
    listed = mlp()
    weights = listed.graph.initializer
    listed.graph.input.extend(
        helper.make_tensor_value_info(w.name, FLOAT, list(w.dims)) for w in weights
    )
    weights.append(numpy_helper.from_array(normal(3), "unread"))
    tasks = ("classification", "regression", "bbox", "segmentation", "generation")
    for mode in MODES:
        for task in tasks:
            given = _speaker() if task == "generation" else listed
            for target in (None, "required"):
                file = tmp_path / f"{mode}-{task}-{target}.onnx"
                bt.compile(given, file, mode=mode, task=task, target=target)
        bt.compile(listed, tmp_path / f"{mode}-start.onnx", mode=mode, start=True)
    files = sorted(tmp_path.iterdir())
    assert len(files) == len(MODES) * (2 * len(tasks) + 1)
    assert _said(files) == ""


def test_of_an_optional_target_onnxruntime_warns_and_of_nothing_else(tmp_path: Path) -> None:
    bt.compile(mlp(), tmp_path / "m.onnx")
    said = _said([tmp_path / "m.onnx"]).strip().splitlines()
    assert len(said) == 1
    assert "Initializer target appears in graph inputs" in said[0]


@pytest.mark.parametrize(("target", "feeds"), [(None, None), (2, None), ((1,), None), (-1, None)])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_target_can_be_compiled(target: Any, feeds: None, task: str, tmp_path: Path) -> None:
    bt.compile(mlp(), tmp_path / "m.onnx", target=target, task=task)
    assert [i.name for i in onnx.load(tmp_path / "m.onnx").graph.input] == ["x"]
    want = bt.explain(mlp(), X, target=target, task=task).relevance["x"]
    np.testing.assert_allclose(_run(tmp_path / "m.onnx", {"x": X}), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", [None, 4, (0, 2), (-2, -1)])
def test_a_token_can_be_compiled(target: Any, tmp_path: Path) -> None:
    ids = np.array([[1, 5, 2]])
    bt.compile(_speaker(), tmp_path / "m.onnx", task="generation", target=target)
    want = bt.explain(_speaker(), ids, task="generation", target=target).relevance["ids"]
    np.testing.assert_allclose(_run(tmp_path / "m.onnx", {"ids": ids}), want, rtol=1e-5)


def test_a_required_target_is_a_plain_input(tmp_path: Path) -> None:
    bt.compile(mlp(), tmp_path / "m.onnx", target="required")
    made = onnx.load(tmp_path / "m.onnx").graph
    assert [i.name for i in made.input] == ["x", "target"]
    assert "target" not in {w.name for w in made.initializer}
    want = bt.explain(mlp(), X, target=[0, 2, 1, 1, 0]).relevance["x"]
    found = _run(tmp_path / "m.onnx", {"x": X, "target": np.array([0, 2, 1, 1, 0])})
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_start_can_be_an_input(mode: str, tmp_path: Path) -> None:
    parts = [np.abs(normal(5, 3, seed=s)) for s in (8, 9)]
    start = parts if mode == "contrastive" else parts[0]
    bt.compile(mlp(), tmp_path / "m.onnx", mode=mode, start=True)
    feeds = dict(zip(("start", "start_negative"), parts, strict=True))
    if mode != "contrastive":
        del feeds["start_negative"]
    want = bt.explain(mlp(), X, mode=mode, start=start).relevance["x"]
    found = _run(tmp_path / "m.onnx", {"x": X, **feeds})
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["lrp", "lrp(0.5)", "attnlrp", "gradient_x_input"])
def test_where_slopes_travel_a_start_holds_slopes_at_the_scores(mode: str, tmp_path: Path) -> None:
    weights = {"v": normal(4, 6), "w": normal(6, 3, seed=1), "b": normal(3, seed=2) + 5}
    nodes = [
        node("MatMul", ["x", "v"], ["h"], "first"),
        node("Relu", ["h"], ["a"], "relu"),
        node("Gemm", ["a", "w", "b"], ["z"], "last"),
        node("Softmax", ["z"], ["y"], "softmax"),
    ]
    made = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 3])}, weights)
    start = np.zeros((5, 3), np.float32)
    start[:, 0], start[:, 1] = 1, -1
    bt.compile(made, tmp_path / "m.onnx", mode=mode, output="z", start=True)
    want = bt.explain(made, X, mode=mode, start=bt.Contrast(0, 1)).relevance["x"]
    found = _run(tmp_path / "m.onnx", {"x": X, "start": start})
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "always"}, "optional"),
        ({"target": 1.5}, "optional"),
        ({"target": True}, "optional"),
        ({"target": ()}, "optional"),
        ({"target": 3}, "out of range"),
        ({"target": (0, 0)}, "does not fit"),
        ({"target": 1, "task": "segmentation"}, "segmentation"),
        ({"start": True, "task": "regression"}, "either start"),
        ({"start": True, "target": 1}, "either start"),
        ({"start": True, "scaler": 2.0}, "either start"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(bt.RequestError, match=words):
        bt.compile(mlp(), tmp_path / "m.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_an_entry_of_an_output_of_unknown_size_is_refused_where_it_is_not_known(
    tmp_path: Path,
) -> None:
    wide = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["n", 3, "w"])}, {"y": (FLOAT, None)})
    with pytest.raises(bt.RequestError, match="required"):
        bt.compile(wide, tmp_path / "m.onnx", target=(1, 2))


def test_the_command_tells_what_the_file_takes(tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx")
    onnx.save(_speaker(), tmp_path / "s.onnx")

    def told(*arguments: str) -> str:
        done = CliRunner().invoke(commands, ["compile", *arguments, "-o", str(tmp_path / "e.onnx")])
        assert done.exit_code == 0, done.output
        return done.output

    optional = told(str(tmp_path / "m.onnx"))
    assert "input target int64[targets] (optional): an entry of the output" in optional
    assert "initializer that may be overridden" in optional
    assert "overridden" not in told(str(tmp_path / "m.onnx"), "--target", "required")
    assert "input target" not in told(str(tmp_path / "m.onnx"), "--target", "2")
    spoken = told(str(tmp_path / "s.onnx"), "--task", "generation")
    assert "input target int64[targets, positions, 2] (optional): position and token" in spoken
    start = told(str(tmp_path / "m.onnx"), "--start", "--mode", "contrastive")
    assert "input start_negative float32[N, 3]: the relevance against" in start
