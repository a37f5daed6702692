"""Rules of layers are zennit's, DeepLIFT is captum's and shap's, expected gradients are shap's.

Compared with where they are installed, on one small network of convolutions.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import backtrace_onnx as bt

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

TINY, TARGET = 1e-9, 1


def network(pool: Any) -> Any:
    torch.manual_seed(0)
    layers = (
        *(nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 3, stride=2), nn.ReLU()),
        *(pool(2), nn.Flatten(), nn.Linear(54, 8), nn.ReLU(), nn.Linear(8, 3)),
    )
    return nn.Sequential(*layers).eval()


def pictures(count: int = 3, seed: int = 1) -> Any:
    return torch.randn(count, 2, 14, 14, generator=torch.Generator().manual_seed(seed))


def explained(net: Any, folder: Path, **how: Any) -> Any:
    file = folder / "net.onnx"
    if not file.exists():
        names: Any = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
        torch.onnx.export(net, (pictures(),), file, dynamo=False, **names)
    return bt.explain(file, pictures().numpy(), target=TARGET, **how).relevance["x"]


def alike(a: Any, b: Any, cosine: float = 0.999) -> None:
    """Each sample's map has the other's direction, and its sum within 1 %."""
    for one, other in zip(np.asarray(a, float), np.asarray(b, float), strict=True):
        one, other = one.ravel(), other.ravel()
        assert one @ other > cosine * np.linalg.norm(one) * np.linalg.norm(other)
        np.testing.assert_allclose(one.sum(), other.sum(), rtol=0.01, atol=1e-3)


def _rules() -> Any:
    """zennit's, which asks torchvision for two classes as it is imported."""
    names = ("torchvision", "torchvision.models", "torchvision.models.resnet")
    try:
        import torchvision  # noqa: F401
    except Exception:
        parent, models, resnet = map(ModuleType, names)
        for name in ("Bottleneck", "BasicBlock"):
            setattr(resnet, name, type(name, (), {}))
        models.resnet, parent.models = resnet, models  # type: ignore[attr-defined]
        sys.modules |= dict(zip(names, (parent, models, resnet), strict=True))
    return pytest.importorskip("zennit.rules")


RULES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "lrp(0)": ("Epsilon", (TINY,)),
    "epsilon(absolute=0.1)": ("Epsilon", (0.1,)),
    "lrp, convolution: gamma(0.25)": ("Gamma", (0.25, TINY)),
    "lrp, convolution: zplus": ("ZPlus", (TINY,)),
    "lrp, convolution: alphabeta(2, 1)": ("AlphaBeta", (2, 1, TINY)),
    "lrp, first: flat": ("Flat", (TINY,)),
    "lrp, first: box(-3, 3)": ("ZBox", (-3.0, 3.0, TINY)),
    "lrp, first: wsquare": ("WSquare", (TINY,)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", RULES)
def test_zennit(mode: str, tmp_path: Path) -> None:
    rules = _rules()
    composites = pytest.importorskip("zennit.composites")
    attribution = pytest.importorskip("zennit.attribution")
    net, (kind, numbers) = network(nn.MaxPool2d), RULES[mode]
    ruled = {"convolution": ["0", "2"], "first": ["0"]}.get(mode.partition(": ")[0][5:], [])
    named = [n for n, layer in net.named_children() if list(layer.parameters())]
    plain = [n for n in named if n not in ruled]
    free = {"zero_params": "bias"} if kind == "WSquare" else {}  # it counts b^2 among weights
    own = getattr(rules, kind)(*numbers, **free)
    rest = own if not ruled else rules.Epsilon(epsilon=TINY)
    composite = composites.NameMapComposite([(ruled, own), (plain, rest)])
    x = pictures()
    with attribution.Gradient(net, composite) as walk:
        start = torch.zeros(len(x), 3)
        start[:, TARGET] = net(x)[:, TARGET].detach()
        _, wanted = walk(x, start)
    found = explained(net, tmp_path, mode=mode)
    alike(found, wanted.numpy())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", ["captum", "DeepExplainer", "GradientExplainer"])
def test_what_is_compared_with_baselines(peer: str, tmp_path: Path) -> None:
    """Of means; through maxima captum's and shap's differ, and need not add up."""
    net, x, rows = network(nn.AvgPool2d), pictures(), pictures(seed=2)
    if peer == "captum":
        attr = pytest.importorskip("captum.attr")
        wanted = attr.DeepLift(net).attribute(x, rows, target=TARGET).detach()
        alike(explained(net, tmp_path, mode="deeplift", baseline=rows.numpy()), wanted)
        return
    shap = pytest.importorskip("shap")
    how: Any = {"mode": "deeplift", "baseline": "rows"}
    if peer == "DeepExplainer":
        wanted = shap.DeepExplainer(net, rows).shap_values(x, check_additivity=False)
    else:  # both draw
        how = {"mode": "expected_gradients", "samples": 1000}
        wanted = shap.GradientExplainer(net, rows).shap_values(x, nsamples=2000, rseed=0)
    found = explained(net, tmp_path, background=rows.numpy(), **how)
    if peer == "DeepExplainer":
        alike(found, np.asarray(wanted)[..., TARGET])
        return
    a, b = found.ravel(), np.asarray(wanted)[..., TARGET].ravel()
    assert a @ b > 0.99 * np.linalg.norm(a) * np.linalg.norm(b)


@pytest.mark.filterwarnings("ignore")
def test_deeplift_adds_up_through_maxima_where_captums_does_not(tmp_path: Path) -> None:
    attr = pytest.importorskip("captum.attr")
    net, x, rows = network(nn.MaxPool2d), pictures(), pictures(seed=2)
    difference = (net(x) - net(rows))[:, TARGET].detach().numpy()
    found = explained(net, tmp_path, mode="deeplift", baseline=rows.numpy())
    np.testing.assert_allclose(found.reshape(3, -1).sum(1), difference, rtol=1e-4, atol=1e-6)
    other = attr.DeepLift(net).attribute(x, rows, target=TARGET).detach().numpy()
    assert np.abs(other.reshape(3, -1).sum(1) - difference).max() > 0.01 * np.abs(difference).max()
