"""One network through every exporter, operator set and optimiser: one explanation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer, Explanation
from tests.checks import MODES
from tests.graphs import check_closed, normal

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters', not ours

LIMIT = 1e-4
X = {"tokens": normal(2, 5, 6), "image": normal(2, 3, 6, 6)}
WAYS = {
    **{f"dynamo {opset}": (True, opset) for opset in (18, 20, 23)},
    **{f"legacy {opset}": (False, opset) for opset in (13, 17)},
}
REFERENCE = "dynamo 23"
LEVELS = ort.GraphOptimizationLevel


class Rms(torch.nn.Module):  # type: ignore[misc, name-defined]
    """As Llama writes it; torch's own has no legacy export."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x: Any) -> Any:
        wide = x.to(torch.float32)
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6))


class Native(Rms):
    """torch's own."""

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.rms_norm(x, self.weight.shape, self.weight, 1e-6)


class Tokens(torch.nn.Module):  # type: ignore[misc, name-defined]
    """x[N, 5, 6]: layers with a normalisation and an activation each, with residuals."""

    def __init__(self, rms: type[Rms]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(6, 6) for _ in range(5))
        self.norm, self.rms = torch.nn.LayerNorm(6), rms(6)
        self.norm.weight.data, self.norm.bias.data = torch.rand(6) + 0.5, torch.randn(6)
        self.head = torch.nn.Linear(6, 3)

    def forward(self, tokens: Any) -> Any:
        f = torch.nn.functional
        first, second, third, fourth, fifth = self.layers
        h = f.gelu(first(tokens))
        h = h + f.gelu(second(self.norm(h)), approximate="tanh")
        h = self.rms(h + f.silu(third(h)))
        h = f.normalize(h + f.mish(fourth(h)), dim=-1)
        h = h + torch.tanh(fifth(f.softplus(h)))
        return torch.softmax(self.head(h), -1)


class Image(torch.nn.Module):  # type: ignore[misc, name-defined]
    """x[N, 3, 6, 6]: convolutions with group, instance and channel normalisations."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.mix = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 1)
        self.group = torch.nn.GroupNorm(2, 4)
        self.instance = torch.nn.InstanceNorm2d(4, affine=True)
        for norm in (self.group, self.instance):
            norm.weight.data, norm.bias.data = torch.rand(4) + 0.5, torch.randn(4)
        self.scale, self.head = torch.nn.Parameter(torch.randn(4, 1, 1)), torch.nn.Linear(4, 3)

    def forward(self, image: Any) -> Any:
        f = torch.nn.functional
        h = f.hardswish(self.group(self.stem(image)))
        h = h + f.elu(self.instance(self.mix(h)))
        centred = h - h.mean(1, keepdim=True)
        h = self.scale * centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + 1e-6)
        return self.head(f.leaky_relu(self.mix(h)).mean((2, 3)))


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@cache
def _export(network: str, way: str) -> bytes:
    dynamo, opset = WAYS[way]
    tokens = Tokens(Native if dynamo else Rms)
    module = (tokens if network == "tokens" else Image()).eval()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        x = torch.from_numpy(X[network])
        options: dict[str, Any] = {"dynamic_axes": {network: {0: "N"}}}
        if dynamo:
            batch = torch.export.Dim("N")
            options = {"dynamic_shapes": {network: {0: batch}}, "external_data": False}
        torch.onnx.export(
            module,
            (x,),
            str(path),
            input_names=[network],
            opset_version=opset,
            dynamo=dynamo,
            verbose=False,
            **options,
        )
        return path.read_bytes()


def _explained(model: bytes, network: str, mode: str, engine: Any = "numba") -> Explanation:
    return Explainer(model, engine=engine).explain(X[network], mode=mode, target=1)


@cache
def _reference(network: str, mode: str) -> Explanation:
    return _explained(_export(network, REFERENCE), network, mode)


def _check(model: bytes, network: str) -> None:
    for mode in MODES:
        wanted = _reference(network, mode)
        for engine in ("numba", "onnxruntime")[: 2 if mode == "default" else 1]:
            found = _explained(model, network, mode, engine)
            check_closed(found)
            got, want = found.relevance[network], wanted.relevance[network]
            assert np.abs(got - want).max() <= LIMIT * np.abs(want).max(), (mode, engine)


@pytest.mark.parametrize("way", [way for way in WAYS if way != REFERENCE])
@pytest.mark.parametrize("network", X)
def test_exporters_and_operator_sets(network: str, way: str) -> None:
    _check(_export(network, way), network)


def _slimmed(model: bytes) -> bytes:
    slimmed = pytest.importorskip("onnxslim").slim(onnx.load_from_string(model))
    return bytes(slimmed.SerializeToString())


def _optimised(level: Any) -> Callable[[bytes], bytes]:
    def optimise(model: bytes) -> bytes:
        with TemporaryDirectory() as folder:
            options = ort.SessionOptions()
            options.graph_optimization_level = level
            options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
            options.log_severity_level = 4
            ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            return Path(options.optimized_model_filepath).read_bytes()

    return optimise


OPTIMISERS = {
    "onnxslim": _slimmed,
    "onnxruntime basic": _optimised(LEVELS.ORT_ENABLE_BASIC),
    "onnxruntime extended": _optimised(LEVELS.ORT_ENABLE_EXTENDED),
}


@pytest.mark.parametrize("way", ["dynamo 20", "legacy 13"])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("network", X)
def test_optimisers(network: str, optimiser: str, way: str) -> None:
    _check(OPTIMISERS[optimiser](_export(network, way)), network)
