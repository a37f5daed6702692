"""Which tensors move where a model is asked at other inputs: floats, or what integers stand for."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.graph.ids import find_ids
from backtrace_onnx.propagation.plan import Plan


@dataclass(frozen=True)
class Moving:
    """What lies between one input and another, and what does not.

    Attributes:
        inputs: those that are numbers of any size.
        inner: the floats that ids, words and other whole numbers are read as, in node order: the
            rows that are looked up.
        stuck: inputs that slopes reach and that are neither.
    """

    inputs: tuple[str, ...]
    inner: tuple[str, ...]
    stuck: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        """All that moves."""
        return (*self.inputs, *self.inner)


def find_moving(plan: Plan, output: str) -> Moving:
    """What moves behind `output`. Masks and other gates do not: every method holds them."""
    graph, reached, inner = plan.graph, {output}, list[str]()
    for node in reversed(graph.nodes):
        structure = plan.structures.get(node.name)
        if structure is None or not structure.carries or reached.isdisjoint(node.outputs):
            continue
        if structure.converts and graph.type(node.outputs[0]).is_float:
            inner.append(node.outputs[0])
            continue
        data = plan.carriers.intersection(node.inputs)
        reached |= (data - plan.integral) or data
    ids = find_ids(graph)
    floats = [name for name in graph.inputs if graph.type(name).is_float]
    moving = tuple(name for name in floats if name in reached or name not in ids)
    stuck = tuple(name for name in graph.inputs if name in reached and name not in floats)
    return Moving(moving, tuple(inner[::-1]), stuck)


__all__ = ["Moving", "find_moving"]
