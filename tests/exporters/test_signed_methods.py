"""Signed methods on exported modules are those of torch, captum and lxt, and of published formulas.

Captum and lxt are compared with where they are installed. The formulas of LRP (Bach et al. 2015,
arXiv 2402.05602) are written as gradients of the same network with its constants detached.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import backtrace_onnx as bt

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

EXPORTERS = ("dynamo", "legacy")
TOKENS, SIZE = 5, 8


def exactly(y: Any, factor: Any) -> Any:
    """y, whose gradient is multiplied by a factor."""
    return y.detach() + (y - y.detach()) * factor.detach()


class Rules:
    """What a method makes of the parts of a network; here the gradient: what they are."""

    def linear(self, layer: Any, x: Any) -> Any:
        return layer(x)

    def function(self, f: Callable[[Any], Any], x: Any) -> Any:
        return f(x)

    def product(self, a: Any, b: Any) -> Any:
        return a @ b

    def softmax(self, x: Any) -> Any:
        return x.softmax(-1)

    def norm(self, layer: Any, x: Any) -> Any:
        return layer(x)


class Lrp(Rules):
    """LRP-epsilon, relative to the units' root mean square; with epsilon 0 AttnLRP or CP-LRP."""

    def __init__(self, epsilon: float, *, held: bool = False) -> None:
        self._epsilon, self._held = epsilon, held

    def linear(self, layer: Any, x: Any) -> Any:
        t = layer(x)
        rms = t.square().flatten(1).mean(1).sqrt().reshape(-1, *[1] * (t.ndim - 1))
        return exactly(t, t.abs() / (t.abs() + self._epsilon * rms))

    def function(self, f: Callable[[Any], Any], x: Any) -> Any:
        return x * (f(x) / x).detach()

    def product(self, a: Any, b: Any) -> Any:
        return (a @ b.detach() + a.detach() @ b) / 2

    def softmax(self, x: Any) -> Any:
        return x.softmax(-1).detach() if self._held else x.softmax(-1)

    def norm(self, layer: Any, x: Any) -> Any:
        centre = x - x.mean(-1, keepdim=True)
        deviation = (centre.square().mean(-1, keepdim=True) + layer.eps).sqrt()
        return centre / deviation.detach() * layer.weight + layer.bias


class Convolutional(nn.Module):
    """Two convolutions, a pool, a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 3, padding=1)
        self.hidden, self.head = nn.Linear(12, 6), nn.Linear(6, 3)
        self.rules = Rules()

    def forward(self, x: Any) -> Any:
        go = self.rules
        h = go.function(torch.relu, go.linear(self.conv1, x))
        h = F.max_pool2d(go.function(torch.relu, go.linear(self.conv2, h)), 2)
        h = go.function(torch.tanh, go.linear(self.hidden, h.flatten(1)))
        return self.head(h)  # the last layer has no stabiliser


def split(x: Any) -> Any:
    """x[samples, tokens, features] by its two heads."""
    return x.reshape(-1, TOKENS, 2, SIZE // 2).transpose(1, 2)


class Transformer(nn.Module):
    """One block of two heads, then the mean over the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(SIZE, SIZE) for _ in range(4))
        self.up, self.down, self.head = (nn.Linear(SIZE, n) for n in (SIZE, SIZE, 3))
        self.norm1, self.norm2 = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        for norm in (self.norm1, self.norm2):
            nn.init.normal_(norm.weight, 1, 0.2)
            nn.init.normal_(norm.bias, 0, 0.2)
        self.rules = Rules()

    def forward(self, x: Any) -> Any:
        go = self.rules
        h = go.norm(self.norm1, x)
        q, k, v = (split(go.linear(layer, h)) for layer in self.qkv)
        a = go.softmax(go.product(q, k.transpose(-1, -2)) * 0.5)
        x = x + go.linear(self.o, go.product(a, v).transpose(1, 2).reshape(-1, TOKENS, SIZE))
        h = go.function(F.gelu, go.linear(self.up, go.norm(self.norm2, x)))
        x = x + go.linear(self.down, h)
        return self.head(x.mean(1))

    @property
    def qkv(self) -> tuple[Any, ...]:
        return self.q, self.k, self.v


NETWORKS = {
    "convolutional": (Convolutional, (2, 2, 6, 6)),
    "transformer": (Transformer, (2, TOKENS, SIZE)),
}


def made(name: str) -> tuple[Any, Any]:
    """A network and samples for it."""
    torch.manual_seed(3)
    network, shape = NETWORKS[name]
    return network().eval(), torch.randn(*shape)


def by_torch(net: Any, x: Any, rules: Rules) -> Any:
    """The gradient of class 1, under rules."""
    net.rules = rules
    inputs = x.clone().requires_grad_(True)
    net(inputs)[:, 1].sum().backward()
    net.rules = Rules()
    return inputs.grad


def check(found: Any, wanted: Any) -> None:
    """Alike in direction and in sum, sample by sample."""
    for ours, theirs in zip(np.asarray(found), wanted.detach().numpy(), strict=True):
        a, b = ours.ravel().astype(np.float64), theirs.ravel().astype(np.float64)
        assert a @ b / np.sqrt((a @ a) * (b @ b)) > 0.999
        assert abs(a.sum() - b.sum()) <= 0.01 * np.abs(b).sum()


