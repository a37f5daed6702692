"""zennit's composites on the two networks.

zennit asks torchvision for two classes when it is imported, only to know them again; where
torchvision is missing two empty ones stand for them. What is added past a block is told to zennit
by a canonizer, as its own canonizers for torchvision's networks do.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from image_models import Block
from shared import Array, Explain
from torch import nn

NAMES = ("EpsilonPlusFlat", "EpsilonGammaBox", "EpsilonAlpha2Beta1Flat")


def _with_torchvision() -> None:
    """Make `import zennit` possible without torchvision."""
    if "torchvision" in sys.modules:
        return
    parent, models, resnet = (
        ModuleType(n) for n in ("torchvision", "torchvision.models", "torchvision.models.resnet")
    )
    resnet.Bottleneck = type("Bottleneck", (), {})  # type: ignore[attr-defined]
    resnet.BasicBlock = type("BasicBlock", (), {})  # type: ignore[attr-defined]
    models.resnet, parent.models = resnet, models  # type: ignore[attr-defined]
    sys.modules |= {m.__name__: m for m in (parent, models, resnet)}


def plain(model: nn.Module) -> nn.Module:
    """A copy in which convolutions that pad their input first are two modules."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and hasattr(child, "static_padding"):
                alone = nn.Conv2d(
                    child.in_channels,
                    child.out_channels,
                    child.kernel_size,  # type: ignore[arg-type]
                    child.stride,  # type: ignore[arg-type]
                    groups=child.groups,
                    bias=child.bias is not None,
                )
                alone.load_state_dict(child.state_dict())
                setattr(module, name, nn.Sequential(child.static_padding, alone))
    return model.eval()


def _residual_forward(self: Any, x: torch.Tensor) -> torch.Tensor:
    y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
    made: torch.Tensor = self.relu2(self.canonizer_sum(torch.stack([y, self.past(x)], -1)))
    return made


def _inverted_forward(self: Any, x: torch.Tensor, drop_connect_rate: Any = None) -> torch.Tensor:
    y = x
    if self._block_args.expand_ratio != 1:
        y = self._swish(self._bn0(self._expand_conv(y)))
    y = self._swish(self._bn1(self._depthwise_conv(y)))
    y = self._bn2(self._project_conv(y))
    given = self._block_args
    if self.id_skip and given.stride == 1 and given.input_filters == given.output_filters:
        y = self.canonizer_sum(torch.stack([y, x], -1))
    made: torch.Tensor = y
    return made


def _canonizers() -> list[Any]:
    from zennit.canonizers import AttributeCanonizer, SequentialMergeBatchNorm
    from zennit.layer import Sum

    def attributes(name: str, module: nn.Module) -> dict[str, Any] | None:
        forward: Callable[..., Any]
        if isinstance(module, Block):
            forward = _residual_forward
        elif type(module).__name__ == "MBConvBlock":
            forward = _inverted_forward
        else:
            return None
        return {"forward": forward.__get__(module), "canonizer_sum": Sum()}

    return [SequentialMergeBatchNorm(), AttributeCanonizer(attributes)]


def zennit_methods(model: nn.Module, low: Array, high: Array) -> Iterator[tuple[str, Explain]]:
    """Three composites; `low` and `high` are the bounds of the input, [1, channels, 1, 1]."""
    _with_torchvision()
    import zennit.composites

    for name in NAMES:
        how: dict[str, Any] = {"canonizers": _canonizers()}
        if name == "EpsilonGammaBox":
            how |= {"low": torch.from_numpy(low), "high": torch.from_numpy(high)}
        own = plain(model)
        getattr(zennit.composites, name)(**how).register(own)
        yield name, _explain(own)


def _explain(model: nn.Module) -> Explain:
    def explain(x: Array, targets: Array) -> Array:
        given = torch.from_numpy(x).requires_grad_()
        logits = model(given)
        rows = torch.arange(len(x))
        start = torch.zeros_like(logits)
        start[rows, torch.from_numpy(np.asarray(targets))] = 1
        (found,) = torch.autograd.grad(logits, given, start * logits.detach())
        return np.asarray(found.numpy())

    return explain
