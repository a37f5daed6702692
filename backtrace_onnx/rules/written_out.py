"""Functions that exporters write out in several nodes, and the slopes of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.rules.gelu import normal_derivative, normal_ratio
from backtrace_onnx.structures.functions import Derivative, Ratio

Array = npt.NDArray[Any]
_erf = np.vectorize(math.erf)
_WORDS: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Div": np.divide,
    "Erf": _erf,
    "Mul": np.multiply,
}
_PLACES = np.linspace(-6, 6, 49)
_CLOSE = 1e-5  # of numbers that constants of 16 bits are part of, less is not known


class WrittenOut(NamedTuple):
    """A function's derivative, in fewer nodes than the chain rule takes, and what it is over x.

    Neither makes what the members make, so that onnxruntime runs these as one node.
    """

    derivative: Derivative
    ratio: Ratio


def written_out(
    entry: str, members: Sequence[Node], constants: Mapping[str, Array]
) -> WrittenOut | None:
    """What is known of the function that members make of `entry`.

    It is x times the normal distribution, as Gelu is, times a number, which exporters write apart;
    None where it is something else.
    """
    operators = {node.op_type for node in members}
    scalars = all(array.size == 1 for array in constants.values())
    if "Erf" not in operators or not operators <= _WORDS.keys() or not scalars:
        return None
    values: dict[str, Array] = {name: array.reshape(()) for name, array in constants.items()}
    values[entry] = _PLACES
    for node in members:
        if not values.keys() >= set(node.inputs):
            return None
        given = (values[name].astype(np.float64) for name in node.inputs)
        values[node.outputs[0]] = _WORDS[node.op_type](*given)
    gelu, found = _PLACES * (1 + _erf(_PLACES / math.sqrt(2))) / 2, values[members[-1].outputs[0]]
    scale = float(found[-1] / gelu[-1])
    if not 0 < scale < math.inf or np.abs(found / scale - gelu).max() > _CLOSE:
        return None
    whole = float(round(scale))
    scale = whole if abs(scale - whole) <= _CLOSE * scale else scale
    how = scale, "Div" not in operators
    return WrittenOut(
        lambda e, x, y: normal_derivative(e, x, *how), lambda e, x: normal_ratio(e, x, *how)
    )


__all__ = ["WrittenOut", "written_out"]
