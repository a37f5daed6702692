"""Explaining torch modules directly, in the terms of their own parts."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx as bt
from backtrace_onnx.exporters import writing
from tests.results.test_modules import check_conserved

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 16, 6), nn.Tanh(), nn.Linear(6, 3))

    def forward(self, image: Any) -> Any:
        return self.head(torch.relu(self.bn(self.conv(image))))


@pytest.fixture(scope="module")
def net() -> Any:
    torch.manual_seed(0)
    return Net().eval()


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
def test_modules_with_classes(net: Any, exporter: str) -> None:
    x = torch.randn(2, 3, 6, 6)
    made = bt.Explainer.from_torch(net, x, exporter=exporter).explain(x.numpy())
    found = {path: module.kind for path, module in made.modules().items()}
    assert found == {
        "": "Net",
        "conv": "Conv2d",
        "head": "Sequential",
        "head.0": "Flatten",
        "head.1": "Linear",
        "head.2": "Tanh",
        "head.3": "Linear",
    }
    check_conserved(made.modules())
    linear = made.modules(by="class")["Linear"]
    parts = [made.modules()[p].constants for p in ("head.1", "head.3")]
    np.testing.assert_allclose(linear.constants, sum(parts), rtol=1e-6)


def test_batch_norm_is_read_with_its_convolution(net: Any) -> None:
    """Fused by the exporter or joined here: the bias of both belongs to the convolution."""
    x = torch.randn(2, 3, 6, 6)
    found = [
        bt.Explainer.from_torch(net, x, exporter=e).explain(x.numpy()).modules()["conv"]
        for e in ("dynamo", "legacy")
    ]
    np.testing.assert_allclose(found[0].incoming, found[1].incoming, rtol=1e-4)
    np.testing.assert_allclose(found[0].constants, found[1].constants, rtol=1e-4)


def test_options_go_to_the_explainer_or_the_exporter(net: Any) -> None:
    x = torch.randn(1, 3, 6, 6)
    explainer = bt.Explainer.from_torch(
        net, x, engine="onnxruntime", input_names=["picture"], exporter="legacy"
    )
    assert explainer.engine == "onnxruntime" and explainer.graph.inputs == ("picture",)
    assert explainer.explain(x.numpy()).modules()["head"].kind == "Sequential"


def test_weights_in_a_side_file_stay_readable(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "EMBEDDED_BYTES", 1000)
    x = torch.randn(1, 3, 6, 6)
    explainer = bt.Explainer.from_torch(net, x, exporter="legacy")
    folder = Path(explainer._loaded.name).parent
    assert len(list(folder.iterdir())) == 2
    assert np.isfinite(explainer.explain(x.numpy()).relevance["image"]).all()
    del explainer
    gc.collect()
    assert not folder.exists()
