"""Stages of a network: by module, by resolution, or in equal parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backtrace_onnx import Explainer
from backtrace_onnx.report.stages import MOST, apart, stages_of
from tests.graphs import FLOAT, model, node, normal

MODELS = Path(__file__).parents[2] / "models"


def names(path: str) -> list[str]:
    return [stage.name for stage in stages_of(Explainer(MODELS / path), None)]


def test_modules_where_the_file_tells() -> None:
    assert names("mnist_cnn.onnx") == [
        "fc2 … relu3", "fc1", "flatten", "pool2", "relu2", "conv2", "pool1", "relu1", "conv1",
    ]  # fmt: skip


def test_resolutions_where_it_does_not() -> None:
    sizes = [f"{n} x {n} pixels" for n in (7, 14, 28, 56, 112)]
    assert names("orientation.onnx") == ["head", *sizes]


def chain(count: int) -> Any:
    nodes = [node("MatMul", [f"h{i}", "w"], [f"h{i + 1}"], name=f"mix{i}") for i in range(count)]
    return model(
        nodes, {"h0": (FLOAT, ["N", 4])}, {f"h{count}": (FLOAT, ["N", 4])}, {"w": normal(4, 4)}
    )


def test_a_few_nodes_are_a_stage_each_and_many_are_parts() -> None:
    few = stages_of(Explainer(chain(3)), None)
    assert [(stage.name, stage.handed) for stage in few] == [
        ("mix2", ("h2",)),
        ("mix1", ("h1",)),
        ("mix0", ("h0",)),
    ]
    many = stages_of(Explainer(chain(50)), None)
    assert len(many) == MOST and many[0].name == "mix49 … mix44"
    assert sum(len(stage.nodes) for stage in many) == 50


def test_every_node_is_in_one_stage() -> None:
    for path in ("orientation.onnx", "digits_unet.onnx", "adult_mlp.onnx"):
        explainer = Explainer(MODELS / path)
        nodes = [name for stage in stages_of(explainer, None) for name in stage.nodes]
        assert len(nodes) == len(set(nodes)) and set(nodes) <= {
            n.name for n in explainer.graph.nodes
        }


def test_what_is_kept_for_a_picture_comes_apart() -> None:
    made = Explainer(chain(3)).explain(np.ones((2, 4), np.float32), keep=["h2", "h0"])
    inputs, inner = apart(made)
    assert list(inputs.relevance) == list(inputs.positive) == ["h0"]
    assert list(inner) == ["h2"] and inner["h2"].shape == (2, 4)
