"""One file per family of operators that are read as standard ones; importing registers them."""

from backtrace_onnx.expansions import (
    activations,
    algebra,
    attention,
    fused,
    grouped,
    normalisation,
    rotary,
    sampling,
    standard,
)

__all__ = [
    "activations",
    "algebra",
    "attention",
    "fused",
    "grouped",
    "normalisation",
    "rotary",
    "sampling",
    "standard",
]
