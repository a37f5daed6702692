"""One file per operator family. Importing this package registers every rule."""

from backtrace_onnx.rules import (
    convolution,
    elementwise,
    linear,
    moving,
    picking,
    pooling,
    reducing,
    resize,
    sampling,
    signal,
    silent,
    strings,
)

__all__ = [
    "convolution",
    "elementwise",
    "linear",
    "moving",
    "picking",
    "pooling",
    "reducing",
    "resize",
    "sampling",
    "signal",
    "silent",
    "strings",
]
