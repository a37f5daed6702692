"""Loading a model: from path, bytes or ModelProto to a checked proto beside its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import NodeProto, TensorProto, ValueInfoProto

from backtrace_onnx.errors import ModelError
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.model.bfloat16 import NOTE, in_float32
from backtrace_onnx.model.file_reading import ModelLike, read_proto
from backtrace_onnx.model.generated_names import without_generated
from backtrace_onnx.model.sessions import (
    CPU,
    MAX_IR,
    Runtime,
    first_line,
    initializer,
    make_session,
    newest_opset,
    stays_inline,
)
from backtrace_onnx.model.topology import name_nodes, sort_nodes, subgraphs
from backtrace_onnx.model.weights import Weights, external_file, read_weights

_STANDARD = 18  # the oldest operator set that explanations are written in
_ALWAYS_RUNS = 21
_MIDDLE_IR = 8  # of files that state none


@dataclass(frozen=True)
class Model:
    """A model whose large weights lie beside the proto, memory-mapped where the file has them so.

    It is never changed: what rewrites it takes another one of `with_nodes` or `with_proto`.

    Attributes:
        proto: the structure; weights over a kilobyte are placeholders in it. Its nodes have names
            of their own and are in topological order, and onnxruntime runs its IR version.
        weights: array of every initializer of the main graph, by name.
        name: how messages call it.
        folder: where external data of subgraphs lies.
        notes: how it was read, where that is not as it was written.
    """

    proto: onnx.ModelProto
    weights: Weights
    name: str
    folder: str | None = None
    notes: tuple[Note, ...] = ()

    @property
    def opsets(self) -> dict[str, int]:
        """Version of every imported domain; ai.onnx is ""."""
        return {_domain(o.domain): o.version for o in self.proto.opset_import}

    @cached_property
    def aside(self) -> Weights:
        """The weights that are placeholders in the proto."""
        return {name: w for name, w in self.weights.items() if not stays_inline(w)}

    def session(
        self,
        runtime: Runtime = CPU,
        *,
        optimise: bool = True,
        threads: int = 0,
        arena: bool = True,
    ) -> ort.InferenceSession:
        """A session that runs the model; the arguments are those of `make_session`.

        Raises ModelError where onnxruntime does not load it.
        """
        try:
            return make_session(
                self.proto,
                self.aside,
                runtime=runtime,
                folder=self.folder,
                optimise=optimise,
                threads=threads,
                arena=arena,
            )
        except Exception as error:  # onnxruntime raises many types
            why = first_line(error)
            if "construct locale" in why:
                why += (
                    "; install that locale, or set attribute `locale` of the StringNormalizer to "
                    "one that is there, such as C.UTF-8"
                )
            raise ModelError(f"{self.name}: onnxruntime does not load it: {why}") from None

    def with_nodes(
        self,
        nodes: Iterable[NodeProto],
        weights: Mapping[str, npt.NDArray[Any]] | None = None,
        *,
        inputs: Iterable[ValueInfoProto] | None = None,
        outputs: Iterable[ValueInfoProto] | None = None,
        stated: Iterable[ValueInfoProto] | None = None,
    ) -> Model:
        """The model with these nodes in place of its own, in any order.

        Args:
            weights: initializers that come to its own, by name.
            inputs, outputs: what it takes and returns, where that changes.
            stated: types of inner tensors, in place of those that it states.

        Raises:
            ModelError: two nodes make one tensor, or one reads what nothing makes.
        """
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        graph = proto.graph
        changes: tuple[tuple[Any, Iterable[Any] | None], ...] = (
            (graph.node, nodes),
            (graph.input, inputs),
            (graph.output, outputs),
            (graph.value_info, stated),
        )
        for old, new in changes:
            if new is not None:
                del old[:]
                old.extend(new)
        return self.with_proto(proto, weights)

    def with_proto(
        self, proto: onnx.ModelProto, weights: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> Model:
        """The model with the structure `proto`, which it takes over, names and sorts.

        `weights` come to its own. Raises ModelError as `with_nodes` does.
        """
        every = {**self.weights, **(weights or {})}
        if weights:
            strip(proto, every)
        name_nodes(proto.graph)
        sort_nodes(proto.graph, self.name)
        return replace(self, proto=proto, weights=every)


def load(model: ModelLike | Model) -> Model:
    """Read and check a model. Raises ModelError naming the file and what is wrong with it."""
    if isinstance(model, Model):
        return model
    proto, name, folder = read_proto(model)
    _check(proto, name)
    _check_names(proto, name)
    for tensor in _subgraph_tensors(proto):
        if tensor.data_location == TensorProto.EXTERNAL:
            external_file(tensor, name, folder)
    _import_standard(proto)
    proto.ir_version = min(proto.ir_version or _MIDDLE_IR, MAX_IR)
    weights, is_narrow = in_float32(proto, read_weights(proto, name, folder), folder)
    kept = {value.name for value in (*proto.graph.input, *proto.graph.output)}
    weights = without_generated(proto.graph.node, weights, kept)
    proto = _bare(proto, weights)
    name_nodes(proto.graph)
    sort_nodes(proto.graph, name)
    return Model(proto, weights, name, folder, (NOTE,) if is_narrow else ())


def strip(proto: onnx.ModelProto, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Replace the initializers by small ones and placeholders."""
    del proto.graph.initializer[:]
    del proto.graph.sparse_initializer[:]
    proto.graph.initializer.extend(initializer(name, w) for name, w in weights.items())


