"""What the README shows is what happens."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import backtrace_onnx as bt
from backtrace_onnx import policies
from backtrace_onnx.cli import commands
from backtrace_onnx.rules import registry

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place to write to, in which `models` is the repository's."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shown(folder: Path) -> Iterator[dict[str, Any]]:
    """Names that the Python of the README leaves behind."""
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    yield names
    for op_type in ("Squash", "Mix"):
        registry.unregister(op_type, domain="acme")
    policies.POLICIES.pop("positive")


def test_python_runs(shown: dict[str, Any], folder: Path) -> None:
    assert shown["relevance"].shape == shown["image"].shape
    asked = shown["explainer"].explain(shown["image"], target=3)
    np.testing.assert_allclose(asked.relevance["image"], shown["relevance"], atol=1e-6)
    rather = shown["explainer"].explain(shown["image"], mode="epsilon", start=bt.Contrast(3, 5))
    scale = np.abs(rather.relevance["image"]).max()
    np.testing.assert_allclose(shown["rather"], rather.relevance["image"], atol=1e-4 * scale)
    assert (folder / "first.png").read_bytes().startswith(b"\x89PNG")


def test_rules_of_ones_own_in_both_engines(shown: dict[str, Any], folder: Path) -> None:
    model = _with_acme_functions()
    x = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], np.float32)
    weight = _weight()
    explainer = bt.Explainer(model)
    assert {row.operator for row in explainer.support()} == {"acme::Mix", "acme::Squash"}
    found = explainer.explain(x, start=np.ones((2, 2), np.float32))
    contributions = np.abs(x[:, :, None] * weight)
    expected = (contributions / contributions.sum(1, keepdims=True)).sum(2)
    np.testing.assert_allclose(found.relevance["x"], expected, rtol=1e-5)
    slope = explainer.explain(x, mode="gradient", start=np.ones((2, 2), np.float32))
    np.testing.assert_allclose(
        slope.relevance["x"], (1 / (1 + (x @ weight) ** 2)) @ weight.T, rtol=1e-5
    )
    explainer.compile("acme.onnx", task="start")
    session = ort.InferenceSession("acme.onnx")
    feeds = {"x": x, "start": np.ones((2, 2), np.float32)}
    np.testing.assert_allclose(session.run(["relevance/x"], feeds)[0], expected, rtol=1e-5)


def test_mode_of_ones_own_in_both_engines(shown: dict[str, Any]) -> None:
    image = shown["image"]
    eager = shown["explainer"].explain(image, mode="positive")
    compiled = bt.explain("models/mnist_cnn.onnx", image, mode="positive", engine="onnxruntime")
    assert eager.ledger.total().relative_residual < 1e-4
    scale = np.abs(eager.relevance["image"]).max()
    assert np.abs(eager.relevance["image"] - compiled.relevance["image"]).max() <= 1e-5 * scale


@pytest.mark.parametrize(
    "line", [x for x in blocks("sh")[2].splitlines() if x.startswith("backtrace-onnx")]
)
def test_commands_run(line: str, folder: Path) -> None:
    result = CliRunner().invoke(commands, shlex.split(line)[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert result.output or (folder / "explained.onnx").is_file()


def _weight() -> np.ndarray:
    return np.array([[1.0, -1.0], [0.5, 2.0], [-3.0, 1.0]], np.float32)


def _with_acme_functions() -> onnx.ModelProto:
    """y = Squash(Mix(x)), both local functions of the domain acme."""
    core = [helper.make_opsetid("", 18)]
    squash = helper.make_function(
        "acme", "Squash", ["a"], ["b"], [helper.make_node("Atan", ["a"], ["b"])], core
    )
    mix = helper.make_function(
        "acme", "Mix", ["a", "w"], ["b"], [helper.make_node("MatMul", ["a", "w"], ["b"])], core
    )
    graph = helper.make_graph(
        [
            helper.make_node("Mix", ["x", "w"], ["t"], domain="acme", name="mix"),
            helper.make_node("Squash", ["t"], ["y"], domain="acme", name="squash"),
        ],
        "acme",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [onnx.numpy_helper.from_array(_weight(), "w")],
    )
    opsets = [*core, helper.make_opsetid("acme", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=[squash, mix], ir_version=10)
