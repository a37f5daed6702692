"""Saturation gates (l, u) of activations that directly follow a linear operator, in *default*.

With t the operator's value, its positive contributions are silent where t < l, its negative ones
where t > u: the activation is flat there, and they change nothing. A softmax has one only at the
model's output (`HEAD_GATES`).
"""

from __future__ import annotations

Gate = tuple[float, float]

GATES: dict[str, Gate] = {"Tanh": (-2.0, 2.0), "Sigmoid": (-4.0, 4.0)}
HEAD_GATES: dict[str, Gate] = {"Softmax": (-1.0, 2.0)}
