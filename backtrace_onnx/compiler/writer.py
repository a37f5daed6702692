"""Writing the relevance pass behind the model, as plain ONNX nodes of the standard operator set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, ValueInfoProto, helper

from backtrace_onnx.backends.emit import EmitOps
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.backends.written_nodes import WrittenNodes
from backtrace_onnx.compiler.body_layout import lay_out_bodies
from backtrace_onnx.compiler.file_baselines import Baselines, has_baselines
from backtrace_onnx.compiler.forward_values import Symbols
from backtrace_onnx.compiler.reference_run import ReferenceRun
from backtrace_onnx.compiler.row_copies import RowCopies
from backtrace_onnx.compiler.several_walks import several_walks
from backtrace_onnx.compiler.start_writer import StartWriter
from backtrace_onnx.compiler.stated_shapes import state_shapes
from backtrace_onnx.compiler.target_input import OPTIONAL, TargetInput
from backtrace_onnx.compiler.walk_writers import WalkWriter
from backtrace_onnx.graph.graph import Graph, TensorType
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.model.loading import Model, strip
from backtrace_onnx.model.topology import captured, living, sort_nodes
from backtrace_onnx.ops.vocabulary import Value
from backtrace_onnx.passes.pipeline import ModelGraphs
from backtrace_onnx.propagation.bookkeeping import Books
from backtrace_onnx.propagation.node_step import NodeStep
from backtrace_onnx.propagation.plan import Plan, make_plan
from backtrace_onnx.propagation.reverse_walk import propagate
from backtrace_onnx.propagation.slope_steps import steps_of
from backtrace_onnx.propagation.trace import TracedValues
from backtrace_onnx.propagation.values import PairedValues, Values
from backtrace_onnx.structures.base import Channels
from backtrace_onnx.targets.axis_search import find_axes
from backtrace_onnx.targets.head_search import find_head
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.question import Question, relevance_dtype
from backtrace_onnx.targets.start_site import CONTRAST
from backtrace_onnx.targets.tensor_choice import find_reached

MAX_IR = 13


@dataclass(frozen=True)
class Compiled:
    """A model with its explanation, and the weights that lie beside the proto.

    Attributes:
        books: the totals, each an output of its own name; with a ledger only.
        sloped: tensors T whose slope is an output `slope/T`; with a ledger only.
    """

    proto: onnx.ModelProto
    weights: dict[str, npt.NDArray[Any]]
    folder: str | None
    plan: Plan
    books: Books
    sloped: tuple[str, ...] = ()


def build(
    graphs: ModelGraphs,
    question: Question,
    tensors: Sequence[str] | None = None,
    *,
    target: TargetInput = OPTIONAL,
    baselines: Baselines | None = None,
    axes: OutputAxes | None = None,
    single: bool | None = None,
    ledger: bool = False,
) -> Compiled:
    """The model that returns prediction and relevance.

    Its inputs are the model's, and `target` (see `target_input`; not for a segmentation) or, for
    task "start", `start` and with two channels `start_negative`. Its outputs are the model's
    and `relevance/T` for every tensor T of `tensors` (default: the model's inputs), in modes with
    two channels also `positive/T` and `negative/T`.

    Args:
        target: how the file is told which entry it explains.
        baselines: what inputs are compared with, by a method that compares.
        axes: of the explained output; default: as the shapes that the file declares tell.
        single: whether every entry of the output has one class; default: as declared.
        ledger: whether the totals of the ledger are outputs, too.
    """
    writable = graphs.writable
    whole = writable.graph({question.output, *question.apart})
    plan = make_plan(_reaching(whole, question.output))
    plan.check(question.output)
    if question.method.carrier == "slope":
        plan.check_slopes(question.output, question.method)
    wanted = whole.inputs if tensors is None else tensors
    found = find_reached("tensors", wanted, whole, question.output)
    axes = axes or find_axes(plan.graph, question.output, question.axes)
    writer = _Writer(writable.model, plan, question, target, axes, single, ledger)
    if has_baselines(question.method):
        writer.compare(baselines or Baselines.of(None, plan.graph))
    if question.background is not None and question.method.walks is None:
        rows = TracedValues(dict(question.background.values), writer.dtype)
        writer.walked = PairedValues(writer.values, rows)
    return writer.compile(found)


class _Writer:
    """Appends start, walk and outputs to a copy of the model."""

    def __init__(
        self,
        model: Model,
        plan: Plan,
        question: Question,
        target: TargetInput,
        axes: OutputAxes,
        single: bool | None,
        ledger: bool,
    ) -> None:
        self.model, self.plan, self.question, self.axes = model, plan, question, axes
        self.proto = onnx.ModelProto()
        self.proto.CopyFrom(model.proto)
        self.dtype = relevance_dtype(_numpy_type(plan.graph.type(question.output)))
        taken = {n for node in model.proto.graph.node for n in (*node.output, node.name)}
        taken |= set(plan.graph.inputs) | model.weights.keys()
        known = frozenset(model.weights.keys() | (plan.graph.constants.keys() & taken))
        self.ops = EmitOps(
            self.dtype,
            prefix="relevance",
            known=known,
            ledger=ledger,
            reserved=frozenset(taken),
            opset=model.opsets[""],
            blocks=True,
            written=_nodes_of(model, plan) if question.method.carrier == "slope" else None,
        )
        self.values = Symbols(self.ops, plan.graph)
        self.walked: Values = self.values  # with those of the reference, where there is one
        self.samples = SampleAxes(plan.graph, axes.known(question.output))
        self.books: Books  # made once the way of the walk is known
        self.ledger = ledger
        head = find_head(plan, question.output)
        self.start = StartWriter(
            self.ops,
            self.values,
            question,
            target,
            axes,
            self.samples,
            question.site(head, plan),
            lambda name: name in plan.graph.tensors or name in model.weights,
            single=single,
        )
        self.rows: Mapping[str, npt.NDArray[Any]] = {}  # several baselines, for each sample
        self.outputs: list[onnx.ValueInfoProto] = []
        self.sloped: list[str] = []

    def compare(self, baselines: Baselines) -> None:
        """Write the run of the reference; what it takes as inputs the file does."""
        run = ReferenceRun(self.ops, self.model.proto, self.plan.graph, baselines, self.start.free)
        self.start.inputs += run.inputs
        self.rows = baselines.rows
        self.walked = PairedValues(self.values, run.values)

    def compile(self, tensors: Sequence[str]) -> Compiled:
        """Write start, walk back and outputs, in this order, and return the finished model."""
        graph, question = self.plan.graph, self.question
        if self.axes.samples is not None:
            self.ops.samples = self._samples(question.output, self.axes.samples)
        representative = {t: graph.aliases.get(t, t) for t in tensors}
        with self.ops.scope("start"):
            start = self.start.write()
        site = self.start.site
        with self.ops.scope("start"):
            begun = site.begun(self.ops, self.walked, self.samples, start) if self.ledger else start
        walk = WalkWriter(question.method, self.walked)
        if question.method.walks is not None:
            walk = several_walks(self.start, self.model.proto, self.walked, tensors)
        self.books = Books(self.ops, self.samples, site.gauges(self.start.plan))
        walked = propagate(
            self.start.plan,
            {question.output: start},
            ops=self.ops,
            method=walk.method,
            values=walk.values,
            keep=frozenset(representative.values()) | walk.keep,
            sample_axes=self.samples,
            enter=self._enter,
            steps=steps_of(walk.method, question.output, contrasted=question.task == CONTRAST),
            through=question.through,
            enter_cut=self.books.enter_cut,
        )
        reported = walk.close(walked)
        for tensor, source in representative.items():
            self._return(tensor, reported.get(source))
            if self.ledger and tensor == source and source in walked.slopes:
                self.sloped.append(tensor)
                self._output(f"slope/{tensor}", walked.slopes[source][0], tensor)
        if self.ledger:
            fed = {n: walked.relevance[n] for n in graph.inputs if n in walked.relevance}
            self.books.begin(question.output, begun)
            self.books.finish(fed)
            names = dict.fromkeys(total.name for total in self.books.every())
            self.outputs += [ValueInfoProto(name=name) for name in names]
        return self._assembled()

    def _samples(self, output: str, axis: int) -> Value:
        """How many samples there are, int64: a constant where the file declares it."""
        shape = self.plan.graph.type(output).shape
        if shape is not None and isinstance(declared := shape[axis], int):
            return np.array(declared, np.int64)
        y = self.values.value(output)
        return self.ops.Squeeze(self.ops.Shape(y, start=axis, end=axis + 1))

    def _enter(self, step: NodeStep) -> None:
        """A node is done."""
        for tensor, r in zip(step.node.outputs, step.outgoing, strict=True):
            own = tensor, self.ops.float_type
            self.ops.like.update({x.name: own for x in r or () if isinstance(x, Symbol)})
        if self.ledger and step.node.name not in self.start.site.unbooked:
            self.books.enter(step)

    def _return(self, tensor: str, channels: Channels | None) -> None:
        """Outputs for a tensor's relevance; zeros where relevance does not reach it."""
        if channels is None:
            zeros = self.ops.Expand(self.ops.zero(), self.values.shape(tensor))
            channels = [zeros] * self.question.policy.channels
        if len(channels) == 1:
            self._output(f"relevance/{tensor}", channels[0], tensor)
            return
        self._output(f"relevance/{tensor}", self.ops.Sub(*channels), tensor)
        self._output(f"positive/{tensor}", channels[0], tensor)
        self._output(f"negative/{tensor}", channels[1], tensor)

    def _output(self, name: str, x: Value, like: str) -> None:
        element = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        shape = self.plan.graph.type(like).shape
        self.ops.output(x, name)
        self.outputs.append(helper.make_tensor_value_info(name, element, shape))

    def _assembled(self) -> Compiled:
        graph, ends = self.proto.graph, {o.name for o in self.outputs}
        nodes = living(self.ops.nodes, set(ends))
        if self.start.axis is not None:
            nodes = self.start.axis.over(nodes, self.outputs)
        if self.question.method.carrier == "slope":  # masses stay what they are to the last bit
            known = {**self.model.weights, **self.ops.constants}
            lay_out_bodies([*graph.node, *nodes], known, self.ops)
        nodes = living(nodes, ends)
        state_shapes(graph, nodes, self.plan.graph, self.ops.like)
        graph.node.extend(nodes)
        graph.input.extend(self.start.inputs)
        graph.output.extend(self.outputs)
        if self.rows:
            RowCopies.of(self.start, graph, self.plan.graph, self.rows).around(graph)
        used = {name for node in graph.node for name in (*node.input, *captured(node))}
        used |= {value.name for value in (*graph.output, *self.start.inputs)}
        every = {**self.model.weights, **self.ops.constants}
        weights = {name: w for name, w in every.items() if name in used}
        self._keep_inputs()
        self.proto.ir_version = min(max(self.proto.ir_version, 8), MAX_IR)
        strip(self.proto, weights)
        sort_nodes(graph, self.model.name)
        self.proto.producer_name = "backtrace-onnx"
        helper.set_model_props(
            self.proto,
            {
                **{p.key: p.value for p in self.proto.metadata_props},
                "backtrace.mode": self.question.method.name,
                "backtrace.output": self.question.output,
                "backtrace.task": self.question.task,
            },
        )
        how = (self.plan, self.books, tuple(self.sloped))
        return Compiled(self.proto, weights, self.model.folder, *how)

    def _keep_inputs(self) -> None:
        """Drop weights from the inputs, where old files list them: nobody may override them."""
        kept = [value for value in self.proto.graph.input if value.name not in self.model.weights]
        del self.proto.graph.input[:]
        self.proto.graph.input.extend(kept)


def _reaching(graph: Graph, output: str) -> Graph:
    nodes = tuple(graph.ancestors(output))[::-1]
    outputs = graph.outputs if output in graph.outputs else (output,)
    return replace(graph, nodes=nodes, outputs=outputs)


def _nodes_of(model: Model, plan: Plan) -> WrittenNodes:
    return WrittenNodes(model.proto.graph.node, plan.graph.constants)


def _numpy_type(kind: TensorType) -> np.dtype[Any]:
    return np.dtype(np.float64 if kind.dtype == TensorProto.DOUBLE else np.float32)
