"""Several targets in one run of a compiled file: what depends on the target is done for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from backtrace_onnx.model.topology import captured

TARGETS = "targets"
ROW = "relevance/target"


@dataclass(frozen=True)
class TargetAxis:
    """Writes a walk from one target as a Scan over the rows of the input `targets`.

    Attributes:
        dims: shape of a row, as that of the target of a file that takes one.
    """

    dims: tuple[str | int, ...]

    def input(self) -> onnx.ValueInfoProto:
        """The input, int64[targets, samples, ...]; a row has one entry for all samples, or one for
        each."""
        dims = (TARGETS, "target samples", *self.dims[1:])
        return helper.make_tensor_value_info(TARGETS, TensorProto.INT64, dims)

    def over(
        self,
        nodes: Iterable[onnx.NodeProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> list[onnx.NodeProto]:
        """The nodes, of which those that read the row `ROW` are the body of one Scan.

        What they read of the others, the model's run and all that is the same for every target, is
        computed once. The outputs get a first axis of targets.

        Args:
            nodes: in an order in which they can run.
        """
        ends = {output.name for output in outputs}
        inside, outside, body = {ROW}, [], list[onnx.NodeProto]()
        for node in nodes:
            if inside.isdisjoint((*node.input, *captured(node))) and ends.isdisjoint(node.output):
                outside.append(node)
                continue
            own = onnx.NodeProto()
            own.CopyFrom(node)
            own.output[:] = [_of_row(name) if name in ends else name for name in node.output]
            inside.update(node.output)
            body.append(own)
        row = helper.make_tensor_value_info(ROW, TensorProto.INT64, [None] * len(self.dims))
        made = [_renamed(output, _of_row(output.name)) for output in outputs]
        graph = helper.make_graph(body, "of each target", [row], made)
        names = [output.name for output in outputs]
        scan = helper.make_node("Scan", [TARGETS], names, TARGETS, body=graph, num_scan_inputs=1)
        for output in outputs:
            _put_first(output)
        return [*outside, scan]


def _of_row(name: str) -> str:
    return f"{name}/of target"


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    made = onnx.ValueInfoProto()
    made.CopyFrom(value)
    made.name = name
    return made


def _put_first(output: onnx.ValueInfoProto) -> None:
    """Give an output an axis of targets before its own."""
    tensor = output.type.tensor_type
    if tensor.HasField("shape"):
        own = list(tensor.shape.dim)
        del tensor.shape.dim[:]
        tensor.shape.dim.add(dim_param=TARGETS)
        tensor.shape.dim.extend(own)


__all__ = ["ROW", "TARGETS", "TargetAxis"]