def _bare(proto: onnx.ModelProto, weights: Weights) -> onnx.ModelProto:
    """The stripped model as a new message: what is deleted in one takes memory as long as it."""
    strip(proto, weights)
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def _check(proto: onnx.ModelProto, name: str) -> None:
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"{name}: not an ONNX model, or one without a graph")
    if not proto.graph.output:
        raise ModelError(f"{name}: the graph has no outputs; there is nothing to explain")
    versions = {_domain(o.domain): o.version for o in proto.opset_import}
    if not versions:
        raise ModelError(
            f"{name}: the model imports no operator set (opset_import is empty); export it again"
        )
    version = versions.get("", 1)
    if version < 1:
        raise ModelError(f"{name}: opset {version} does not exist; export the model again")
    if version > _ALWAYS_RUNS and version > (newest := newest_opset()):
        raise ModelError(
            f"{name}: opset {version} is newer than this onnxruntime runs (at most {newest}); "
            f"export the model with opset_version={newest} or lower, or convert it with "
            f"onnx.version_converter.convert_version(model, {newest})"
        )


def _import_standard(proto: onnx.ModelProto) -> None:
    """Import ai.onnx where no node needs it, for those that will be written behind them."""
    if not any(_domain(o.domain) == "" for o in proto.opset_import):
        proto.opset_import.add(domain="", version=_STANDARD)


def _check_names(proto: onnx.ModelProto, name: str) -> None:
    """Names that are no text reach Python as bytes."""
    for text in _names(proto):
        if not isinstance(text, str):
            raise ModelError(f"{name}: damaged: the name {text[:30]!r} is no text")


def _names(proto: onnx.ModelProto) -> Iterator[str | bytes]:
    graph = proto.graph
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        yield value.name
    for opset in proto.opset_import:
        yield opset.domain
    for node in (*graph.node, *(n for f in proto.functions for n in f.node)):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def _subgraph_tensors(proto: onnx.ModelProto) -> Iterator[TensorProto]:
    """Tensors inside the bodies of control flow and inside constants."""
    nodes = [*proto.graph.node, *(n for f in proto.functions for n in f.node)]
    while nodes:
        node = nodes.pop()
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
        for graph in subgraphs(node):
            yield from graph.initializer
            nodes += graph.node


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
