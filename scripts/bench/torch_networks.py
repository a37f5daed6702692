"""Networks in torch that peers explain, with random weights; exported, they are explained here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """A residual block of ResNet-50 (He et al. 2016), its stride in the middle."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, width * 4, 1, bias=False), nn.BatchNorm2d(width * 4)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.way: nn.Module = nn.Identity()
        if stride > 1 or inside != width * 4:
            conv = nn.Conv2d(inside, width * 4, 1, stride, bias=False)
            self.way = nn.Sequential(conv, nn.BatchNorm2d(width * 4))

    def forward(self, x: Tensor) -> Tensor:
        """x[samples, channels, height, width]."""
        h = self.relu1(self.bn1(self.conv1(x)))
        h = self.relu2(self.bn2(self.conv2(h)))
        made: Tensor = self.relu3(self.bn3(self.conv3(h)) + self.way(x))
        return made


def resnet50() -> nn.Module:
    """ResNet-50."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    ]  # fmt: skip
    inside = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(inside, width, stride if i == 0 else 1))
            inside = width * 4
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))


class Rules:
    """What a method makes of the parts of a transformer; here what they are."""

    def function(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """A function of every entry."""
        return f(x)

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """A product of two tensors that depend on the input."""
        return a @ b

    def norm(self, layer: nn.LayerNorm, x: Tensor) -> Tensor:
        """A normalisation."""
        made: Tensor = layer(x)
        return made


class Block(nn.Module):
    """Attention and two dense layers, each behind a normalisation, around which x passes."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.rules = heads, Rules()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down, self.gelu = (
            nn.Linear(width, 4 * width), nn.Linear(4 * width, width), nn.GELU()
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """x[samples, tokens, width]."""
        go, (samples, tokens, width) = self.rules, x.shape
        h = go.norm(self.norm1, x)
        apart = (samples, tokens, self.heads, width // self.heads)
        q, k, v = (layer(h).reshape(apart).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = go.product(q, k.transpose(-1, -2)) * (width // self.heads) ** -0.5
        mixed = go.product(scores.softmax(-1), v).transpose(1, 2).reshape(x.shape)
        x = x + self.out(mixed)
        h = self.up(go.norm(self.norm2, x))
        made: Tensor = x + self.down(go.function(self.gelu, h))
        return made


class Encoder(nn.Module):
    """Blocks over x[samples, tokens, width], or over the patches of pictures; then the mean."""

    def __init__(self, width: int, heads: int, depth: int, *, patch: int = 0) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch) if patch else None
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head, self.rules = nn.LayerNorm(width), nn.Linear(width, 1000), Rules()

    def forward(self, x: Tensor) -> Tensor:
        """The scores of 1000 classes."""
        if self.patches is not None:
            x = self.patches(x).flatten(2).transpose(1, 2)
        made: Tensor = self.head(self.rules.norm(self.norm, self.blocks(x)).mean(1))
        return made

    def follow(self, rules: Rules) -> None:
        """Take these rules everywhere."""
        for module in self.modules():
            if isinstance(module, Block | Encoder):
                module.rules = rules


class TorchNetwork(NamedTuple):
    """How a module is made, and the shape of what it is run on."""

    make: Callable[[], Any]
    shape: tuple[int, ...]


TORCH_NETWORKS = {
    "resnet50": TorchNetwork(resnet50, (1, 3, 224, 224)),
    "vit-small": TorchNetwork(lambda: Encoder(384, 6, 12, patch=16), (1, 3, 224, 224)),
    "bert-base, 4 layers": TorchNetwork(lambda: Encoder(768, 12, 4), (1, 128, 768)),
}


def made(name: str) -> tuple[Any, Tensor]:
    """A module in the state in which it answers, and a random input."""
    torch.manual_seed(0)
    module = TORCH_NETWORKS[name].make().eval()
    return module, torch.randn(*TORCH_NETWORKS[name].shape)
