"""One file per operator family. Importing this package registers every rule."""

from backtrace_onnx.rules import (
    classical,
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
    "reducing",
    "regions",
    "resize",
    "sampling",
    "signal",
    "silent",
    "strings",
    "trees",
]
