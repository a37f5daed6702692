"""Randomised models: scores of Quantus and ours, given the weights and the noise that one drew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, metrics
from tests.graphs import FLOAT, model, node, normal
from tests.metrics.quantus_oracle import Array, load_quantus

X, TARGET, SEED = normal(3, 1, 6, 6, seed=2), np.array([0, 2, 1]), 42
QUIET = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}
NODES = {"top_down": ("3", "1"), "bottom_up": ("1", "3"), "independent": ("1", "3")}
ENTRY = "backtrace_onnx.metrics.randomisation.randomised_models"


@pytest.fixture
def quantus(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load_quantus(monkeypatch)


def network() -> Any:
    """A torch module whose weights were \"learned\"."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def copied(net: Any) -> onnx.ModelProto:
    """The same network as an ONNX file."""
    nodes = [
        node("Flatten", ["x"], ["f"]),
        node("Gemm", ["f", "1.weight", "1.bias"], ["h"], "1", transB=1),
        node("Relu", ["h"], ["a"]),
        node("Gemm", ["a", "3.weight", "3.bias"], ["y"], "3", transB=1),
    ]
    weights = {name: w.numpy() for name, w in net.state_dict().items()}
    return model(nodes, {"x": (FLOAT, ["n", 1, 6, 6])}, {"y": (FLOAT, ["n", 3])}, weights)


def theirs(model: Any, inputs: Array, targets: Array, **how: Any) -> Array:
    """Gradient times input, by torch."""
    import torch

    x = torch.from_numpy(np.asarray(inputs, np.float32)).requires_grad_()
    model(x)[np.arange(len(x)), targets].sum().backward()
    assert x.grad is not None
    made: Array = (x * x.grad).detach().numpy()
    return made


def ours(of: Any, x: Array) -> Array:
    """The same, by this package."""
    return Explainer(of).explain(x, mode="gradient_x_input", target=TARGET).relevance["x"]


def randomised(
    quantus: Any, monkeypatch: pytest.MonkeyPatch, order: Any, **how: Any
) -> metrics.Randomisation:
    """What we measure of the models that Quantus draws."""
    from quantus.helpers.model.pytorch_model import PyTorchModel

    def drawn(proto: Any, *, order: str, seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
        wrapped = PyTorchModel(network(), channel_first=True, softmax=False)
        for name, net in wrapped.get_random_layer_generator(order=order, seed=SEED):
            yield name, copied(net)

    monkeypatch.setattr(ENTRY, drawn)
    made = metrics.model_randomisation(ours, copied(network()), X, order=order, **how)
    assert made.nodes == NODES[order]
    assert (made.similarity < 0.999).any() and (made.rise != 0).all()
    return made


def measured(metric: Any) -> Any:
    given = {"model": network(), "x_batch": X, "y_batch": TARGET, "a_batch": None}
    return metric(**given, explain_func=theirs, channel_first=True, device="cpu")


@pytest.mark.parametrize("order", NODES)
def test_mprt(quantus: Any, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    own = randomised(quantus, monkeypatch, order)
    metric = quantus.MPRT(layer_order=order, seed=SEED, **QUIET)
    first, *found = measured(metric).items()
    assert first[1] == pytest.approx([1] * 3)  # the model as it is: we leave it out
    assert [name for name, _ in found] == list(own.nodes)
    np.testing.assert_allclose(own.similarity, [s for _, s in found], rtol=1e-6)
    mean = quantus.MPRT(layer_order=order, seed=SEED, return_average_correlation=True, **QUIET)
    np.testing.assert_allclose((own.similarity.sum(0) + 1) / 3, measured(mean), rtol=1e-6)


@pytest.mark.parametrize("order", ["top_down", "bottom_up"])
def test_efficient_mprt(quantus: Any, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    from quantus.functions.complexity_func import entropy

    how = {"layer_order": order, "seed": SEED, **QUIET}
    own = randomised(quantus, monkeypatch, order, rise_of=metrics.histogram_complexity)
    np.testing.assert_allclose(own.rise, measured(quantus.EfficientMPRT(**how)), rtol=1e-6)

    def shares(a: Array, x: Any, **more: Any) -> float:
        return float(entropy(np.abs(a).ravel(), a.ravel()))

    own = randomised(quantus, monkeypatch, order)
    wanted = measured(quantus.EfficientMPRT(complexity_func=shares, **how))
    np.testing.assert_allclose(own.rise, wanted, rtol=1e-4)


@pytest.mark.parametrize("order", ["top_down", "bottom_up"])
def test_smooth_mprt(quantus: Any, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    samples, rng, calls = 4, np.random.default_rng(7), 0  # as ours are drawn
    noise = [rng.standard_normal(X.shape[1:]) for _ in range(samples - 1)]

    def draw(*shape: int) -> Array:
        nonlocal calls
        calls += 1
        return np.broadcast_to(noise[(calls - 1) % len(noise)], shape)

    own = randomised(quantus, monkeypatch, order, noisy=samples, noise=0.2, seed=7)
    plain = randomised(quantus, monkeypatch, order)
    assert not np.allclose(own.similarity, plain.similarity)
    monkeypatch.setattr(np.random, "randn", draw)
    # It explains by its own function of that name, whatever it is handed.
    monkeypatch.setattr(quantus, "explain", lambda net, x, y, **how: theirs(net, x, y))
    how = {"nr_samples": samples, "noise_magnitude": 0.2, "layer_order": order, "seed": SEED}
    first, *found = measured(quantus.SmoothMPRT(**how, **QUIET)).values()
    assert first == pytest.approx([1] * 3) and calls
    np.testing.assert_allclose(own.similarity, found, rtol=1e-6)
