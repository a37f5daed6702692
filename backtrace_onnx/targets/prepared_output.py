"""A model as it is prepared for explaining one of its tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy.typing as npt

from backtrace_onnx.graph.token_tensors import find_text_tokens
from backtrace_onnx.model.loading import Model
from backtrace_onnx.ops.method import Method
from backtrace_onnx.propagation.part_runs import PartRuns
from backtrace_onnx.propagation.parts import WalkParts, find_parts
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.rests import rests_among
from backtrace_onnx.propagation.tensor_sizes import TensorSizes
from backtrace_onnx.propagation.trace import Trace
from backtrace_onnx.propagation.traced_tensors import Asked, asked_by_nodes
from backtrace_onnx.targets.heads import Head
from backtrace_onnx.targets.question import Question

Array = npt.NDArray[Any]


@dataclass
class PreparedOutput:
    """What explaining one tensor needs of the model.

    Attributes:
        model: the model that runs, which returns every tensor that the walk back reads.
        plan: how relevance is handed on by each node on the way from the tensor to the inputs.
        trace: runs the model and keeps these tensors.
        head: the function of scores that the tensor is.
    """

    model: Model
    plan: Plan
    trace: Trace
    head: Head
    _parts: dict[tuple[Any, ...], WalkParts | None] = field(
        default_factory=dict, init=False, repr=False
    )
    _asked: dict[tuple[Any, ...], tuple[Asked, ...]] = field(
        default_factory=dict, init=False, repr=False
    )

    def trace_of(
        self,
        method: Method,
        *,
        booked: bool = True,
        also: Iterable[str] = (),
        weighed: Collection[str] = (),
    ) -> Trace:
        """The run that keeps what a walk of the method asks for.

        Args:
            booked: whether the walk keeps books.
            also: tensors that are kept, too.
            weighed: tensors that it weighs by their values, whoever reads them.
        """
        start, own = self.head.output, self._weighed(weighed)
        how: Any = {"start": start, "booked": booked, "weighed": own}
        return self.trace.of(self.plan, method, self._extra.union(also), **how)

    def weighed(self, question: Question) -> frozenset[str]:
        """Tensors that the question asks for, and which books need not weigh otherwise."""
        return self._weighed(self._asked_for(question))

    def trace_for(self, question: Question, feeds: Mapping[str, Array]) -> Trace | PartRuns:
        """The run for a walk of one question at these inputs: in parts, where they are long."""
        graph, method, booked = self.plan.graph, question.method, question.booked
        whole = self._asked_for(question)
        key = (method, booked, whole, *((name, x.shape) for name, x in feeds.items()))
        if key not in self._parts:
            self._parts[key] = self._parts_of(method, feeds, whole, booked=booked)
        parts = self._parts[key]
        if parts is None:
            return self.trace_of(method, booked=booked, weighed=whole)
        self.trace.close()  # it holds all weights, and is not asked here
        return PartRuns(parts, self.model, graph, self._extra, self.trace.runtime)

    def _weighed(self, tensors: Collection[str]) -> frozenset[str]:
        """Those of the tensors, and of those of the head, that books need not weigh otherwise."""
        return rests_among(self.plan, self._of_head.union(tensors))

    @cached_property
    def _of_head(self) -> frozenset[str]:
        """Tensors of the head, which walks read as something else."""
        nodes = [part.node for part in self.head.parts]
        own = {name for node in nodes for name in (*node.inputs, *node.outputs)}
        return frozenset(own.union(part.made for part in self.head.parts))

    def _asked_for(self, question: Question) -> frozenset[str]:
        """Tensors that are kept, or that have conditions."""
        kept = (self.plan.graph.aliases.get(name, name) for name in question.keep)
        return frozenset(kept).union(condition.tensor for condition in question.through)

    def _parts_of(
        self, method: Method, feeds: Mapping[str, Array], whole: frozenset[str], *, booked: bool
    ) -> WalkParts | None:
        weighed = self._weighed(whole)
        key = (method, booked, weighed)
        if key not in self._asked:
            how: Any = {"start": self.head.output, "booked": booked, "weighed": weighed}
            self._asked[key] = tuple(asked_by_nodes(self.plan, method, **how))
        sizes = TensorSizes(self.plan.graph, feeds)
        return find_parts(self.plan, method, sizes, self._asked[key], whole)

    @property
    def _extra(self) -> frozenset[str]:
        """What is read of the run beside what the walk asks for."""
        return frozenset(self.head.needs(self.plan.graph) | set(self.tokens))

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tensors that hold the tokens which the model cuts texts into."""
        found = find_text_tokens(self.plan.graph).values()
        return tuple(dict.fromkeys(name for names in found for name in names))
