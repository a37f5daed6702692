"""Bodies of Scans and Ifs, written so that onnxruntime lays out their convolutions in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.slope_writer import is_layout
from backtrace_onnx.model.topology import bodies

Array = npt.NDArray[Any]
_DRAWN = frozenset({"Bernoulli", "Dropout", "Multinomial", "RandomNormalLike", "RandomUniformLike"})
_RANK = 4  # of the kernels that onnxruntime lays out in blocks


def lay_out_bodies(
    nodes: Sequence[onnx.NodeProto], weights: Mapping[str, Array], ops: EmitOps
) -> None:
    """Let bodies among these nodes make themselves what their convolutions read.

    onnxruntime lays convolutions out in blocks only where the graph in which they lie holds their
    weights; a body reads them from around it. What a body computes of constants alone is computed
    when the session is made, and is a constant of the body from then on: so weights are laid in
    the shape that they have, and what is made of them is made inside. The file holds them once.
    What is laid out in blocks for the body is so inside.

    Args:
        nodes: those around the bodies, too.
        weights: constants of the file, by name.
        ops: gives names and writes constants.
    """
    makers = {name: node for node in nodes for name in node.output}
    for _, body in bodies(nodes):
        _Body(body, weights, makers, ops).settle()


@dataclass
class _Body:
    """One body.

    Attributes:
        made: nodes that it gets. names: by tensor outside what it is called inside.
    """

    graph: onnx.GraphProto
    weights: Mapping[str, Array]
    makers: Mapping[str, onnx.NodeProto]
    ops: EmitOps
    made: list[onnx.NodeProto] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def settle(self) -> None:
        """Make inside what the nodes read."""
        own = {value.name for value in (*self.graph.input, *self.graph.initializer)}
        own |= {name for node in self.graph.node for name in node.output}
        for node in self.graph.node:
            if node.op_type == "Conv" and not node.domain and self._in_blocks(node.input[1]):
                for i, name in enumerate(node.input):
                    if i and name not in own and self._fixed(name):
                        node.input[i] = self._inside(name)
            for i, name in enumerate(node.input):
                if name not in own and name in self.makers and is_layout(self.makers[name]):
                    node.input[i] = self._append(name, self.makers[name])
        nodes = [*self.made, *self.graph.node]
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def _fixed(self, name: str) -> bool:
        """Whether a tensor outside is made of constants alone."""
        if name in self.weights:
            return True
        maker = self.makers.get(name)
        if maker is None or maker.domain or maker.op_type in _DRAWN or not maker.input:
            return False
        return all(map(self._fixed, filter(None, maker.input)))

    def _in_blocks(self, kernel: str) -> bool:
        """Whether a kernel, or what it is made of, is one that blocks are worth it for."""
        if not self._fixed(kernel):
            return False
        while kernel not in self.weights:
            kernel = self.makers[kernel].input[0]
        weight = self.weights[kernel]
        return weight.ndim == _RANK and weight.dtype == np.float32

    def _inside(self, name: str) -> str:
        """The name of the same constant, made in the body."""
        while name not in self.weights and self.makers[name].op_type == "Identity":
            name = self.makers[name].input[0]  # one that is taken out before constants are computed
        if name in self.weights:
            as_it_is = self.ops.symbol(np.zeros(self.weights[name].ndim, np.int64)).name
            return self._append(name, helper.make_node("Reshape", [name, as_it_is], [name]))
        given = self.makers[name].input
        own = [x if x in self.weights or not x else self._inside(x) for x in given]
        return self._append(name, self.makers[name], own)

    def _append(self, name: str, maker: onnx.NodeProto, given: Iterable[str] | None = None) -> str:
        """Make a tensor inside, once; returns its name there. `given`: what its maker reads."""
        if name not in self.names:
            copy = onnx.NodeProto()
            copy.CopyFrom(maker)
            for i, made in enumerate(maker.output):
                if made:
                    self.names[made] = copy.output[i] = self.ops.fresh("inside")
            copy.name = self.names[name]
            if given is not None:
                copy.input[:] = given
            self.made.append(copy)
        return self.names[name]


__all__ = ["lay_out_bodies"]
