"""One file per family of operators that are read as standard ones; importing registers them."""

from backtrace_onnx.expansions import (
    activations,
    algebra,
    attention,
    classical,
    fused,
    grouped,
    integers,
    normalisation,
    quantised,
    rotary,
    sampling,
    standard,
    vectors,
)

__all__ = [
    "activations",
    "algebra",
    "attention",
    "classical",
    "fused",
    "grouped",
    "integers",
    "normalisation",
    "quantised",
    "rotary",
    "sampling",
    "standard",
    "vectors",
]
