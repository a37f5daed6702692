"""What a caller lets relevance pass through: conditions, by arrays or by channel numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.tensor_channels import channel_axis
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.propagation.conditions import Condition, check_fits
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.targets.tensor_choice import find_reached

Through = Mapping[str, Any]
_WHAT = (
    "a list of numbers of its channels, heads or units, or a boolean array that broadcasts to it"
)


def read_through(text: str) -> tuple[str, list[int]]:
    """Tensor and channels of a text such as `conv3=1,5,7`. Raises RequestError for another one."""
    name, equals, numbers = text.rpartition("=")
    try:
        chosen = [int(number) for number in numbers.split(",")]
    except ValueError:
        chosen = []
    if not (name and equals and chosen):
        raise RequestError(f"--through is TENSOR=1,5,7: a tensor and its channels, not {text!r}")
    return name, chosen


def names_of(through: Any) -> tuple[str, ...]:
    """The tensors that are named. Raises RequestError where these are no tensors by name."""
    if through is None:
        return ()
    if not isinstance(through, Mapping) or not all(isinstance(name, str) for name in through):
        raise RequestError(f"through is {{tensor: mask}}, where a mask is {_WHAT}")
    return tuple(through)


def find_conditions(through: Through | None, graph: Graph, output: str) -> tuple[Condition, ...]:
    """The conditions that are asked for, on tensors as the rules read them.

    Raises RequestError for a tensor that relevance from `output` does not reach, and for a mask
    that does not fit it.
    """
    if not through:
        return ()
    found = []
    for name in find_reached("through", list(through), graph, output):
        shared = graph.aliases.get(name, name)
        if shared == graph.aliases.get(output, output):
            raise RequestError(
                f"through: {name!r} is what is explained; choose parts of it by target or start"
            )
        shape = graph.type(name).shape
        passes = _mask(name, through[name], graph)
        check_fits(name, passes.shape, shape)
        sizes = (None,) * passes.ndim if shape is None else shape[len(shape) - passes.ndim :]
        guarded = any(
            n > 1 and not isinstance(size, int) for n, size in zip(passes.shape, sizes, strict=True)
        )
        found.append(Condition(shared, passes, guarded))
    return tuple(sorted(found, key=lambda condition: condition.tensor))


def through_notes(conditions: Sequence[Condition], plan: Plan, output: str) -> tuple[Note, ...]:
    """What is let through, and whether relevance reaches the inputs on other ways as well."""
    if not conditions:
        return ()
    told = []
    for condition in conditions:
        passes = condition.passes
        told.append(f"{int(passes.sum())} of {passes.size} parts of {condition.tensor!r}")
    closed = {condition.tensor for condition in conditions}
    reached = {plan.graph.aliases.get(output, output)}
    for node in reversed(plan.graph.nodes):
        if (reached - closed).intersection(node.outputs):
            reached.update(plan.carriers.intersection(node.inputs))
    note = Note(f"relevance passes {' and '.join(told)}; the rest is cut there")
    if not (reached - closed).intersection(plan.graph.inputs):
        return (note,)
    around = Note(
        f"relevance also reaches the inputs on ways around {', '.join(map(repr, sorted(closed)))}, "
        "which are not cut; to see only what went there, explain output= that tensor from its "
        "kept slopes or relevance (start=)"
    )
    return note, around


def _mask(name: str, given: Any, graph: Graph) -> npt.NDArray[np.bool_]:
    """True where relevance passes, in a shape that broadcasts to the tensor."""
    try:
        array = np.asarray([given] if isinstance(given, int | np.integer) else given)
    except ValueError:
        array = np.array(None)
    if array.dtype == bool and not (isinstance(given, Collection) and len(given) == 0):
        return array
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise RequestError(f"through: what tensor {name!r} lets pass is {_WHAT}; not {given!r}")
    return _channels(name, array, graph)


def _channels(name: str, chosen: npt.NDArray[Any], graph: Graph) -> npt.NDArray[np.bool_]:
    axis, shape = channel_axis(graph, name), graph.type(name).shape
    size = None if axis is None or shape is None else shape[axis]
    if axis is None or shape is None or not isinstance(size, int):
        raise RequestError(
            f"through: where the channels of tensor {name!r} of shape {shape} lie is not known; "
            "give a boolean array that broadcasts to it"
        )
    if ((chosen < -size) | (chosen >= size)).any():
        raise RequestError(
            f"through: tensor {name!r} has {size} channels, on axis {axis}; there is no "
            f"{next(int(n) for n in chosen if not -size <= n < size)}"
        )
    passes = np.zeros(size, bool)
    passes[chosen] = True
    return passes.reshape([size if i == axis else 1 for i in range(len(shape))])


__all__ = ["Through", "find_conditions", "names_of", "read_through", "through_notes"]
