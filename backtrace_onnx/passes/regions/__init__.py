"""One function of one tensor, however it was written: a `Graph` enters.

The graph leaves with every such region as one node.
It never knows an exporter: regions are found by the shape of the graph, not by a list.
"""

from __future__ import annotations

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.passes.regions.chains import read_chains
from backtrace_onnx.passes.regions.fan_in import read_meetings
from backtrace_onnx.passes.regions.native_activations import read_natives
from backtrace_onnx.passes.regions.normalisations import read_scales
from backtrace_onnx.passes.regions.scaling import read_multiples
from backtrace_onnx.passes.rewriter import Draft


def read_regions(graph: Graph, protect: frozenset[str] = frozenset()) -> Graph:
    """The graph with every region as one node; tensors in `protect` stay outside of regions.

    Three readings, each of them one operator for the rules, through which relevance passes:

    - A tensor's uses fan out and meet again in one tensor of its shape, with nothing between but
      elementwise operators, reductions that are broadcast back, and constants: the smallest such
      region. A residual connection around elementwise operators is one too; with a second source
      of data, or a linear layer between, there is none.
    - A chain of functions of one input and scalar constants that begins and ends in a nonlinear
      function (Exp, Add 1, Log), with the scalar factor before it (Neg, Exp, Add 1, Reciprocal). A
      bound by a scalar (Max with 0) is such a function by itself. A Mul or Add with a constant is
      none: the Mul passes and the Add's constant is a bias, per channel or not; unless with it the
      chain is exactly a native Sigmoid, Tanh or HardSigmoid.
    - A normalisation with the constant scale and shift that follow it.

    A region that is a native function of a multiple of its input (softmax(3 z)) is that multiple
    and the function of it.

    Reading changes what the rules see, not what runs. Tensors inside that have the region's shape
    stay addressable as aliases; the others have no relevance of their own.
    """
    draft = Draft(graph, protect | set(graph.outputs))
    read_meetings(draft)
    read_chains(draft)
    read_natives(draft)
    read_scales(draft)
    return read_multiples(draft.finished())


__all__ = ["read_regions"]
