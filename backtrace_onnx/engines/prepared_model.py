"""A model prepared for explaining its tensors: each one that is asked for is prepared once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from backtrace_onnx.control.boundary import list_inputs
from backtrace_onnx.control.run_questions import undecided
from backtrace_onnx.control.specialise import Recent, Specialiser
from backtrace_onnx.control.straightening import straightened
from backtrace_onnx.control.survey import survey
from backtrace_onnx.engines.patched_runs import PatchedRuns, TensorReader, cut_at
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.input_checking import check_inputs
from backtrace_onnx.graph.token_tensors import find_text_tokens
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.sessions import CPU, Runtime
from backtrace_onnx.passes.pipeline import ModelGraphs, read, rewritten
from backtrace_onnx.propagation.plan import OnUnsupported, Plan, make_plan
from backtrace_onnx.propagation.trace import Trace
from backtrace_onnx.targets.head_search import find_head
from backtrace_onnx.targets.prepared_output import PreparedOutput
from backtrace_onnx.targets.tensor_choice import default_output

if TYPE_CHECKING:
    from backtrace_onnx.engines.compiled_run import CompiledRuns

Array = npt.NDArray[Any]
_SESSIONS = 2  # of the model with tensors replaced, or read, that are kept: each has its weights


class ExplainableModel(Protocol):
    """A model that can be explained."""

    @property
    def plan(self) -> Plan:
        """What is known before anything runs."""

    @property
    def graph(self) -> Graph:
        """The plan's graph."""

    def read(self, inputs: Any) -> tuple[PreparedModel, dict[str, Array]]:
        """The model as it runs on `inputs`, and these as arrays by input name, checked."""

    def straight(self) -> PreparedModel:
        """The model for all inputs. Raises CompileError where there is no such model."""


class PreparedModel:
    """A rewritten model without control flow, and what explaining each of its tensors needs.

    Raises UnsupportedError where the way from the default output meets operators without a rule.
    """

    def __init__(
        self,
        model: Model,
        on_unsupported: OnUnsupported,
        runtime: Runtime = CPU,
        *,
        as_ran: bool = False,
    ) -> None:
        """`as_ran`: control flow is written out as it ran on given inputs; on others it may not."""
        self.graphs, self.on_unsupported, self._runtime = (
            ModelGraphs(model),
            on_unsupported,
            runtime,
        )
        self.as_ran = as_ran
        graph = self.graphs.graph()
        plan = make_plan(graph, on_unsupported)
        output = default_output(graph)
        if output is not None:
            self._check(plan, output)
        self.main = self._made(plan, output or "", ())
        self._by_output: dict[str, PreparedOutput] = {}
        self._apart: Recent[PreparedOutput] = Recent()
        self._patched: Recent[PatchedRuns] = Recent(_SESSIONS)
        self._readers: Recent[TensorReader] = Recent(_SESSIONS)
        self._behind: Recent[PreparedModel] = Recent(1)
        self._lock = Lock()

    @property
    def plan(self) -> Plan:
        """How relevance is handed on from the default output."""
        return self.main.plan

    @property
    def graph(self) -> Graph:
        """The graph as the rules read it."""
        return self.plan.graph

    def read(self, inputs: Any) -> tuple[PreparedModel, dict[str, Array]]:
        """Itself, and the inputs: the model is the same for all of them."""
        return self, check_inputs(inputs, self.graph)

    def straight(self) -> PreparedModel:
        """Itself: the model is the same for all inputs."""
        return self

    @cached_property
    def compiled(self) -> CompiledRuns:
        """Runs of the compiled explanation."""
        from backtrace_onnx.engines.compiled_run import CompiledRuns

        return CompiledRuns(self.graphs, self._runtime)

    def output(self, output: str, apart: frozenset[str] = frozenset()) -> PreparedOutput:
        """What explaining the tensor `output` needs; it is prepared once.

        Args:
            apart: tensors inside of what is read as one, across which nothing is to be read so.
        """
        if apart:
            return self._apart.get((output, apart), lambda: self._inner_tensor(output, apart))
        with self._lock:
            if output not in self._by_output:
                is_output = output in self.graph.outputs
                make = self._output if is_output else self._inner_tensor
                self._by_output[output] = make(output)
            return self._by_output[output]

    def patched(self, tensors: tuple[str, ...]) -> PatchedRuns:
        """Runs in which these tensors are given, not computed."""
        made = partial(PatchedRuns, self.graphs, tensors, self._runtime)
        return self._patched.get(tensors, made)

    def values(self, feeds: Mapping[str, Array], tensors: tuple[str, ...]) -> dict[str, Any]:
        """What the model computes at these tensors, by name."""
        made = partial(TensorReader, self.graphs, tensors, self._runtime)
        return self._readers.get(tensors, made).read(feeds)

    def behind(self, tensors: Sequence[str]) -> PreparedModel:
        """What is left of the model where these tensors are inputs."""

        def made() -> PreparedModel:
            cut = cut_at(self.graphs.model, tensors, self.graphs.nodes)
            return PreparedModel(cut, self.on_unsupported, self._runtime, as_ran=self.as_ran)

        return self._behind.get(tuple(tensors), made)

    def _output(self, output: str) -> PreparedOutput:
        """The default one without the nodes behind `output`: no activation there is a gate."""
        nodes = tuple(self.graph.ancestors(output))[::-1]
        if len(nodes) == len(self.graph.nodes) and self.main.head.output == output:
            return self.main
        plan = make_plan(replace(self.graph, nodes=nodes), self.on_unsupported)
        self._check(plan, output)
        head = find_head(plan, output)
        if head.needs(plan.graph) <= {*self.main.trace.values, *self.main.trace.outputs}:
            return replace(self.main, plan=plan, head=head)
        return self._made(plan, output, ())

    def _inner_tensor(self, output: str, apart: frozenset[str] = frozenset()) -> PreparedOutput:
        whole = self.graphs.graph({output, *apart})
        nodes = tuple(whole.ancestors(output))[::-1]
        outputs = whole.outputs if output in whole.outputs else (*whole.outputs, output)
        plan = make_plan(replace(whole, nodes=nodes, outputs=outputs), self.on_unsupported)
        self._check(plan, output)
        return self._made(plan, output, () if output in whole.outputs else (output,))

    def _made(self, plan: Plan, output: str, extra: Sequence[str]) -> PreparedOutput:
        head = find_head(plan, output)
        cut = {name for names in find_text_tokens(plan.graph).values() for name in names}
        needed = head.needs(plan.graph) | cut
        asked = (*extra, *sorted(needed - set(plan.graph.outputs)))
        model = self.graphs.model
        return PreparedOutput(model, plan, Trace(model, plan, asked, self._runtime), head)

    def _check(self, plan: Plan, output: str) -> None:
        if self.on_unsupported == "error":
            plan.check(output)


