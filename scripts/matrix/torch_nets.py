"""Small torch networks of the families that people export, each with inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Net:
    """How a network is built and what it reads, in order."""

    family: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], dict[str, Tensor]] = field(
        default=lambda: {"image": torch.randn(2, 3, 32, 32)}
    )


class Residual(nn.Module):
    """x + f(x), with a projection where the shapes differ."""

    def __init__(self, inner: nn.Module, skip: nn.Module | None = None, *, relu: bool = True):
        super().__init__()
        self.inner, self.skip, self.relu = inner, skip or nn.Identity(), relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x) + self.skip(x)
        return F.relu(y) if self.relu else y


class Branches(nn.Module):
    """Several readings of one input, side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Squeeze(nn.Module):
    """Channels weighted by their means (squeeze and excitation)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.inner(x)


class Shuffle(nn.Module):
    """Channels of two groups, interleaved."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class UNet(nn.Module):
    """Down, up, and what was seen before beside it."""

    def __init__(self, *, transposed: bool = True) -> None:
        super().__init__()
        self.down, self.deep = conv(3, 8), nn.Sequential(nn.MaxPool2d(2), conv(8, 16))
        up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.up = nn.ConvTranspose2d(16, 8, 2, 2) if transposed else nn.Sequential(up, conv(16, 8))
        self.head = nn.Sequential(conv(16, 8), nn.Conv2d(8, 1, 1), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:
        x = self.down(image)
        return self.head(torch.cat([x, self.up(self.deep(x))], 1))


class Dilated(nn.Module):
    """Dilated convolutions and a pooled context (DeepLab)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = conv(3, 8, stride=2)
        self.rates = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=d, dilation=d) for d in (1, 2, 4))
        self.context = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1))
        self.head = nn.Conv2d(32, 5, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.body(image)
        wide = F.interpolate(self.context(x), size=x.shape[-2:], mode="nearest")
        y = self.head(torch.cat([*(rate(x) for rate in self.rates), wide], 1))
        return F.interpolate(y, size=image.shape[-2:], mode="bilinear", align_corners=False)


class Boxes(nn.Module):
    """An anchor-free detector of two scales: [n, boxes, 4 + classes], decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 8, stride=4), conv(8, 8, stride=2)
        self.head = nn.Conv2d(8, 4 + 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        found = []
        for level, stride in ((x, 4), (self.second(x), 8)):
            y = self.head(level).flatten(2).transpose(1, 2)
            size, scores = y[..., :4].exp() * stride, y[..., 4:].sigmoid()
            found.append(torch.cat([size, scores], -1))
        return torch.cat(found, 1)


class Yolo(Boxes):
    """The same as YOLOv8 writes it: [n, 4 + classes, boxes]."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).transpose(1, 2)


class TwoHeads(Boxes):
    """Boxes and scores apart, as an SSD has them."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        y = super().forward(image)
        return y[..., 4:].softmax(-1), y[..., :4]


class Speech(nn.Module):
    """Convolutions, a recurrent layer, log-probabilities of letters by step (CTC)."""

    def __init__(self, *, steps_first: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(8, 16, 3, 2, 1), nn.ReLU())
        self.cells = nn.LSTM(16, 12, bidirectional=True, batch_first=True)
        self.head, self.steps_first = nn.Linear(24, 6), steps_first

    def forward(self, sound: Tensor) -> Tensor:
        y = self.head(self.cells(self.body(sound).transpose(1, 2))[0]).log_softmax(-1)
        return y.transpose(0, 1) if self.steps_first else y


class Letters(nn.Module):
    """A word's picture to letters by column (CRNN)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(1, 8, stride=2), conv(8, 8), nn.MaxPool2d((4, 1)))
        self.cells = nn.GRU(16, 12, bidirectional=True)
        self.head = nn.Linear(24, 7)

    def forward(self, image: Tensor) -> Tensor:
        x = self.body(image)
        columns = x.flatten(1, 2).permute(2, 0, 1)
        return self.head(self.cells(columns)[0])


class Sequence(nn.Module):
    """Ids, a recurrent layer and a classifier."""

    def __init__(self, kind: type[nn.RNNBase], *, last: bool = True, **options: object) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 12)
        self.cells = kind(12, 16, batch_first=True, **options)  # type: ignore[arg-type]
        self.head, self.last = nn.Linear(32 if options.get("bidirectional") else 16, 3), last

    def forward(self, ids: Tensor) -> Tensor:
        y = self.cells(self.embedding(ids))[0]
        return self.head(y[:, -1] if self.last else y.mean(1))


class Attending(nn.Module):
    """Ids and torch's own encoder or attention."""

    def __init__(self, *, masked: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, norm_first=masked)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head, self.masked = nn.Linear(16, 3), masked

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        hidden = self.body(x, src_key_padding_mask=ids == 0) if self.masked else self.body(x)
        return self.head(hidden.mean(1))


class Taste(nn.Module):
    """Users and items by id, wide and deep; ids go through arithmetic where asked."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(20, 8), nn.Embedding(30, 8)
        self.bias = nn.Embedding(50, 1)
        self.deep = nn.Sequential(nn.Linear(19, 12), nn.ReLU(), nn.Linear(12, 1))
        self.bag, self.how = nn.EmbeddingBag(30, 8, mode="mean"), how

    def forward(self, user: Tensor, item: Tensor, dense: Tensor) -> Tensor:
        if self.how == "hashed":
            user, item = user % 20, torch.clamp(item, 0, 29)
        if self.how == "wrapped":
            user, item = torch.where(user < 0, user + 20, user), item.abs()
        u, i = self.users(user), self.items(item)
        if self.how == "factors":
            bias = self.bias(user) + self.bias(item + 20)
            return ((u * i).sum(-1, keepdim=True) + bias).sigmoid()
        if self.how == "bag":
            i = self.bag(item[:, None].expand(-1, 2))
        return self.deep(torch.cat([u, i, dense], -1)).sigmoid()


class Siamese(nn.Module):
    """How alike two pictures are."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(3, 8, stride=4), nn.Flatten(), nn.Linear(512, 8))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return F.cosine_similarity(self.body(left), self.body(right)).unsqueeze(-1)


class Graph(nn.Module):
    """Two rounds of messages over an adjacency matrix, then a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        degree = edges.sum(-1, keepdim=True).clamp(min=1)
        x = torch.relu(self.first(edges @ nodes / degree))
        return self.head(torch.relu(self.second(edges @ x / degree)).mean(1))


class Autoencoder(nn.Module):
    """A variational autoencoder without its noise."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(10, 6), nn.ELU(), nn.Linear(6, 4))
        self.outer = nn.Sequential(nn.Linear(2, 6), nn.ELU(), nn.Linear(6, 10))

    def forward(self, x: Tensor) -> Tensor:
        mean, scale = self.inner(x).chunk(2, -1)
        return self.outer(mean + 0 * scale.exp())


def conv(inside: int, outside: int, *, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


def classifier(*layers: nn.Module, channels: int = 8) -> nn.Sequential:
    """Layers, a mean over the picture, and five logits."""
    mean = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, mean, nn.Flatten(), nn.Linear(channels, 5))


def inverted(activation: nn.Module, *, squeeze: bool = False) -> nn.Module:
    """MobileNet's and EfficientNet's block: wide, by channel, narrow."""
    wide = [nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16), activation]
    deep = [nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16), activation]
    inner = [*wide, *deep, *([Squeeze(16)] if squeeze else []), nn.Conv2d(16, 8, 1)]
    return Residual(nn.Sequential(*inner, nn.BatchNorm2d(8)), relu=False)


def table(build: Callable[[], nn.Module], family: str = "tables") -> Net:
    """A network that reads ten numbers a row."""
    return Net(family, build, lambda: {"features": torch.randn(3, 10)})


def words(build: Callable[[], nn.Module], family: str = "recurrent") -> Net:
    """A network that reads ids."""
    return Net(family, build, lambda: {"ids": torch.randint(1, 50, (2, 9))})
