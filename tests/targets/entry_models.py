"""Models whose outputs hold boxes or steps."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from tests.graphs import FLOAT, model, node, normal

MODES = ("default", "contrastive")


def speller(steps_first: bool = False, softmax: bool = True) -> onnx.ModelProto:
    """A picture [N, 3, 8, W] -> 5 classes of each of its columns."""
    nodes = [
        node("Conv", ["x", "w"], ["h"], "read"),
        node("Squeeze", ["h", "two"], ["s"]),
        node("Transpose", ["s"], ["t"], perm=[2, 0, 1] if steps_first else [0, 2, 1]),
        node("Softmax", ["t"], ["y"], axis=-1) if softmax else node("Identity", ["t"], ["y"]),
    ]
    shape = ["W", "N", 5] if steps_first else ["N", "W", 5]
    weights = {"w": normal(5, 3, 8, 1, seed=6), "two": np.array([2])}
    return model(nodes, {"x": (FLOAT, ["N", 3, 8, "W"])}, {"y": (FLOAT, shape)}, weights)


def quiet_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return options
