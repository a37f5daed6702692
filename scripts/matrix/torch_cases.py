"""Torch networks by both of torch's exporters, as they are and through from_torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from cases import Case
from exporting import settle, write
from torch import Tensor, nn
from torch_nets import (
    Attending,
    Autoencoder,
    Boxes,
    Branches,
    Dilated,
    Graph,
    Letters,
    Net,
    Residual,
    Sequence,
    Shuffle,
    Siamese,
    Speech,
    Squeeze,
    Taste,
    TwoHeads,
    UNet,
    Yolo,
    classifier,
    conv,
    inverted,
    table,
    words,
)

from backtrace_onnx.exporters import from_torch


def _pictures(*layers: Callable[[], nn.Module], channels: int = 8) -> Net:
    return Net(
        "convolutional", lambda: classifier(*(layer() for layer in layers), channels=channels)
    )


def _first() -> nn.Module:
    return conv(3, 8, stride=2)


def _taste(how: str) -> Net:
    return Net(
        "recommenders",
        lambda: Taste(how),
        lambda: {
            "user": torch.tensor([1, -3]) if how == "wrapped" else torch.tensor([1, 17]),
            "item": torch.tensor([4, 25]),
            "dense": torch.randn(2, 3),
        },
    )


def _sounds() -> dict[str, Tensor]:
    return {"sound": torch.randn(2, 8, 20)}


def _activation(name: str) -> Net:
    kind = getattr(nn, name)
    return table(
        lambda: nn.Sequential(nn.Linear(10, 8), kind(), nn.Linear(8, 8), kind(), nn.Linear(8, 3)),
        "activations",
    )


def _norm(make: Callable[[], nn.Module]) -> Net:
    return _pictures(lambda: nn.Conv2d(3, 8, 3, 2, 1), make, nn.ReLU, lambda: conv(8, 8))


ACTIVATIONS = (
    "GELU",
    "SiLU",
    "Mish",
    "ELU",
    "SELU",
    "CELU",
    "Softplus",
    "Softsign",
    "LeakyReLU",
    "Hardtanh",
    "Hardswish",
    "Tanhshrink",
    "Softshrink",
    "LogSigmoid",
)
NETS: dict[str, Net] = {
    "LeNet": Net(
        "convolutional",
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 8, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(200, 20),
            nn.Tanh(),
            nn.Linear(20, 5),
        ),
    ),
    "VGG": _pictures(_first, lambda: conv(8, 8), lambda: nn.MaxPool2d(2), lambda: conv(8, 8)),
    "ResNet": _pictures(
        _first, lambda: Residual(nn.Sequential(conv(8, 8), nn.Conv2d(8, 8, 3, 1, 1)))
    ),
    "ResNet with a projection": _pictures(
        _first,
        lambda: Residual(
            nn.Sequential(conv(8, 12, stride=2), nn.Conv2d(12, 12, 1)), nn.Conv2d(8, 12, 1, 2)
        ),
        channels=12,
    ),
    "ResNeXt": _pictures(
        _first, lambda: Residual(nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=4), nn.ReLU()))
    ),
    "DenseNet": _pictures(_first, lambda: Branches(nn.Identity(), conv(8, 4)), lambda: conv(12, 8)),
    "Inception": _pictures(
        _first,
        lambda: Branches(nn.Conv2d(8, 4, 1), conv(8, 4), nn.AvgPool2d(3, 1, 1)),
        channels=16,
    ),
    "SqueezeNet": _pictures(
        _first, lambda: nn.Conv2d(8, 4, 1), lambda: Branches(nn.Conv2d(4, 4, 1), conv(4, 4))
    ),
    "MobileNet v2": _pictures(_first, lambda: inverted(nn.ReLU6())),
    "MobileNet v3": _pictures(_first, lambda: inverted(nn.Hardswish(), squeeze=True)),
    "EfficientNet": _pictures(_first, lambda: inverted(nn.SiLU(), squeeze=True)),
    "ShuffleNet": _pictures(
        _first, lambda: nn.Conv2d(8, 8, 1, groups=2), Shuffle, lambda: nn.Conv2d(8, 8, 1, groups=2)
    ),
    "SENet": _pictures(_first, lambda: Residual(nn.Sequential(conv(8, 8), Squeeze(8)))),
    "ConvMixer": _pictures(
        lambda: nn.Conv2d(3, 8, 4, 4),
        nn.GELU,
        lambda: Residual(nn.Conv2d(8, 8, 5, 1, 2, groups=8), relu=False),
        lambda: nn.BatchNorm2d(8),
    ),
    "GroupNorm": _norm(lambda: nn.GroupNorm(2, 8)),
    "InstanceNorm": _norm(lambda: nn.InstanceNorm2d(8, affine=True)),
    "LocalResponseNorm": _norm(lambda: nn.LocalResponseNorm(3)),
    "LayerNorm": _norm(lambda: nn.LayerNorm([8, 16, 16])),
    "PReLU": _norm(lambda: nn.PReLU(8)),
    "Pools that round up": _pictures(
        _first, lambda: nn.MaxPool2d(3, 2, ceil_mode=True), lambda: nn.AvgPool2d(3, 2, 1)
    ),
    "Reflecting edges": _pictures(lambda: nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")),
    "Probabilities": Net(
        "convolutional", lambda: nn.Sequential(classifier(_first()), nn.Softmax(-1))
    ),
    "Log-probabilities": Net(
        "convolutional", lambda: nn.Sequential(classifier(_first()), nn.LogSoftmax(-1))
    ),
    "Several labels": Net(
        "convolutional", lambda: nn.Sequential(classifier(_first()), nn.Sigmoid())
    ),
    "Video": Net(
        "convolutional",
        lambda: nn.Sequential(
            nn.Conv3d(3, 4, 3, 2, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(4, 5),
        ),
        lambda: {"frames": torch.randn(2, 3, 8, 16, 16)},
    ),
    "Two pictures": Net(
        "convolutional",
        Siamese,
        lambda: {"left": torch.randn(2, 3, 32, 32), "right": torch.randn(2, 3, 32, 32)},
    ),
    "Super resolution": Net(
        "pictures out",
        lambda: nn.Sequential(conv(3, 8), nn.Conv2d(8, 12, 3, 1, 1), nn.PixelShuffle(2)),
        lambda: {"image": torch.randn(1, 3, 8, 8)},
    ),
    "U-Net": Net("segmenters", UNet),
    "U-Net, resized": Net("segmenters", lambda: UNet(transposed=False)),
    "DeepLab": Net("segmenters", Dilated),
    "Boxes": Net("detectors", Boxes),
    "YOLO": Net("detectors", Yolo),
    "SSD": Net("detectors", TwoHeads),
    "CTC, samples first": Net("speech", Speech, _sounds),
    "CTC, steps first": Net("speech", lambda: Speech(steps_first=True), _sounds),
    "CRNN": Net("speech", Letters, lambda: {"image": torch.randn(2, 1, 16, 24)}),
    "TCN": Net(
        "series",
        lambda: nn.Sequential(
            nn.Conv1d(4, 8, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv1d(8, 8, 3),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        ),
        lambda: {"series": torch.randn(2, 4, 20)},
    ),
    "LSTM": words(lambda: Sequence(nn.LSTM)),
    "LSTM, both ways": words(lambda: Sequence(nn.LSTM, bidirectional=True, num_layers=2)),
    "GRU": words(lambda: Sequence(nn.GRU)),
    "GRU, mean": words(lambda: Sequence(nn.GRU, last=False, bidirectional=True)),
    "RNN": words(lambda: Sequence(nn.RNN)),
    "TransformerEncoder": words(Attending, "attention"),
    "TransformerEncoder, padded": words(lambda: Attending(masked=True), "attention"),
    "Factors": _taste("factors"),
    "Wide and deep": _taste("deep"),
    "Bag of items": _taste("bag"),
    "Hashed ids": _taste("hashed"),
    "Wrapped ids": _taste("wrapped"),
    "Graph": Net(
        "graphs",
        Graph,
        lambda: {"nodes": torch.randn(2, 6, 4), "edges": (torch.rand(2, 6, 6) > 0.5).float()},
    ),
    "Perceptron": table(
        lambda: nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())
    ),
    "Regression": table(lambda: nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 1))),
    "BatchNorm": table(
        lambda: nn.Sequential(nn.BatchNorm1d(10), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))
    ),
    "Autoencoder": table(Autoencoder),
    **{name: _activation(name) for name in ACTIVATIONS},
}
PLAIN = ("LeNet", "ResNet", "MobileNet v3", "U-Net", "YOLO", "LSTM", "GRU", "Hashed ids", "CRNN")


def cases() -> Iterator[Case]:
    """Every network by both exporters; some by torch's own call, without our verification."""
    for name, net in NETS.items():
        for exporter in ("dynamo", "legacy"):
            yield Case(net.family, name, f"torch {exporter}", _maker(net, exporter))
    for name in PLAIN:
        for exporter, opset in (("dynamo", 18), ("dynamo", 23), ("legacy", 11), ("legacy", 17)):
            label = f"torch {exporter}, plain, opset {opset}"
            yield Case(NETS[name].family, name, label, _plain(NETS[name], exporter, opset))


def _made(net: Net) -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(0)
    network, inputs = net.build(), net.inputs()
    settle(network, inputs)
    return network, inputs


def _feeds(inputs: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: x.numpy() for name, x in inputs.items()}


def _maker(net: Net, exporter: str) -> Callable[[Path], dict[str, np.ndarray]]:
    def make(path: Path) -> dict[str, np.ndarray]:
        network, inputs = _made(net)
        given = tuple(inputs.values())
        from_torch(network, given, path, exporter=exporter, input_names=list(inputs))  # type: ignore[arg-type]
        return _feeds(inputs)

    return make


def _plain(net: Net, exporter: str, opset: int) -> Callable[[Path], dict[str, np.ndarray]]:
    def make(path: Path) -> dict[str, np.ndarray]:
        network, inputs = _made(net)
        write(network, inputs, path, dynamo=exporter == "dynamo", opset_version=opset)
        return _feeds(inputs)

    return make
