"""Quantus (GPLv3) as an oracle of tests: imported where it is installed, and nowhere else."""

from __future__ import annotations

import importlib.util
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

Array = npt.NDArray[Any]
_PLUGINS = ("captum", "keras", "tensorflow", "tf_explain", "transformers", "zennit")


def load_quantus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, which is not to find what it uses only because that is installed too.

    Skips the test, saying so, where Quantus or torch cannot be imported.
    """
    pytest.importorskip("torch", reason="Quantus measures torch modules")
    found = importlib.util.find_spec

    def hidden(name: str, package: str | None = None) -> Any:
        return None if name.partition(".")[0] in _PLUGINS else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    warnings.simplefilter("ignore")  # restored by pytest
    try:
        return import_module("quantus")
    except ImportError as error:
        pytest.skip(f"Quantus, an oracle, is not there: {error}")


def network(weight: Array, bend: bool = True) -> Any:
    """A torch module x[N, ...] -> scores [N, classes]: x W, and 3 tanh of it if it bends."""
    import torch

    w = torch.from_numpy(np.asarray(weight, np.float64))

    class Network(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            flat = x.reshape(len(x), -1).double()
            return torch.tanh(flat @ w) * 3 + flat @ w if bend else flat @ w

    return Network().eval()


def predict(weight: Array, bend: bool = True) -> Any:
    """The same in NumPy."""

    def scores(x: Array) -> Array:
        y = x.reshape(len(x), -1).astype(np.float64) @ weight
        made: Array = np.tanh(y) * 3 + y if bend else y
        return made

    return scores
