"""In which of the user's own modules a node lies, as exporters tell.

Torch's exporter writes `pkg.torch.onnx.name_scopes` and `class_hierarchy` into every node, the
exporters here `backtrace_onnx.name_scopes`; older files tell by the nodes' names: /head/head.1/Gemm
(torch) and model/dense/MatMul (TensorFlow).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import onnx

from backtrace_onnx.graph.graph import Graph, Node

Scopes = tuple[tuple[str, str], ...]
"""(path, class) of every module around a node, outermost first; the class is "" if not known."""

NAMES, CLASSES = "backtrace_onnx.name_scopes", "backtrace_onnx.class_hierarchy"
_TORCH = "pkg.torch.onnx."
_REWRITTEN = "pkg.onnxscript.rewriter.rule_name"
_CALL = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")
_LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_LINEAR_STEP = re.compile(  # TensorFlow's names of what becomes one of these
    r"(convolution|depthwise|separable_conv2d|Conv[123]D|MatMul|BatchMatMul(V2)?|Einsum)(_\d+)?"
)


@dataclass(frozen=True)
class NodeScopes:
    """Where a node stands: the tensors it makes, and the modules around it."""

    outputs: tuple[str, ...]
    scopes: Scopes


class Written:
    """The modules that a file names for its nodes, by node and by tensor."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        nodes = proto.graph.node
        found = {node.name: metadata_scopes(node) for node in nodes}
        if not any(found.values()):
            found = {node.name: _from_names(node) for node in nodes}
        self.by_name = {name: scopes for name, scopes in found.items() if scopes}
        self.by_output = {
            out: self.by_name[node.name]
            for node in nodes
            if node.name in self.by_name
            for out in node.output
        }

    def find(self, node: Node) -> Scopes:
        """The modules around a node, or around a written node that it stands for; () if not
        told.
        """
        for name in node.sources:
            for prefix in _prefixes(name):
                if prefix in self.by_name:
                    return self.by_name[prefix]
        return next((self.by_output[o] for o in node.outputs if o in self.by_output), ())


def places(written: Written, proto: onnx.ModelProto, graph: Graph) -> dict[str, NodeScopes]:
    """The place of every node of `graph`; empty if the file tells of no modules.

    A node that nobody tells of belongs where its readers are, else where its inputs come from. A
    joined one belongs to the module of its first part.

    Args:
        written: what the file tells.
        proto: the model as prepared; its nodes may tell more than those that were written.
    """
    own = {node.name: metadata_scopes(node) for node in proto.graph.node}
    found: dict[str, Scopes] = {}
    for node in graph.nodes:
        told = next((own[name] for name in node.sources if own.get(name)), ())
        found[node.name] = told or written.find(node)
    if not any(found.values()):
        return {}
    for node in reversed(graph.nodes):
        readers = (r for out in node.outputs for r in graph.consumers.get(out, ()))
        found[node.name] = found[node.name] or _common(found[r.name] for r in readers)
    for node in graph.nodes:
        makers = (graph.producers[i].name for i in node.inputs if i in graph.producers)
        found[node.name] = found[node.name] or _common(found[name] for name in makers)
    return {node.name: NodeScopes(node.outputs, found[node.name]) for node in graph.nodes}


def metadata_scopes(node: onnx.NodeProto) -> Scopes:
    """The modules that a node's metadata name; () if none."""
    told = {p.key: p.value for p in node.metadata_props}
    if NAMES in told:
        return _own(told[NAMES], told.get(CLASSES, "[]"))
    if _TORCH + "name_scopes" not in told:
        return ()
    scopes = _torch(told[_TORCH + "name_scopes"], told.get(_TORCH + "class_hierarchy", "[]"))
    return _owner(node, scopes) if told.get(_REWRITTEN, "").startswith("Fuse") else scopes


def state(node: onnx.NodeProto, scopes: Scopes) -> None:
    """Write the modules around a node into its metadata."""
    node.metadata_props.add(key=NAMES, value=json.dumps([name for name, _ in scopes]))
    node.metadata_props.add(key=CLASSES, value=json.dumps([kind for _, kind in scopes]))


@lru_cache(maxsize=4096)
def _own(names: str, classes: str) -> Scopes:
    try:
        return _paired(json.loads(names), json.loads(classes))
    except (ValueError, RecursionError):
        return ()


@lru_cache(maxsize=4096)
def _torch(names: str, classes: str) -> Scopes:
    """Torch's lists end with the operator itself."""
    try:
        listed, kinds = ast.literal_eval(names), ast.literal_eval(classes)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    return _paired(listed[:-1], kinds[:-1]) if _are_texts(listed, kinds) else ()


def _are_texts(*lists: object) -> bool:
    return all(isinstance(x, list) and all(isinstance(s, str) for s in x) for x in lists)


def _paired(names: object, classes: object) -> Scopes:
    if not isinstance(names, list) or not isinstance(classes, list):
        return ()
    if not _are_texts(names, classes):
        return ()
    known = classes if len(classes) == len(names) else [""] * len(names)
    return tuple(zip(names, known, strict=True))


def _owner(node: onnx.NodeProto, scopes: Scopes) -> Scopes:
    """A convolution fused with what follows belongs to the module whose weight it has."""
    weights = (name.rpartition(".")[0] for name in node.input[1:2] if name.endswith(".weight"))
    for path in weights:
        if len(scopes) > 1 and path.rpartition(".")[0] == scopes[-2][0] and path != scopes[-1][0]:
            return (*scopes[:-1], (path, ""))
    return scopes


def _from_names(node: onnx.NodeProto) -> Scopes:
    """Scopes in the names of a node or its weight: torch's begin with a slash."""
    if node.name.startswith("/"):
        parts = node.name.strip("/").split("/")[:-1]
        return _rooted(_qualified(parts)) if parts else ()
    weights = node.input[1:2] if node.op_type in _LINEAR else ()
    parts = _layer([node.name, *weights], node.op_type in _LINEAR)
    parts = [part for part in parts if not _CALL.fullmatch(part)]
    return _rooted("/".join(parts[: i + 1]) for i in range(len(parts))) if parts else ()


def _layer(names: Iterable[str], linear: bool) -> list[str]:
    """Parts of TensorFlow's name of a node, which lists all that was fused into it.

    A linear operator belongs to the layer that had it, not to a normalisation folded into it.
    """
    listed = [part.split("/") for name in names for part in name.partition(":")[0].split(";")]
    if linear:
        for parts in listed:
            steps = [i for i, part in enumerate(parts) if _LINEAR_STEP.fullmatch(part)]
            if steps:
                return parts[: steps[-1]]
    return listed[0][:-1]


def _rooted(paths: Iterable[str]) -> Scopes:
    return (("", ""), *((path, "") for path in paths))


def _qualified(parts: Iterable[str]) -> list[str]:
    """Paths of torch's nested scopes: a container's children repeat its name, head/head.1."""
    paths: list[str] = []
    before = ""
    for part in parts:
        own = part.removeprefix(f"{before}.") if before else part
        paths.append(f"{paths[-1]}.{own}" if paths else own)
        before = part
    return paths


def _prefixes(name: str) -> Iterable[str]:
    """The name, and what stands before each of its slashes, longest first."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def _common(found: Iterable[Scopes]) -> Scopes:
    """The modules around all of these."""
    known = [scopes for scopes in found if scopes]
    if not known:
        return ()
    shortest = min(known, key=len)
    for length in range(len(shortest), 0, -1):
        if all(scopes[:length] == shortest[:length] for scopes in known):
            return shortest[:length]
    return ()
