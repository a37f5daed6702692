"""One file per family of operators that are read as standard ones; importing registers them."""

from backtrace_onnx.expansions import activations

__all__ = ["activations"]
