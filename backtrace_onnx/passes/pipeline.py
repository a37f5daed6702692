"""From a loaded model to the graph that rules read: the passes, in order.

There are two stages, as there are two things that a pass may change. What *runs* is a `Model`:
ONNX's own inliner, converter and inference work on its proto, and so do the passes over it, which
rewrite it by `Model.with_nodes`. What rules *read* is a `Graph`: its passes read as one what is
one, by a `Draft` (`passes/rewriter.py`), and what runs stays as it is.

A new pass is one more line below: `Model -> Model` where it changes what runs, `Graph -> Graph`
where it changes what rules read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cached_property

from backtrace_onnx.graph.class_axes import class_axes
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.inference import infer
from backtrace_onnx.graph.node_reading import read_node
from backtrace_onnx.graph.sample_axes import find_samples
from backtrace_onnx.graph.validity import blaming
from backtrace_onnx.model.constant_folding import fold
from backtrace_onnx.model.declared_shapes import without_contradicted
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.opsets import upgraded
from backtrace_onnx.passes.affine_joining import join
from backtrace_onnx.passes.bins import read_bins
from backtrace_onnx.passes.expanding import expanded
from backtrace_onnx.passes.inlining import inlined
from backtrace_onnx.passes.interpolations import read_interpolations
from backtrace_onnx.passes.narrow_integers import read_before, read_once, widened
from backtrace_onnx.passes.nested_sums import read_biases, read_sums
from backtrace_onnx.passes.regions.chains import read_chains
from backtrace_onnx.passes.regions.disguises import read_disguised
from backtrace_onnx.passes.regions.fan_in import read_meetings
from backtrace_onnx.passes.regions.native_activations import read_natives
from backtrace_onnx.passes.regions.normalisations import read_scales
from backtrace_onnx.passes.regions.scaling import read_multiples
from backtrace_onnx.passes.single_operands import read_single

MODEL_PASSES: tuple[Callable[[Model], Model], ...] = (
    inlined,  # local functions become their nodes; first, as all others look at nodes
    expanded,  # operators without a rule become others that have one
    read_before,  # 8-bit numbers are floats where they are chosen or moved; after expanding, too
    read_once,  # equal dequantisations become one; after expanding, which writes such
    widened,  # pools of 8-bit numbers weigh floats; after those that read the numbers are one
    without_contradicted,  # wrong shapes of outputs go; last, as inference knows most here
)

GRAPH_PASSES: tuple[Callable[[Graph], Graph], ...] = (
    read_single,  # joins of one tensor are that tensor, for all that come after
    read_bins,  # numbers made of comparisons of one tensor, which others would read in part
    read_meetings,  # functions of one tensor whose uses meet again; before others, that end there
    read_chains,  # functions one after another, of regions that have been found, too
    read_natives,  # an activation that is one with its shift only; what is a chain is no shift
    read_disguised,  # what else is such an activation, whatever it is written with
    read_scales,  # scale and shift of normalisations, which are known by now
    read_multiples,  # a function of a multiple becomes the multiple, which is joined next
    join,  # linear operators with their scale and shift; what is left is no part of a function
    read_interpolations,  # n + z (h - n) becomes two products, before its sum becomes another's
    read_sums,  # sums of sums
    read_biases,  # constants left in a sum are the bias of a term; once sums are whole
)


def rewritten(model: Model) -> Model:
    """The model as it runs: `model` after every pass of MODEL_PASSES.

    Raises ModelError where it cannot be. What is rewritten already stays as it is.
    """
    for rewrite in MODEL_PASSES:
        model = rewrite(model)
    return model


def prepare(model: Model) -> ModelGraphs:
    """A loaded model, rewritten and ready to be read. Raises ModelError where it cannot be."""
    return ModelGraphs(rewritten(model))


def read(model: Model) -> Graph:
    """The graph of a model, node by node, without what depends on no input: nothing is one yet."""
    constants, folded = fold(model)
    graph, types = model.proto.graph, infer(model)
    inputs = tuple(x.name for x in graph.input if x.name not in model.weights)
    found = Graph(
        tuple(read_node(node, model.opsets) for node in graph.node if node.name not in folded),
        inputs,
        tuple(o.name for o in graph.output),
        constants,
        types,
        model.opsets,
        samples=find_samples(model.proto, types, inputs),
    )
    return replace(found, classes=class_axes(found))


class ModelGraphs:
    """A rewritten model and its graphs, each made once and when it is asked for first.

    Attributes:
        model: what runs; `rewritten` has made it.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._graphs: dict[frozenset[str], Graph] = {}

    @cached_property
    def nodes(self) -> Graph:
        """The graph, node by node."""
        return read(self.model)

    def graph(self, protect: Collection[str] = ()) -> Graph:
        """The graph as rules read it, after every pass of GRAPH_PASSES.

        Tensors in `protect`, like the outputs, keep a relevance of their own: nothing is read as
        one across them. Raises ModelError naming a node that is no valid ONNX.
        """
        kept = frozenset(protect) - {*self.nodes.outputs}
        if kept not in self._graphs:
            graph = self.nodes
            with blaming(graph.nodes, graph.opsets):
                graph = replace(graph, kept=kept)
                for read_as_one in GRAPH_PASSES:
                    graph = read_as_one(graph)
            graph = replace(graph, classes={**class_axes(graph), **graph.classes})
            self._graphs[kept] = graph
        return self._graphs[kept]

    @cached_property
    def writable(self) -> ModelGraphs:
        """The same in an operator set that nodes written by this package can stand beside.

        It is itself where its set is new enough. Raises CompileError where ONNX's converter fails.
        """
        modern = upgraded(self.model)
        return self if modern is self.model else ModelGraphs(rewritten(modern))
