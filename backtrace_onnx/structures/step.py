"""A node as its structure sees it: as the plan and the method know it, and as a step of a walk."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from backtrace_onnx.graph.graph import Node
from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.policy import Policy
from backtrace_onnx.ops.sharing import Sharing
from backtrace_onnx.ops.vocabulary import Ops, Value

Found = TypeVar("Found")

Channels: TypeAlias = list[Value]
"""Relevance of one tensor, one array per channel."""

Pieces: TypeAlias = Mapping[int, Channels]
"""What each input is sent: in its own shape, or broadcast to the output's."""


@dataclass(frozen=True)
class Reads:
    """What a structure asks a step for, by indices of the node's inputs and outputs.

    Attributes:
        values: inputs whose values it weighs, or is conditioned on.
        results: outputs whose values it asks for.
        shapes: inputs whose shapes it asks for.
        before, results_before: inputs and outputs whose values in the run of the reference it asks
            for, beside those that it weighs.
    """

    values: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    shapes: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    results_before: tuple[int, ...] = ()


class PlannedNode(Protocol):
    """What the plan and the method know of a node before anything runs."""

    node: Node
    policy: Policy
    method: Method
    gate: Gate | None

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` tells of the node, whatever the values are, known by `key`; asked once."""

    def carries(self, i: int) -> bool:
        """Whether input `i` takes relevance."""

    def moves(self, i: int) -> bool:
        """Whether input `i` is another on the line from a reference to the sample."""

    def is_constant(self, i: int) -> bool:
        """Whether input `i` is a model constant."""

    def is_gate(self, i: int) -> bool:
        """Whether input `i` descends from integers and booleans only (a mask, a length)."""

    def nonnegative(self, i: int) -> bool:
        """Whether input `i` is known to have no negative entry."""

    def infinite(self, i: int) -> bool:
        """Whether input `i` may hold infinities (it descends from a constant that does)."""

    @property
    def sharing(self) -> Sharing:
        """How this node shares where slopes travel."""

    @property
    def holds(self) -> bool:
        """Whether what divides is held, that is taken as a constant."""

    @property
    def bounded(self) -> bool:
        """Whether the slopes of the outputs are known to be finite."""


class Step(PlannedNode, Protocol):
    """One node of the reverse walk: its values, its relevance and its ledger."""

    ops: Ops
    outgoing: Sequence[Channels | None]

    @property
    def r(self) -> Channels:
        """Relevance of the first output."""

    def weighed(self, i: int) -> Value:
        """What input `i` contributes by: its value, or, where the method compares, the difference
        to its value for the reference. Floats have the dtype of the relevance."""

    def condition(self, i: int) -> Value:
        """Value of input `i` as that which says how relevance is handed on: a weight, a mask, an
        index, a statistic, the place at which a slope is taken. Floats as above."""

    def exact(self, i: int) -> Value:
        """Value of input `i` in its own dtype, as thresholds must be compared with it."""

    def result(self, i: int = 0) -> Value:
        """Value of output `i`."""

    def before(self, i: int) -> Value:
        """The condition `i` in the run of the reference."""

    def exact_before(self, i: int) -> Value:
        """Value of input `i` in the run of the reference, or background, in its own dtype."""

    def result_before(self) -> Value:
        """Value of the first output in the run of the reference."""

    def tensor(self, name: str) -> Value:
        """Value of a tensor by name."""

    def shape(self, i: int) -> Value:
        """Shape of input `i`, int64[rank]."""

    def sample_axis(self, tensor: str | None = None) -> int | None:
        """Axis of a tensor, the first output unless named, along which samples lie."""

    def stabilised(self) -> Value:
        """The slope of the first output, damped where the output is next to 0 (LRP-epsilon); what
        it is worth less is booked as unassigned."""

    def book(self, kind: str, channel: int, total: Value | None) -> None:
        """Enter a total per sample under "constants" or "unassigned"."""
