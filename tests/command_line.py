"""Models and inputs that the command line is run on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import helper

MODELS = Path(__file__).parents[1] / "models"
MNIST, ADULT = MODELS / "mnist_cnn.onnx", MODELS / "adult_mlp.onnx"
DIGIT, ROWS = MODELS / "samples" / "digit_2.png", MODELS / "samples" / "adult.csv"


def saved(path: Path, nodes: Any, inputs: Any, outputs: Any) -> Path:
    """A model of these nodes, with an operator set `my.ops`, as a file."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("my.ops", 1)]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path
