"""Saturation gates (l, u) of activations that follow a linear operator (method: mode default)."""

from __future__ import annotations

Gate = tuple[float, float]

GATES: dict[str, Gate] = {"Tanh": (-2.0, 2.0), "Sigmoid": (-4.0, 4.0)}
HEAD_GATES: dict[str, Gate] = {"Softmax": (-1.0, 2.0)}
