"""A model's main graph while it is written out straight: what is known, and the new nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from backtrace_onnx.control.questions import Question
from backtrace_onnx.errors import ModelError
from backtrace_onnx.fold import fold
from backtrace_onnx.graph import TensorType
from backtrace_onnx.infer import infer_types
from backtrace_onnx.model import Model, strip
from backtrace_onnx.nodes import canonical
from backtrace_onnx.sessions import stays_inline
from backtrace_onnx.shapes import computed_numbers
from backtrace_onnx.topology import captured, name_nodes, sort_nodes, subgraphs

Array = npt.NDArray[Any]
NODE_LIMIT = 200_000
_AXES_ARE_INPUTS = 13
_IDENTITY_OF_SEQUENCES = 14


class Scene:
    """Collects the nodes of the straight model.

    Attributes:
        sequences: element tensors of every sequence that is known.
        optionals: what an optional holds, "" for nothing.
        questions: what only a run can tell, by name of the answer.
        outputs: of the straight model.
    """

    def __init__(self, model: Model, answers: Mapping[str, Array]) -> None:
        self.model, self.answers = model, answers
        self.constants, folded = fold(model)
        nodes = model.proto.graph.node
        self.fixed = {out for node in nodes if node.name in folded for out in node.output}
        self.fixed |= self.constants.keys()
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.sequences: dict[str, tuple[str, ...]] = {}
        self.optionals: dict[str, str] = {}
        self.questions: dict[str, Question] = {}
        self.outputs = list(model.proto.graph.output)
        self.made: set[str] = set()
        self._taken = {name for node in nodes for name in (node.name, *node.output)}
        self._taken |= self.constants.keys() | {x.name for x in model.proto.graph.input}

    @property
    def opset(self) -> int:
        """Version of ai.onnx."""
        return self.model.opsets.get("", 1)

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """What inference knows of the model's tensors."""
        return infer_types(self.model.proto)

    @cached_property
    def _numbers(self) -> dict[str, Array]:
        return computed_numbers(self.model.proto.graph, self.types)

    # What is known -----------------------------------------------------------------------------

    def value(self, name: str) -> Array | None:
        """A tensor's value, if it is constant, follows from shapes, or was answered by a run."""
        for source in (self.constants, self.weights, self.answers):
            if name in source:
                return source[name]
        return self._numbers.get(name)

    def wanted(self, node: onnx.NodeProto, tensor: str, why: str) -> Array | None:
        """A tensor's value; asked for where it is not known."""
        found = self.value(tensor)
        if found is None:
            self.ask(Question(node.name, node.op_type, "value", tensor, why))
        return found

    def size(self, node: onnx.NodeProto, tensor: str, axis: int, why: str) -> int | None:
        """Size of a tensor's axis; asked for where it is not known."""
        shape = self.types.get(tensor, TensorType()).shape
        if shape is not None and -len(shape) <= axis < len(shape):
            known = shape[axis]
            if isinstance(known, int):
                return known
        question = Question(node.name, node.op_type, "size", tensor, why, axis)
        if question.key in self.answers:
            return int(self.answers[question.key])
        self.ask(question)
        return None

    def ask(self, question: Question) -> None:
        """Have a run tell."""
        self.questions[question.key] = question

    # What is written ---------------------------------------------------------------------------

    def fresh(self, name: str) -> str:
        """The name, or one like it that nothing has."""
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{name}_{count}"
        self._taken.add(found)
        return found

    def inner(self, prefix: str, name: str) -> str:
        """Fresh name of what is `name` in a body."""
        return self.fresh(f"{prefix}/{name.lstrip('/')}")

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """A new constant; its name."""
        name = self.fresh(name)
        self.weights[name] = np.asarray(value)
        self.fixed.add(name)
        return name

    def add(self, node: onnx.NodeProto) -> None:
        """Write a node of the straight model."""
        self.made.add(node.name)
        self.nodes.append(node)

    def emit(
        self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Write a node named after its first output."""
        name = self.fresh(f"{outputs[0]}@{op_type}")
        self.add(helper.make_node(op_type, inputs, outputs, name, **attributes))

    def rename(self, source: str, output: str) -> None:
        """`output` is `source` under another name."""
        if not output:
            return
        self.note_alike(source, output)
        if self.opset < _IDENTITY_OF_SEQUENCES and self.sequences.get(source):
            self.emit("SequenceConstruct", self.sequences[source], [output])
        else:
            self.emit("Identity", [source], [output])

    def note_alike(self, source: str, output: str) -> None:
        """`output` is the sequence or optional that `source` is, if that is known."""
        if source in self.sequences:
            self.sequences[output] = self.sequences[source]
        if source in self.optionals:
            self.optionals[output] = self.optionals[source]

    def squeeze(self, source: str, output: str, axis: int) -> None:
        """Take out an axis of size 1."""
        self._axed("Squeeze", source, output, axis)

    def unsqueeze(self, source: str, output: str, axis: int) -> None:
        """Put in an axis of size 1."""
        self._axed("Unsqueeze", source, output, axis)

    def _axed(self, op_type: str, source: str, output: str, axis: int) -> None:
        if self.opset < _AXES_ARE_INPUTS:
            self.emit(op_type, [source], [output], axes=[axis])
        else:
            given = self.constant(f"{output}@axis", np.array([axis], np.int64))
            self.emit(op_type, [source, given], [output])

    def split(self, source: str, parts: Sequence[str], sizes: Sequence[int], axis: int) -> None:
        """Cut a tensor along an axis."""
        if self.opset < _AXES_ARE_INPUTS:
            self.emit("Split", [source], parts, axis=axis, split=list(sizes))
        else:
            given = self.constant(f"{parts[0]}@sizes", np.array(sizes, np.int64))
            self.emit("Split", [source, given], parts, axis=axis)

    def cut(self, source: str, names: Sequence[str], axis: int) -> None:
        """The slices of a tensor along an axis, without that axis."""
        wide = [self.fresh(f"{name}@slice") for name in names]
        self.split(source, wide, [1] * len(names), axis)
        for part, name in zip(wide, names, strict=True):
            self.squeeze(part, name, axis)

    def stack(self, rows: Sequence[str], output: str, axis: int) -> None:
        """Tensors side by side along a new axis."""
        wide = [self.fresh(f"{output}/{i}@row") for i in range(len(rows))]
        for row, name in zip(rows, wide, strict=True):
            self.unsqueeze(row, name, axis)
        self.emit("Concat", wide, [output], axis=axis)

    def empty_rows(
        self, node: onnx.NodeProto, row: onnx.ValueInfoProto, output: str, axis: int = 0
    ) -> None:
        """What a scan output is where nothing ran: no rows; open sizes are 0, as in onnxruntime."""
        kind = row.type.tensor_type
        if not kind.elem_type:
            raise ModelError(
                f"{node.op_type} node {node.name!r} runs no iteration, and its body does not "
                f"state the type of {row.name!r}"
            )
        shape = [d.dim_value for d in kind.shape.dim]
        shape.insert(axis if axis >= 0 else axis + len(shape) + 1, 0)
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        self.rename(self.constant(f"{output}@empty", np.zeros(shape, dtype)), output)

    def check_room(self, node: onnx.NodeProto, times: int, body: onnx.GraphProto) -> None:
        """Raises ModelError where writing out a body that often would take too many nodes."""
        self.check_count(node, times, self.room(body))

    def check_count(self, node: onnx.NodeProto, count: int, most: int = NODE_LIMIT) -> None:
        """Raises ModelError where a node stands for more than there is room for."""
        if count > most:
            raise ModelError(
                f"{self.model.name}: {node.op_type} node {node.name!r} stands for {count:,} "
                f"iterations or parts, or more; written out, the model would have over "
                f"{NODE_LIMIT:,} nodes, which is the most that is allowed"
            )

    def room(self, body: onnx.GraphProto) -> int:
        """How often a body can be written out."""
        return max(NODE_LIMIT - len(self.nodes), 0) // max(size_of(body), 1)

    # The result --------------------------------------------------------------------------------

    def result(self) -> Model:
        """The model as written so far."""
        model, proto = self.model, onnx.ModelProto()
        proto.CopyFrom(model.proto)
        del proto.graph.node[:], proto.graph.output[:]
        proto.graph.node.extend(self._living())
        proto.graph.output.extend(self.outputs)
        weights = {**model.weights, **self.weights}
        strip(proto, weights)
        name_nodes(proto.graph)
        sort_nodes(proto.graph, model.name)
        aside = {k: w for k, w in self.weights.items() if not stays_inline(w)}
        return Model(proto, weights, model.name, model.folder, {**model.aside, **aside})

    def _living(self) -> list[onnx.NodeProto]:
        """The nodes without those written here, or making sequences, that nothing reads."""
        read = {o.name for o in self.outputs}
        alive = []
        noted = self.sequences.keys() | self.optionals.keys()
        for node in reversed(self.nodes):
            needed = node.name not in self.made and noted.isdisjoint(node.output)
            if needed or read.intersection(node.output):
                read.update((*node.input, *captured(node)))
                alive.append(node)
        return alive[::-1]


def size_of(body: onnx.GraphProto) -> int:
    """Number of nodes of a body, those of bodies inside it included."""
    return sum(1 + sum(map(size_of, subgraphs(node))) for node in body.node)


def is_standard(node: onnx.NodeProto) -> bool:
    """Whether a node is of ai.onnx."""
    return canonical(node.domain) == ""