METHODS = {
    "gradient": Rules(),
    "lrp(0)": Lrp(0),
    "lrp": Lrp(0.1),
    "lrp(0.25)": Lrp(0.25),
}
ATTENTION = {
    "gradient": Rules(),
    "attnlrp": Lrp(0),
    "cp-lrp": Lrp(0, held=True),
}


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_published_formulas(name: str, exporter: Any) -> None:
    net, x = made(name)
    explainer = bt.Explainer.from_torch(net, x, exporter=exporter)
    for mode, rules in (METHODS if name == "convolutional" else ATTENTION).items():
        wanted = by_torch(net, x, rules)
        wanted = wanted if mode == "gradient" else wanted * x
        for engine in ("numba", "onnxruntime"):
            explainer.engine = engine  # type: ignore[assignment]
            found = explainer.explain(x.numpy(), target=1, mode=mode)
            check(next(iter(found.relevance.values())), wanted)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_captum(name: str) -> None:
    attr = pytest.importorskip("captum.attr")
    net, x = made(name)
    explainer, asked = bt.Explainer.from_torch(net, x), x.clone().requires_grad_(True)
    others = {
        "gradient": lambda: attr.Saliency(net).attribute(asked, target=1, abs=False),
        "gradient_x_input": lambda: attr.InputXGradient(net).attribute(asked, target=1),
    }
    for mode, other in others.items():
        found = explainer.explain(x.numpy(), target=1, mode=mode)
        check(next(iter(found.relevance.values())), other().detach())


class Reader(nn.Module):
    """Rows of tokens and of places, a block of attention, the mean over the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, SIZE), nn.Embedding(TOKENS, SIZE)
        self.block = Transformer()

    def forward(self, ids: Any) -> Any:
        places = self.places(torch.arange(ids.shape[1]))
        return self.block(self.tokens(ids) + places)


IDS, PAD = torch.tensor([[1, 2, 3, 4, 5], [10, 9, 0, 0, 7]]), torch.zeros(2, TOKENS).long()


@pytest.mark.parametrize("engine", ["numba", "onnxruntime", "file"])
def test_integrated_gradients_of_tokens_are_captums(engine: Any, tmp_path: Path) -> None:
    attr = pytest.importorskip("captum.attr")
    torch.manual_seed(4)
    net = Reader().eval()
    explainer = bt.Explainer.from_torch(net, IDS)
    wanted = attr.LayerIntegratedGradients(net, net.tokens).attribute(
        IDS, PAD, target=1, n_steps=20, method="gausslegendre"
    )
    (name,), asked = explainer.graph.inputs, {"mode": "integrated_gradients(steps=20)"}
    if engine == "file":
        explainer.compile(tmp_path / "f.onnx", baseline={name: "required"}, target=1, **asked)
        session = ort.InferenceSession(tmp_path / "f.onnx")
        fed = {name: IDS.numpy(), f"baseline/{name}": PAD.numpy()}
        found = session.run([f"relevance/{name}"], fed)[0]
    else:
        explainer.engine = engine
        made = explainer.explain(IDS.numpy(), target=1, baseline=PAD.numpy(), **asked)
        found = made.relevance[name]
        logits = net(IDS) - net(PAD)
        np.testing.assert_allclose(found.sum(1), logits[:, 1].detach(), rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(found, wanted.sum(-1).detach(), rtol=1e-3, atol=1e-5)


def test_tensors_inside_have_captums_conductance() -> None:
    attr = pytest.importorskip("captum.attr")
    net, x = made("convolutional")
    explainer = bt.Explainer.from_torch(net, x)
    convolved = [n.outputs[0] for n in explainer.graph.nodes if n.op_type == "Conv"]
    found = explainer.explain(
        x.numpy(), mode="integrated_gradients(steps=200)", target=1, keep=convolved
    )
    for tensor, layer in zip(convolved, (net.conv1, net.conv2), strict=True):
        wanted = attr.LayerConductance(net, layer).attribute(
            x, torch.zeros_like(x), target=1, n_steps=2000, method="riemann_middle"
        )
        check(found.relevance[tensor], wanted)
        whole = np.asarray(found.relevance[tensor]).reshape(2, -1).sum(1)
        np.testing.assert_allclose(whole, found.ledger.total().start[0], rtol=0.01)


def test_lxt() -> None:
    """AttnLRP by the rules of its authors' library, which carry relevance and not slopes."""
    lxt = pytest.importorskip("lxt.explicit.functional")
    net, x = made("transformer")

    class Passes(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return F.gelu(x)

        @staticmethod
        def backward(ctx: Any, r: Any) -> Any:
            return r

    def linear(layer: Any, x: Any) -> Any:
        return lxt.linear_epsilon(x, layer.weight, layer.bias, 1e-9)

    inputs = x.clone().requires_grad_(True)
    h = lxt.layer_norm(inputs, net.norm1.weight, net.norm1.bias, net.norm1.eps)
    q, k, v = (split(linear(layer, h)) for layer in net.qkv)
    scores = lxt.mul2(lxt.matmul(q, k.transpose(-1, -2)), torch.tensor(0.5))
    mixed = lxt.matmul(lxt.softmax(scores, -1), v).transpose(1, 2).reshape(-1, TOKENS, SIZE)
    middle = lxt.add2(inputs, linear(net.o, mixed))
    h = Passes.apply(linear(net.up, lxt.layer_norm(middle, net.norm2.weight, net.norm2.bias, 1e-5)))
    y = linear(net.head, lxt.mean(lxt.add2(middle, linear(net.down, h)), 1, False))
    y[:, 1].backward(y[:, 1].detach())
    found = bt.Explainer.from_torch(net, x).explain(x.numpy(), target=1, mode="attnlrp")
    check(next(iter(found.relevance.values())), inputs.grad)
