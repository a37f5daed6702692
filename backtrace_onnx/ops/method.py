"""The method as data: what travels back, and what every kind of operator does to it.

`default` and `contrastive` are two values of it, and so are the signed methods. Structures ask the
method of their step; none of them is written for one of its values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.sharing import Sharing
from backtrace_onnx.ops.walks import Conserved, Walks

Carrier = Literal["relevance", "slope"]
"""What travels: relevance itself, or slopes, how much of the answer a unit of a value is worth."""

Functions = Literal["derivative", "secant", "rescale"]
Products = Literal["whole", "shared"]
Softmax = Literal["jacobian", "held"]
Statistics = Literal["derivative", "held"]
Reported = Literal["relevance", "slope"]
TreeRule = Literal["refused", "paths", "visits", "recounted", "background", "pairs"]


@dataclass(frozen=True)
class Method:
    """How an explanation is computed. All but `policy` concerns methods that carry slopes.

    Attributes:
        name: the `mode` users ask for.
        policy: how units share relevance; of slopes, that there is one signed channel.
        carrier: what travels back.
        functions: elementwise functions hand on their derivative, the secant from 0 (what f(0) is
            worth is a bias then), or "rescale": the secant from a reference, to which everything
            is compared. Other functions that bend then hand on their mean slope on the line from
            the reference to the sample.
        products: an operand of a product of data is handed the whole adjoint, or its share of it.
        softmax: a softmax hands on by its Jacobian, or nothing.
        statistics: what divides (a divisor, the deviation of a normalisation) is differentiated,
            or held, that is taken as a constant.
        epsilon: stabiliser of linear units, relative to the root mean square of a sample's units.
        reported: what is told of a tensor: its value times its slope, or the slope.
        trees: decision trees have no slope: they are refused; or features are credited with what
            their splits change on the way to the leaf ("paths"), or with their Shapley values,
            where an absent one is what visits of the nodes say ("visits", those in the file, or
            "recounted" over a background), that of a background's rows, or the reference's
            ("pairs").
        composite: which rule holds at which linear node: what is meant, and how it shares.
        walks: what is made of several walks of this method, where it is not one.
        spans: whether this is one of several walks whose slopes are taken at one place, and
            weighed by what values change along the part of a line around it.
    """

    name: str
    policy: Policy
    carrier: Carrier = "relevance"
    functions: Functions = "derivative"
    products: Products = "whole"
    softmax: Softmax = "jacobian"
    statistics: Statistics = "derivative"
    epsilon: float = 0.0
    reported: Reported = "relevance"
    trees: TreeRule = "refused"
    composite: tuple[tuple[str, Sharing], ...] = ()
    walks: Walks | None = None
    spans: bool = False

    @cached_property
    def compares(self) -> bool:
        """Whether values count as differences to those of a reference."""
        return self.functions == "rescale"

    @cached_property
    def differs(self) -> bool:
        """Whether what is handed on is worth differences, to which constants add nothing."""
        return self.compares or self.spans

    @cached_property
    def flows(self) -> bool:
        """Whether what travels is divided up at every node, or at every node of several walks."""
        parted = self.walks is None or self.walks.moves
        return parted and self.conserved != "nothing"

    @cached_property
    def conserved(self) -> Conserved:
        """What the ledger's parts add up to by the method's own rules."""
        if self.walks is not None:
            return self.walks.conserved
        if self.compares:
            return "difference"
        return "score" if self.carrier == "relevance" or self.functions == "secant" else "nothing"
