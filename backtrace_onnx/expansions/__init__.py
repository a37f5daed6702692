"""One file per family of operators that are read as standard ones; importing registers them."""

from backtrace_onnx.expansions import activations, algebra, sampling

__all__ = ["activations", "algebra", "sampling"]
