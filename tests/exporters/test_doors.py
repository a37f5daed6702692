"""The same network through every door gets the same explanation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.exporters import from_keras, from_saved_model, from_tflite, from_torch
from tests.graphs import check_closed

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for name in ("torch", "onnxscript", "tensorflow", "keras", "tf2onnx"):
        pytest.importorskip(name)
    import tensorflow as tf
    import torch

    from tests.exporters import networks
    from tests.exporters.networks import Twins

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter.*:UserWarning"),
]
TORCH = ("dynamo", "legacy")
DOORS = (*TORCH, "keras", "saved", "tflite", "own")
NETWORKS = ("mlp", "cnn", "lstm", "block")
Made = tuple[Twins, Callable[[str], Path]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """A network by name, and its file by door, each made once."""
    known: dict[str, Twins] = {}
    folder = tmp_path_factory.mktemp("doors")

    def network(name: str) -> Made:
        twins = known.setdefault(name, getattr(networks, name)())

        def file(door: str) -> Path:
            path = folder / f"{name}_{door}.onnx"
            if not path.is_file():
                _export(twins, door, path, fixed=name == "lstm")
            return path

        return twins, file

    return network


def _export(twins: Twins, door: str, path: Path, fixed: bool) -> None:
    if door in TORCH:
        from_torch(twins.torch, torch.tensor(twins.x), path, exporter=door, output_names=["y"])
    elif door == "keras":
        from_keras(twins.keras, path)
    elif door == "own":
        twins.keras.export(path, format="onnx", verbose=False)
    else:
        saved = path.with_suffix(".saved")
        shape = (1, *twins.x.shape[1:]) if fixed and door == "tflite" else None
        signature = [tf.TensorSpec(shape, tf.float32, name="input")] if shape else None
        twins.keras.export(saved, verbose=False, input_signature=signature)
        if door == "saved":
            from_saved_model(saved, path)
        else:
            lite = path.with_suffix(".tflite")
            lite.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert())
            from_tflite(lite, path)


def relevance(twins: Twins, door: str, path: Path, mode: str) -> list[Any]:
    """Relevance of the input by channel, in torch's layout."""
    x = twins.x if door in TORCH else twins.to_keras(twins.x)
    explainer = Explainer(path)
    alone = explainer.graph.type("input").shape[:1] == (1,)  # a fixed batch of one sample
    found = []
    for part in np.split(x, len(x)) if alone else [x]:
        explanation = explainer.explain(part, mode=mode)
        check_closed(explanation)
        channels = [explanation.positive, explanation.negative]
        found.append([channel["input"] for channel in channels if channel])
    whole = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return whole if door in TORCH else [twins.back(r) for r in whole]


@pytest.mark.parametrize("mode", ["default", "contrastive"])
@pytest.mark.parametrize("door", DOORS[1:])
@pytest.mark.parametrize("name", NETWORKS)
def test_alike(name: str, door: str, mode: str, made: Callable[[str], Made]) -> None:
    twins, file = made(name)
    wanted = relevance(twins, "dynamo", file("dynamo"), mode)
    found = relevance(twins, door, file(door), mode)
    for r, s in zip(wanted, found, strict=True):
        assert np.abs(r - s).max() <= 1e-4 * np.abs(r).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_are_the_same(name: str, made: Callable[[str], Made]) -> None:
    twins, _ = made(name)
    ours = twins.torch(torch.tensor(twins.x)).detach().numpy()
    theirs = np.asarray(twins.keras(twins.to_keras(twins.x)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
