"""`attribute` beside captum's on the same network, and explain_func in Quantus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, RequestError, metrics
from tests.graphs import FLOAT, mlp, model, node, normal
from tests.metrics.quantus_oracle import load_quantus

X = normal(5, 4, seed=3)
TARGET = np.array([0, 2, 1, 1, 0])


def network() -> Any:
    """`tests.graphs.mlp` in torch."""
    import torch

    tensors = [torch.from_numpy(w) for w in (normal(4, 5), normal(5, seed=1), normal(5, 3, seed=2))]
    w, b, v = tensors

    class Network(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.relu(x @ w + b) @ v

    return Network().eval()


def two_inputs() -> Any:
    return model(
        [node("Mul", ["a", "b"], ["m"], "mul"), node("MatMul", ["m", "w"], ["y"], "fc")],
        {"a": (FLOAT, ["N", 3]), "b": (FLOAT, ["N", 3])},
        {"y": (FLOAT, ["N", 2])},
        {"w": normal(3, 2)},
    )


def test_a_call_for_captum_is_a_call_for_ours() -> None:
    torch, attr = pytest.importorskip("torch"), pytest.importorskip("captum.attr")
    x, target = torch.from_numpy(X), torch.from_numpy(TARGET)
    explainer = Explainer(mlp())
    for captum, mode in ((attr.InputXGradient, "gradient_x_input"), (attr.Saliency, "gradient")):
        how: Any = {"abs": False} if captum is attr.Saliency else {}
        wanted = captum(network()).attribute(x.clone().requires_grad_(), target=target, **how)
        found = explainer.attribute(x, target=target, mode=mode)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_allclose(found.numpy(), wanted.detach().numpy(), rtol=1e-4, atol=1e-5)
    base = torch.full((1, 4), 0.3)
    given: Any = {"baselines": base, "target": 1, "return_convergence_delta": True}
    wanted, gaps = attr.IntegratedGradients(network()).attribute(x, n_steps=300, **given)
    found, delta = explainer.attribute(x, mode="integrated_gradients(steps=300)", **given)
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=2e-2, atol=2e-2)
    assert delta.shape == gaps.shape == (5,) and np.abs(delta).max() < 2e-2


def test_tuples_and_arrays_come_back_as_they_went_in() -> None:
    explainer = Explainer(two_inputs())
    a, b = normal(4, 3, seed=1), normal(4, 3, seed=2)
    wanted = explainer.explain({"a": a, "b": b}, mode="lrp", target=1).relevance
    found = explainer.attribute((a, b), target=1, mode="lrp")
    assert isinstance(found, tuple) and len(found) == 2
    np.testing.assert_array_equal(found[1], wanted["b"])
    alone = explainer.attribute(a, target=[1, 1, 1, 1], additional_forward_args=b, mode="lrp")
    np.testing.assert_array_equal(alone, wanted["a"])
    with pytest.raises(RequestError, match=r"takes 2 inputs \(a, b\), and 1 are given"):
        explainer.attribute(a)


def test_a_module_answers_as_the_model() -> None:
    torch = pytest.importorskip("torch")
    module = Explainer(mlp()).torch_module()
    assert isinstance(module, torch.nn.Module) and not module.training
    found = module(torch.from_numpy(X.astype(np.float64)))
    np.testing.assert_allclose(found, network()(torch.from_numpy(X)), rtol=1e-5, atol=1e-6)
    with pytest.raises(RequestError, match="the model has 2"):
        Explainer(two_inputs()).torch_module()


def test_quantus_measures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    quantus = load_quantus(monkeypatch)
    explainer = Explainer(mlp())
    quiet = {"disable_warnings": True, "display_progressbar": False}
    found = quantus.Complexity(**quiet)(
        model=explainer.torch_module(),
        x_batch=X,
        y_batch=TARGET,
        explain_func=explainer.explain_func("lrp"),
        channel_first=True,
        device="cpu",
    )
    r = explainer.explain(X, mode="lrp", target=TARGET).relevance["x"]
    np.testing.assert_allclose(found, metrics.complexity(r), rtol=1e-4)