class SpecialisedModel:
    """A model whose control flow depends on its inputs: another model for each way it may run.

    Raises UnsupportedError where its bodies, or what lies around them, lack rules.
    """

    def __init__(
        self, specialiser: Specialiser, on_unsupported: OnUnsupported, runtime: Runtime = CPU
    ) -> None:
        self._specialiser, self._how = specialiser, (on_unsupported, runtime)
        self.plan = survey(read(specialiser.model))
        output = default_output(self.graph)
        if output is not None and on_unsupported == "error":
            self.plan.check(output)
        specialiser.start()
        self._models: Recent[PreparedModel] = Recent()

    @property
    def graph(self) -> Graph:
        """The graph as it is before anything runs."""
        return self.plan.graph

    def read(self, inputs: Any) -> tuple[PreparedModel, dict[str, Array]]:
        """The model as it runs on `inputs`, and these as arrays by input name, checked."""
        feeds, lengths = self._specialiser.read(inputs)
        decisions, model = self._specialiser.specialised(feeds, lengths)
        made = self._models.get(decisions, lambda: PreparedModel(model, *self._how, as_ran=True))
        return made, feeds

    def straight(self) -> PreparedModel:
        """Raises CompileError: every run may take other branches."""
        raise undecided(self._specialiser.questions)


def open_model(model: Model, on_unsupported: OnUnsupported, runtime: Runtime) -> ExplainableModel:
    """Prepare a loaded model; where its control flow depends on inputs, for each way it runs."""
    specialiser = Specialiser(rewritten(model), runtime)
    if specialiser.questions:
        return SpecialisedModel(specialiser, on_unsupported, runtime)
    return PreparedModel(specialiser.model, on_unsupported, runtime)


def read_plan(model: Model, on_unsupported: OnUnsupported) -> Plan:
    """What is known of a loaded model without running it."""
    model, questions = straightened(rewritten(model))
    if questions or list_inputs(model):
        return survey(read(model))
    return make_plan(ModelGraphs(model).graph(), on_unsupported)
