"""Small torch networks as .onnx files, with inputs that make them answer something."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from architecture import Architecture
from torch import Tensor, nn


class Positional(nn.Module):
    """The network with its inputs in order, returning one tensor."""

    def __init__(self, network: nn.Module, names: list[str], output: str) -> None:
        super().__init__()
        self.network, self.names, self.output = network, names, output

    def forward(self, *inputs: Tensor) -> Tensor:
        result = self.network(**dict(zip(self.names, inputs, strict=True)))
        found: Tensor = result[self.output]
        return found


def export(
    architecture: Architecture, path: Path, *, dynamo: bool = True, **options: Any
) -> dict[str, np.ndarray]:
    """Write the .onnx file; its example inputs."""
    torch.manual_seed(1)
    inputs = architecture.inputs()
    network = Positional(architecture.build(), list(inputs), architecture.output)
    settle(network, inputs)
    write(network, inputs, path, dynamo=dynamo, **options)
    return {name: x.numpy() for name, x in inputs.items()}


def write(
    network: nn.Module,
    inputs: dict[str, Tensor],
    path: Path,
    *,
    dynamo: bool,
    names: tuple[str, ...] = ("output",),
    **options: Any,
) -> None:
    """Export by one of torch's exporters as it is, without our own around it."""
    apart = {"external_data": False} if dynamo else {}
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(inputs.values()),
            path if dynamo else str(path),
            input_names=list(inputs),
            output_names=list(names),
            dynamo=dynamo,
            verbose=False,
            **apart,
            **options,
        )


def settle(network: nn.Module, inputs: dict[str, Tensor]) -> None:
    """Give batch normalisations the inputs' statistics; else random layers fade to nothing."""
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for layer in layers:
        layer.momentum = None
        layer.train()
    if layers:
        with torch.no_grad():
            network(*inputs.values())
    network.eval()
