"""Names of constants that onnxruntime's optimiser made up, and would make up once more."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy.typing as npt
from onnx import NodeProto

from backtrace_onnx.model.topology import subgraphs

_TOKEN = re.compile(r"(?P<stem>.+?)(_token_\d+)+")
_BARE = frozenset(["gemm_input_shape", "gemm_output_shape"])  # the first of each has no number


def without_generated(
    nodes: Iterable[NodeProto],
    weights: Mapping[str, npt.NDArray[Any]],
    kept: Collection[str],
) -> dict[str, npt.NDArray[Any]]:
    """The weights, under other names where an optimiser made them up; `nodes` read these then.

    Whatever was optimised before is optimised again as it is loaded, and onnxruntime refuses a
    model where a name that it makes up is a constant's already.

    Args:
        kept: names that must stay, of inputs and outputs.
    """
    stems = {found["stem"] for name in weights if (found := _TOKEN.fullmatch(name))} | _BARE
    given = {name for name in weights if name in stems or _TOKEN.fullmatch(name)} - {*kept}
    new = {name: f"constant/{name}/kept" for name in given}
    if new:
        _read(nodes, new)
    return {new.get(name, name): w for name, w in weights.items()}


def _read(nodes: Iterable[NodeProto], new: Mapping[str, str]) -> None:
    """Rename what nodes and their bodies read."""
    for node in nodes:
        node.input[:] = [new.get(name, name) for name in node.input]
        for body in subgraphs(node):
            _read(body.node, new)
