"""Pieces of ONNX text as small onnxruntime sessions, made once and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, ValueInfoProto, helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.layout import UnitLayouts
from backtrace_onnx.backends.numpy_operators import DIRECT
from backtrace_onnx.backends.pointwise import PointwiseLoops
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.model.sessions import (
    CPU,
    IR_VERSION,
    Runtime,
    free_memory,
    initializer,
    make_session,
    stays_inline,
)
from backtrace_onnx.model.topology import captured
from backtrace_onnx.ops.vocabulary import Value

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from backtrace_onnx.graph.graph import Node

Array = npt.NDArray[Any]
Written = tuple[ModelProto, dict[str, Array]]
OPSET = 20
_SMALL = 1 << 16
"""Bytes up to which one thread is faster than several."""
_FOLDED = ("Abs", "Neg", "Relu", "Transpose")


class Sessions:
    """Small onnxruntime sessions, one for each piece of text; equal texts share one.

    Attributes:
        layouts: how the units lie in memory that are worked on again and again.
        loops: what texts are that need no session.
    """

    def __init__(self, runtime: Runtime = CPU) -> None:
        self._runtime = runtime
        self._by_key: dict[tuple[Any, ...], InferenceSession] = {}
        self._by_text: dict[tuple[Any, ...], InferenceSession] = {}
        self._weights: list[dict[str, Array]] = []  # keeps the ids of `_by_text` alive
        self.layouts, self.loops = UnitLayouts(), PointwiseLoops()
        finalize(self, _close, self._by_key, self._by_text).atexit = False

    def run(
        self, key: tuple[Any, ...], write: Callable[[], Written], feeds: dict[str, Array]
    ) -> list[Array]:
        """Outputs of the session known by `key`; `write()` makes its model and weights if new."""
        size, kinds = 0, key
        for name, x in feeds.items():
            size += x.nbytes
            kinds += (name, x.dtype.char, x.ndim)
        small = size <= _SMALL
        key = (*kinds, small)
        session = self._by_key.get(key)
        if session is None:
            model, weights = write()
            threads = int(small and _bytes(weights) <= _SMALL)
            text = (model.SerializeToString(), threads, *map(id, weights.values()))
            if text not in self._by_text:
                made = make_session(
                    *_folded(model, weights), runtime=self._runtime, threads=threads
                )
                self._by_text[text] = made
                self._weights.append(weights)
            session = self._by_key[key] = self._by_text[text]
        outputs: list[Array] = session.run(None, feeds)
        return outputs


def _close(*sessions: dict[tuple[Any, ...], InferenceSession]) -> None:
    for group in sessions:
        group.clear()
    free_memory()


def _folded(model: ModelProto, weights: Mapping[str, Array]) -> Written:
    """The model with what it makes of its weights among them.

    onnxruntime would compute that too, but leave several copies of each in memory.
    """
    known, nodes = dict(weights), []
    for node in model.graph.node:
        if node.op_type not in _FOLDED or node.input[0] not in known:
            nodes.append(node)
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        made = DIRECT[node.op_type](known[node.input[0]], **attributes)
        known[node.output[0]] = np.ascontiguousarray(made)
    read = {name for node in nodes for name in (*node.input, *captured(node))}
    known = {name: x for name, x in known.items() if name in read}
    inline = [t for t in model.graph.initializer if t.name not in weights]
    folded = ModelProto()
    folded.CopyFrom(model)
    del folded.graph.node[:], folded.graph.initializer[:]
    folded.graph.node.extend(nodes)
    folded.graph.initializer.extend([*inline, *(initializer(name, x) for name, x in known.items())])
    return folded, known


def _bytes(arrays: Mapping[str, Array]) -> int:
    return sum(x.nbytes for x in arrays.values())


def write_text(
    text: Callable[..., Value],
    args: Sequence[Value],
    feeds: Mapping[str, Array],
    dtype: np.dtype[Any],
    opsets: Mapping[str, int] | None = None,
) -> Written:
    """A model of `text(ops, *args)` whose inputs are the arrays among the arguments.

    Operators outside ai.onnx are those of `opsets`.
    """
    e = EmitOps(dtype, prefix="text")
    symbols = [Symbol(e, f"x{i}") if f"x{i}" in feeds else x for i, x in enumerate(args)]
    made = text(e, *symbols)
    results = list(made) if isinstance(made, tuple) else [made]
    outputs = [e.output(x, f"y{i}") for i, x in enumerate(results)]
    weights = {k: v for k, v in e.constants.items() if not stays_inline(v)}
    others = {node.domain: (opsets or {}).get(node.domain, 1) for node in e.nodes if node.domain}
    return _model(e.nodes, feeds, outputs, e.constants, {"": OPSET, **others}), weights


def write_node(node: Node, feeds: Mapping[str, Array], opsets: Mapping[str, int]) -> Written:
    """A model of one node; input i is `x{i}`, left out where no feed has that name."""
    names = [f"x{i}" if f"x{i}" in feeds else "" for i in range(len(node.inputs))]
    made = [f"y{i}" if name else "" for i, name in enumerate(node.outputs)]
    proto = helper.make_node(node.op_type, names, made, domain=node.domain, **node.attributes)
    model = _model([proto], feeds, [name for name in made if name], {}, opsets)
    for value in model.graph.input:  # onnxruntime takes a vector of open length for an empty one
        value.type.tensor_type.ClearField("shape")
    return model, {}


def _model(
    nodes: Sequence[NodeProto],
    feeds: Mapping[str, Array],
    outputs: Sequence[str],
    constants: Mapping[str, Array],
    opsets: Mapping[str, int],
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "text",
        [_open_input(name, x) for name, x in feeds.items()],
        [ValueInfoProto(name=name) for name in outputs],
        [initializer(name, array) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)


def _open_input(name: str, x: Array) -> ValueInfoProto:
    """An input of the array's dtype and rank, of any size."""
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(x.dtype), [None] * x.ndim
    )
