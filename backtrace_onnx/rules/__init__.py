"""One file per operator family. Importing this package registers every rule."""

from backtrace_onnx.rules import (
    convolution,
    elementwise,
    linear,
    microsoft,
    moving,
    picking,
    pooling,
    reducing,
    regions,
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
    "microsoft",
    "moving",
    "picking",
    "pooling",
    "reducing",
    "regions",
    "resize",
    "sampling",
    "signal",
    "silent",
    "strings",
]
