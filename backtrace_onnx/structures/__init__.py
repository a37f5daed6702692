"""What an operator is, as far as relevance is concerned: the structures rules return."""

from backtrace_onnx.structures.base import Halves, Nothing, Passes, Pieces, Step, Structure
from backtrace_onnx.structures.linear import Linear, Terms
from backtrace_onnx.structures.moves import Adjoint, Moves, Reshaped, Winner

__all__ = [
    "Adjoint",
    "Halves",
    "Linear",
    "Moves",
    "Nothing",
    "Passes",
    "Pieces",
    "Reshaped",
    "Step",
    "Structure",
    "Terms",
    "Winner",
]
