"""One file per family of operators that are read as standard ones; importing registers them."""

from backtrace_onnx.expansions import (
    activations,
    algebra,
    attention,
    fused,
    normalisation,
    sampling,
    standard,
)

__all__ = [
    "activations",
    "algebra",
    "attention",
    "fused",
    "normalisation",
    "sampling",
    "standard",
]
