"""The books of a node where slopes travel: they hold what slopes are worth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.propagation.known_totals import KnownTotal, entries_of, total_of
from backtrace_onnx.propagation.node_step import NodeStep
from backtrace_onnx.propagation.real_numbers import reader_of
from backtrace_onnx.propagation.values import before, read_tensor, read_weighed
from backtrace_onnx.structures.base import Channels

Worths: TypeAlias = dict[str, tuple[str, Value, Value]]
"""By tensor what stands for it, a slope that it was sent, and what that is worth."""


def times(number: Value, slopes: Channels, ops: Ops) -> Channels:
    """What slopes are worth where a tensor contributes by these numbers."""
    return [ops.Mul(number, m) for m in slopes]


class BookedSlopes(NodeStep):
    """A node at whose outputs slopes lie, or relevance where these are ids or words.

    Args:
        related: tensors that have no slope: they are sent relevance.
        worths: of tensors whose maker is still to come; each slope is weighed once.
    """

    _silent = False
    _resting: int | None = None
    _of_outputs: list[Channels | None] | None = None

    def __init__(self, *given: Any, related: set[str], worths: Worths) -> None:
        super().__init__(*given)
        self._related, self._worths = related, worths
        self._earlier: Worths = {}

    def handed(self) -> list[Channels | None]:
        """Relevance of the outputs: values times slopes."""
        if self._of_outputs is None:
            if self.usual and len(self.outgoing) == 1:
                (r,), (name,) = self.outgoing, self.node.outputs
                self._of_outputs = [r and self.worth(name, r)]
            else:
                self._of_outputs = self._handed(self.worth)
        return self._of_outputs

    def _handed(self, worth_of: Callable[[str, Channels], Channels]) -> list[Channels | None]:
        if self.usual:
            found = zip(self.node.outputs, self.outgoing, strict=True)
            return [r and worth_of(name, r) for name, r in found]
        structure = self._plan.structures[self.node.name]
        if structure.bare and (r := self.outgoing[structure.scores]):
            scores = structure.compared_scores(self)
            worth: list[Channels | None] = [None] * len(self.outgoing)
            worth[structure.scores] = times(scores, r, self.ops)
            return worth
        unit = structure.unit(self)
        handed = []
        for name, r in zip(self.node.outputs, self.outgoing, strict=True):
            own = r and worth_of(name, r)
            if own and unit is not None:
                own = times(unit, [entries_of(x) for x in own], self.ops)
            handed.append(own)
        return handed

    def worth(self, name: str, carried: Channels) -> Channels:
        """The same as the walk's, weighed once for a tensor that this node alone reads."""
        if name in self._related:
            return carried
        return [self._worth(name, carried[0])]

    def _worth(self, name: str, m: Value) -> Value:
        """What the slope of a tensor is worth."""
        known, other = self._worths.get(name), self.counterparts[name]
        if known is None or known[1] is not m or known[0] != other:
            known = self._worths[name] = (other, m, self._products(name, other, m))
        return known[2]

    def _products(self, name: str, other: str, m: Value) -> Value:
        """Slopes of a tensor times the values of what stands for it."""
        if other != name and self._plan.opened.get(name) == other == self.node.outputs[0]:
            return self._worth(other, self.r[0])  # max(0, x): x m there is y m here
        if self.once(("plain", other), lambda: self._is_plain(other)):
            return self.ops.worth(self._values.value(other), m)
        if (
            not self.method.compares
            or self.method.spans
            or self.once(("apart", other), lambda: self._is_apart(other))
        ):
            return self.ops.worth(self._weighed(other), m)
        return self.ops.worth(self.tensor(other), m, self._before(other))

    def _is_apart(self, name: str) -> bool:
        """Whether a tensor's values are not what it contributes by."""
        return name in self._plan.infinite or reader_of(name, self._plan) is not read_weighed

    def _is_plain(self, name: str) -> bool:
        """Whether a tensor contributes by what the run made of it, as it is."""
        plan, graph = self._plan, self.graph
        made = name not in graph.constants and name not in graph.computed
        usual = name not in plan.infinite and name not in plan.undefined
        return made and usual and not self.method.differs and reader_of(name, plan) is read_weighed

    def book_piece(self, i: int, channels: Channels) -> None:
        """Enter what input `i` is sent: what that is worth, or what is left of the node's."""
        name = self.node.inputs[i]
        if name in self._related:
            super().book_piece(i, channels)
            return
        (m,), known = channels, self._worths.get(name)
        if i == self._resting:
            r = KnownTotal(self._left(), self._entries_left)
        else:
            if known is not None:
                self._earlier[name] = known
            made = self._worth(name, m)
            r = KnownTotal(total_of(made, partial(self.piece_axis, i), self.ops), made)
        self._worths[name] = (self.counterparts[name], m, r)
        if not self.carrying[i]:
            self.book(self.booked[i], 0, r.total)
            return
        self.given.append((i, [r]))
        self.books["data"][0].append(r.total)
        self.sent.setdefault(name, [[]])[0].append(r.total)

    def joined(self, name: str, present: Channels | None, sent: Channels) -> Channels:
        """What an input has of others and of this node; it is worth what both are."""
        if present is None:
            return sent
        made = super().joined(name, present, sent)
        earlier, own = self._earlier.get(name), self._worths.get(name)
        if earlier and own and earlier[1] is present[0] and own[1] is sent[0]:
            axis, other = partial(self.sample_axis, name), own[0]
            totals = [total_of(x, axis, self.ops) for x in (earlier[2], own[2])]
            entries = partial(self._products, name, other, made[0])
            self._worths[name] = (other, made[0], KnownTotal(self.ops.Add(*totals), entries))
        return made

    def settle(self) -> None:
        """Book what is left of the node's relevance, where its structure leaves a rest."""
        if self.ops.keeps_ledger:
            self.book("constants" if self.fills else "unassigned", 0, self._left())

    def _left(self) -> Value:
        """Total of what the node received and has not booked."""
        left = None
        for name, r in zip(self.node.outputs, self.handed(), strict=True):
            if r is not None:
                total = total_of(r[0], partial(self._sample_axes, name), self.ops)
                left = total if left is None else self.ops.Add(left, total)
        for kind in ("data", "constants", "unassigned"):
            for total in self.books[kind][0]:
                left = self.ops.Sub(left, total)
        return left

    def _entries_left(self) -> Value:
        """Entries of what the node received and has not given to other inputs."""
        (left,) = (entries_of(r[0]) for r in self.handed() if r is not None)
        for _, (own,) in self.given[:-1]:
            left = self.ops.Sub(left, entries_of(own))
        return left

    def book(self, kind: str, channel: int, total: Value | None) -> None:
        """Enter a total, unless it is one of what travels, not of what that is worth."""
        if not self._silent and not (kind == "constants" and self.method.differs):
            super().book(kind, channel, total)

    def weighed(self, i: int) -> Value:
        """What input `i` contributes by."""
        return self._weighed(self.node.inputs[i])

    def before(self, i: int) -> Value:
        """Value of input `i` in the run of the reference."""
        return self._before(self.node.inputs[i])

    def exact_before(self, i: int) -> Value:
        """The same in its own dtype."""
        exact: Value = before(self._values).exact(self.node.inputs[i])
        return exact

    def result_before(self) -> Value:
        """Value of the first output in the run of the reference."""
        return self._before(self.node.outputs[0])

    def _before(self, name: str) -> Value:
        return read_tensor(name, self._plan, self.ops, before(self._values))

    def _weighed(self, name: str) -> Value:
        read = self.once(("weighed", name), lambda: reader_of(name, self._plan))
        return read(name, self._plan, self.ops, self._values, self.method)


__all__ = ["BookedSlopes", "Worths", "times"]
