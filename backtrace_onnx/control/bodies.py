"""Writing the body of a control-flow node into the graph around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from backtrace_onnx.control.straight_model import StraightModel
from backtrace_onnx.errors import ModelError
from backtrace_onnx.model.constant_folding import RANDOM
from backtrace_onnx.model.topology import name_nodes, renamed, subgraphs
from backtrace_onnx.model.weights import read_weights


def body_of(node: onnx.NodeProto, attribute: str = "body") -> onnx.GraphProto:
    """A copy of a body, every node of it named. Raises ModelError where there is none."""
    body = onnx.GraphProto()
    found = next((a.g for a in node.attribute if a.name == attribute), None)
    if found is None:
        raise ModelError(f"{node.op_type} node {node.name!r} has no {attribute}")
    body.CopyFrom(found)
    name_nodes(body)
    return body


def check_fit(node: onnx.NodeProto, body: onnx.GraphProto, inputs: int, outputs: int) -> None:
    """Raises ModelError unless a body takes `inputs` inputs and has `outputs` outputs or more."""
    if len(body.input) != inputs or len(body.output) < outputs:
        raise ModelError(
            f"{node.op_type} node {node.name!r} hands its body {inputs} inputs and takes {outputs} "
            f"outputs of it, but that has {len(body.input)} and {len(body.output)}"
        )


class Body:
    """The body of a control-flow node, to be written into the graph around it once or many times.

    Its weights, and what is computed from constants only, are written once and shared.

    Args:
        straight: the model that the body is written into.
        owner: name of the node; the names of what is shared begin with it.
        body: the body, every node of it named.
        lasting: inputs that are the same tensor every time: their names in the model.
    """

    def __init__(
        self,
        straight: StraightModel,
        owner: str,
        body: onnx.GraphProto,
        lasting: Mapping[str, str] | None = None,
    ) -> None:
        self.straight, self.graph = straight, body
        self.inputs = [x.name for x in body.input]
        self.outputs = [x.name for x in body.output]
        self._shared = {**self._weights(owner), **(lasting or {})}
        self._nodes = self._without_constants(owner)

    def write(
        self, prefix: str, given: Sequence[str], finals: Mapping[int, str] | None = None
    ) -> list[str]:
        """Write the body once more and return the names of its outputs.

        Args:
            prefix: what the names of its nodes and tensors begin with.
            given: names of the tensors that it reads for its inputs, in their order.
            finals: names that its outputs must have, by their number.
        """
        straight, finals = self.straight, finals or {}
        names = {**self._shared, **dict(zip(self.inputs, given, strict=True))}
        wanted = {self.outputs[i]: name for i, name in reversed(list(finals.items()))}
        for node in self._nodes:
            for out in filter(None, node.output):
                names[out] = wanted.get(out) or straight.inner(prefix, out)
        for node in self._nodes:
            copy = renamed(node, names)
            copy.name = straight.inner(prefix, node.name)
            straight.add(copy)
        made = [names.get(out, out) for out in self.outputs]
        for i, final in finals.items():
            if made[i] != final:
                straight.rename(made[i], final)
                made[i] = final
        return made

    def _weights(self, owner: str) -> dict[str, str]:
        """The body's initializers as weights of the model: their new names."""
        proto, model = onnx.ModelProto(graph=self.graph), self.straight.model
        weights = read_weights(proto, model.name, model.folder)
        return {name: self.straight.constant(f"{owner}/{name}", w) for name, w in weights.items()}

    def _without_constants(self, owner: str) -> list[onnx.NodeProto]:
        """Nodes that depend on what the body is given; the others are written at once."""
        straight, kept = self.straight, []
        local_outputs = set(self.outputs)
        made = {out for node in self.graph.node for out in node.output}
        local = (made | set(self.inputs)) - self._shared.keys()
        for node in self.graph.node:
            reads = [self._shared.get(name, "" if name in local else name) for name in node.input]
            fixed = all(new in straight.fixed for i, new in enumerate(reads) if node.input[i])
            changes = node.op_type in RANDOM or not local_outputs.isdisjoint(node.output)
            if not fixed or changes or any(subgraphs(node)):
                kept.append(node)
                continue
            for out in filter(None, node.output):
                self._shared[out] = straight.inner(owner, out)
                straight.fixed.add(self._shared[out])
            copy = renamed(node, self._shared)
            copy.name = straight.inner(owner, node.name)
            straight.add(copy)
        return kept
