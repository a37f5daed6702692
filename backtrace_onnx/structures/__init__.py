"""What an operator is to relevance: a `Step` enters, with its values and what it received.

What each of its inputs is sent leaves, and totals for the ledger.
It never knows which backend computes, nor which policy shares.
"""

from backtrace_onnx.structures.arithmetic import Product
from backtrace_onnx.structures.base import Halves, Nothing, Passes, Pieces, Step, Structure
from backtrace_onnx.structures.functions import Function
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.moves import Adjoint, Moves, Reshaped
from backtrace_onnx.structures.sums import Terms
from backtrace_onnx.structures.winners import Winner

__all__ = [
    "Adjoint",
    "Function",
    "Halves",
    "Linear",
    "Moves",
    "Nothing",
    "Passes",
    "Pieces",
    "Product",
    "Reshaped",
    "Step",
    "Structure",
    "Terms",
    "Winner",
]
