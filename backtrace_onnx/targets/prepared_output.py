"""A model as it is prepared for explaining one of its tensors."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.graph.token_tensors import find_text_tokens
from backtrace_onnx.model.loading import Model
from backtrace_onnx.ops.method import Method
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.trace import Trace
from backtrace_onnx.targets.heads import Head


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

    def trace_of(self, method: Method, *, booked: bool = True) -> Trace:
        """The run that keeps what a walk of the method asks for.

        `booked`: whether the walk keeps books.
        """
        extra = self.head.needs(self.plan.graph) | set(self.tokens)
        start = self.head.output
        return self.trace.of(self.plan, method, frozenset(extra), start=start, booked=booked)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tensors that hold the tokens which the model cuts texts into."""
        found = find_text_tokens(self.plan.graph).values()
        return tuple(dict.fromkeys(name for names in found for name in names))
