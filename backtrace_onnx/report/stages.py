"""The stages of a network: its modules where the file tells, else blocks of one resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from backtrace_onnx.errors import BacktraceError
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.module_scopes import NodeScopes
from backtrace_onnx.results.modules import find_scopes
from backtrace_onnx.targets.tensor_choice import find_output

if TYPE_CHECKING:
    from backtrace_onnx.explainer import Explainer
    from backtrace_onnx.explanation import Explanation

_HEAD, _TO = "head", " … "
MOST = 9  # stages that a picture shows


@dataclass(frozen=True)
class NetworkStage:
    """Nodes that lie together, in walk order: from the output to the inputs.

    Attributes:
        detail: what it makes, in words; "" if not known.
        handed: float tensors that it, or a stage nearer to the output, reads from further back;
            those made last come first.
        made: tensors of its own that stages nearer to the output read; () for the first one.
    """

    name: str
    detail: str
    nodes: tuple[str, ...]
    handed: tuple[str, ...]
    made: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flow:
    """The stages of an explained network, and the relevance of what they hand on, by tensor."""

    stages: tuple[NetworkStage, ...] = ()
    relevance: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


def stages_of(explainer: Explainer, output: str | None) -> tuple[NetworkStage, ...]:
    """The stages of a model on the way to an output; () where they depend on the inputs."""
    try:
        model = explainer._model.straight()
        name = find_output(output, model.graph)
        prepared = model.output(name)
    except BacktraceError:
        return ()
    graph = prepared.plan.graph
    found = find_scopes(explainer._written, prepared, (node.name for node in graph.nodes))
    return find_stages(graph, name, found)


def apart(made: Explanation) -> tuple[Explanation, dict[str, npt.NDArray[Any]]]:
    """An explanation of inputs and attention alone, and the relevance of all else that it kept."""
    shown = {*made.inputs, *(one.name for one in made.attended)}
    inner = {name: r for name, r in made.relevance.items() if name not in shown}

    def own(group: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return {name: r for name, r in group.items() if name in shown}

    relevance, positive, negative = map(own, (made.relevance, made.positive, made.negative))
    inputs = replace(made, relevance=relevance, positive=positive, negative=negative)
    return replace(inputs, slopes=own(made.slopes)), inner


def find_stages(
    graph: Graph, output: str, places: Mapping[str, NodeScopes]
) -> tuple[NetworkStage, ...]:
    """The stages that `output` depends on, from the last to the first."""
    nodes = list(graph.ancestors(output))
    if not nodes:
        return ()
    if len(nodes) <= MOST:
        runs = [(node.name, [node]) for node in nodes]
    elif any(len(place.scopes) > 1 for place in places.values()):
        runs = _by_module(nodes, places)
    else:
        runs = _by_size(nodes, graph)
    while len(runs) > MOST:
        runs = _merged(runs)
    stages: list[NetworkStage] = []
    seen = set[str]()
    handed: tuple[str, ...] = ()
    for name, own in runs:
        outputs = {out for node in own for out in node.outputs}
        made = tuple(tensor for tensor in handed if tensor in outputs)
        seen.update(node.name for node in own)
        handed = _handed(graph, nodes, seen)
        names = tuple(node.name for node in own)
        stages.append(NetworkStage(name, _detail(graph, own[0]), names, handed, made))
    return tuple(stages)


Runs = list[tuple[str, list[Node]]]


def _by_module(nodes: Sequence[Node], places: Mapping[str, NodeScopes]) -> Runs:
    """Runs of nodes of one module; large modules are opened as long as there is room."""
    paths = {}
    for node in nodes:
        place = places.get(node.name)
        paths[node.name] = [path for path, _ in place.scopes][1:] if place else []
    depths = dict.fromkeys(paths, 1)
    runs = _runs(nodes, paths, depths)
    tried: set[str] = set()
    while len(runs) < MOST:
        closed = [run for run in runs if run[0] not in tried and _opens(run, paths, depths)]
        if not closed:
            break
        name, own = max(closed, key=lambda run: len(run[1]))
        tried.add(name)
        deeper = {**depths, **{node.name: depths[node.name] + 1 for node in own}}
        opened = _runs(nodes, paths, deeper)
        if len(opened) <= MOST + 4:
            runs, depths = opened, deeper
    return runs


def _opens(
    run: tuple[str, list[Node]], paths: Mapping[str, list[str]], depths: Mapping[str, int]
) -> bool:
    return any(len(paths[node.name]) > depths[node.name] for node in run[1])


def _runs(nodes: Sequence[Node], paths: Mapping[str, list[str]], depths: Mapping[str, int]) -> Runs:
    """Neighbours in one module; nodes of none go with the stage before them."""
    labels: list[str] = []
    for node in nodes:
        path = paths[node.name][: depths[node.name]]
        labels.append(path[-1] if path else labels[-1] if labels else "output")
    pairs = zip(labels, nodes, strict=True)
    return [(label, [n for _, n in own]) for label, own in groupby(pairs, lambda pair: pair[0])]


def _by_size(nodes: Sequence[Node], graph: Graph) -> Runs:
    """Runs of nodes that make pictures of one size; else parts of about as many nodes each."""
    sizes: list[str] = []
    for node in nodes:
        size = _pixels(graph, node)
        if size == _HEAD and sizes and sizes[-1] != _HEAD:
            size = None  # a gate
        sizes.append(size or (sizes[-1] if sizes else _HEAD))
    if len(set(sizes)) > 2:
        steps = groupby(zip(sizes, nodes, strict=True), lambda pair: pair[0])
        return [(size, [n for _, n in own]) for size, own in steps]
    count = -(-len(nodes) // MOST)
    parts = [list(nodes[i : i + count]) for i in range(0, len(nodes), count)]
    return [(f"{part[0].name}{_TO}{part[-1].name}", part) for part in parts]


def _pixels(graph: Graph, node: Node) -> str | None:
    """Height x width of a float output of rank 4, whichever axis holds the channels.

    What is pooled to one pixel on the side (a gate of channels) has none; rank 2 is the head.
    """
    kind = graph.type(node.outputs[0])
    shape = kind.shape
    if shape is None or not kind.is_float or len(shape) not in (2, 4):
        return None
    if len(shape) == 2:
        return _HEAD
    sides = shape[1:3] if shape[1] == shape[2] and shape[2] != shape[3] else shape[2:4]
    if not all(isinstance(n, int) for n in sides) or sides == (1, 1):
        return None
    return f"{sides[0]} x {sides[1]} pixels"


def _merged(runs: Runs) -> Runs:
    """The runs with the two neighbours in one that have the fewest nodes."""
    at = min(range(len(runs) - 1), key=lambda i: len(runs[i][1]) + len(runs[i + 1][1]))
    (name, own), (other, more) = runs[at], runs[at + 1]
    both = f"{name.split(_TO)[0]}{_TO}{other.split(_TO)[-1]}" if name != other else name
    return [*runs[:at], (both, own + more), *runs[at + 2 :]]


def _handed(graph: Graph, nodes: Sequence[Node], seen: set[str]) -> tuple[str, ...]:
    """Float tensors that the nodes seen read and that none of them makes."""
    made = {out for node in nodes if node.name in seen for out in node.outputs}
    read = dict.fromkeys(i for node in nodes if node.name in seen for i in node.inputs)
    known = graph.constants.keys() | graph.computed.keys() | made | {""}
    makers = {out: i for i, node in enumerate(nodes) for out in node.outputs}
    found = [name for name in read if name not in known and graph.type(name).is_float]
    return tuple(sorted(found, key=lambda name: makers.get(name, len(nodes))))


def _detail(graph: Graph, node: Node) -> str:
    """Shape of what a stage makes, without the samples."""
    shape = graph.type(node.outputs[0]).shape or ()
    sizes = [str(n) if isinstance(n, int) else "…" for n in shape[1:]]
    return f"makes {' x '.join(sizes)}" if sizes else ""
