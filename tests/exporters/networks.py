"""The same networks in torch and Keras, with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import torch
from keras import layers
from torch import nn

Array = Any


@dataclass(frozen=True)
class Twins:
    """One network in both frameworks.

    Attributes:
        x: inputs as torch takes them.
        to_keras: from torch's layout to Keras'; it is its own inverse's counterpart `back`.
    """

    torch: Any
    keras: Any
    x: Array
    to_keras: Callable[[Array], Array] = lambda x: x
    back: Callable[[Array], Array] = lambda x: x


def mlp() -> Twins:
    """Linear, GELU, Linear, tanh, Linear."""
    parts = [nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3)]
    one = _settled(nn.Sequential(*parts))
    other = keras.Sequential(
        [
            layers.Input((6,), name="input"),
            layers.Dense(8, activation="gelu"),
            layers.Dense(5, activation="tanh"),
            layers.Dense(3),
        ]
    )
    for linear, dense in zip(_of(one, nn.Linear), other.layers, strict=True):
        _copy_linear(linear, dense)
    return Twins(one, other, _normal(3, 6))


class Convolutional(nn.Module):
    """Two convolutions, one of them normalised, strided and padded; pools; a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2)
        self.head = nn.Linear(6, 3)

    def forward(self, input: Any) -> Any:
        x = nn.functional.max_pool2d(torch.relu(self.bn(self.conv1(input))), 2)
        x = nn.functional.silu(self.conv2(x))
        return self.head(x.mean((2, 3)))


def cnn() -> Twins:
    """NCHW in torch, NHWC in Keras."""
    one = Convolutional()
    other = keras.Sequential(
        [
            layers.Input((10, 10, 3), name="input"),
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(epsilon=1e-5),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(6, 3, strides=2, activation="silu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    _settled(one)
    with torch.no_grad():
        one.bn.running_mean.copy_(torch.randn(4) / 4)
        one.bn.running_var.copy_(torch.rand(4) + 0.5)
    first, normalisation, _, _, second, _, head = other.layers
    for convolution, layer in ((one.conv1, first), (one.conv2, second)):
        kernel = convolution.weight.detach().numpy().transpose(2, 3, 1, 0)
        layer.set_weights([kernel, convolution.bias.detach().numpy()])
    bn = one.bn
    normalisation.set_weights(
        [p.detach().numpy() for p in (bn.weight, bn.bias, bn.running_mean, bn.running_var)]
    )
    _copy_linear(one.head, head)
    return Twins(
        one,
        other,
        _normal(2, 3, 10, 10),
        lambda x: x.transpose(0, 2, 3, 1),
        lambda x: x.transpose(0, 3, 1, 2),
    )


class Recurrent(nn.Module):
    """An LSTM's last step, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, input: Any) -> Any:
        return self.head(self.lstm(input)[0][:, -1])


def lstm() -> Twins:
    """One LSTM layer; Keras has one bias where torch has two, of which one is 0 here."""
    one = _settled(Recurrent())
    other = keras.Sequential([layers.Input((6, 4), name="input"), layers.LSTM(5), layers.Dense(3)])
    with torch.no_grad():
        one.lstm.bias_hh_l0.zero_()
    cell = one.lstm
    weights = [cell.weight_ih_l0.T, cell.weight_hh_l0.T, cell.bias_ih_l0]
    other.layers[0].set_weights([w.detach().numpy() for w in weights])
    _copy_linear(one.head, other.layers[1])
    return Twins(one, other, _normal(2, 6, 4))


class Block(nn.Module):
    """A transformer block: attention and feed-forward with residuals and normalisation before."""

    def __init__(self, d: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.up, self.down, self.head = nn.Linear(d, 16), nn.Linear(16, d), nn.Linear(d, 3)

    def forward(self, input: Any) -> Any:
        x = self.norm1(input)
        n, t, d = x.shape
        q, k, v = (
            part(x).reshape(n, t, self.heads, d // self.heads).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        weights = torch.softmax(q @ k.transpose(2, 3) / (d // self.heads) ** 0.5, -1)
        attended = (weights @ v).transpose(1, 2).reshape(n, t, d)
        x = input + self.o(attended)
        x = x + self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return self.head(x[:, 0])


def block() -> Twins:
    """The block with Keras' MultiHeadAttention."""
    one = _settled(Block())
    inputs = keras.Input((5, 8), name="input")
    parts = {
        "norm1": layers.LayerNormalization(epsilon=1e-5),
        "attention": layers.MultiHeadAttention(2, 4, flash_attention=False),
        "norm2": layers.LayerNormalization(epsilon=1e-5),
        "up": layers.Dense(16, activation="gelu"),
        "down": layers.Dense(8),
        "head": layers.Dense(3),
    }
    x = parts["norm1"](inputs)
    x = inputs + parts["attention"](x, x)
    x = x + parts["down"](parts["up"](parts["norm2"](x)))
    other = keras.Model(inputs, parts["head"](x[:, 0]))
    for name in ("norm1", "norm2"):
        norm = getattr(one, name)
        parts[name].set_weights([norm.weight.detach().numpy(), norm.bias.detach().numpy()])
    weights = []
    for linear in (one.q, one.k, one.v):
        weights += [
            linear.weight.detach().numpy().T.reshape(8, 2, 4),
            linear.bias.detach().numpy().reshape(2, 4),
        ]
    weights += [one.o.weight.detach().numpy().T.reshape(2, 4, 8), one.o.bias.detach().numpy()]
    parts["attention"].set_weights(weights)
    for name in ("up", "down", "head"):
        _copy_linear(getattr(one, name), parts[name])
    return Twins(one, other, _normal(2, 5, 8))


def _copy_linear(linear: Any, dense: Any) -> None:
    dense.set_weights([linear.weight.detach().numpy().T, linear.bias.detach().numpy()])


def _of(module: Any, kind: type) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, kind)]


def _settled(module: Any) -> Any:
    """Weights from a seed, biases that matter, in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            scale = 0.2 if "bias" in name else 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return module.eval()


def _normal(*shape: int) -> Array:
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)
