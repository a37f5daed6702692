"""What every operator is: an `Op` enters, a node and all that is known before it runs.

Its `Structure` leaves, or a `RuleError` that says why it has none.
It never knows a backend, a policy, or the numbers of a sample.
"""

from backtrace_onnx.rules import (
    classical,
    convolution,
    elementwise,
    linear,
    microsoft,
    moving,
    picking,
    pooling,
    recurrent,
    reducing,
    regions,
    resize,
    sampling,
    signal,
    silent,
    strings,
    trees,
)

__all__ = [
    "classical",
    "convolution",
    "elementwise",
    "linear",
    "microsoft",
    "moving",
    "picking",
    "pooling",
    "recurrent",
    "reducing",
    "regions",
    "resize",
    "sampling",
    "signal",
    "silent",
    "strings",
    "trees",
]
