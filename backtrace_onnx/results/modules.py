"""Relevance by the user's own modules: the ledger's entries, added up over the module tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backtrace_onnx.graph.module_scopes import NodeScopes, Scopes, Written, places
from backtrace_onnx.propagation.ledger import Entry, Ledger, Totals
from backtrace_onnx.targets.prepared_output import PreparedOutput

By = Literal["path", "class"]


@dataclass(frozen=True)
class Module:
    """One module's books, each float64[channel, sample]; what moves inside of it does not count.

    incoming = data + constants + unassigned, up to rounding, as for a node of the ledger.

    Attributes:
        path: the module's name in the model, "" for the model itself; grouped by class: the class.
        kind: its class, "" if the file does not tell.
        incoming: relevance that nodes outside, or the start, gave to tensors made here.
        data: what went on to tensors made elsewhere, or to the model's inputs.
        constants: what its biases and constants absorbed.
        unassigned: what got to nobody in it.
    """

    path: str
    kind: str
    incoming: Totals
    data: Totals
    constants: Totals
    unassigned: Totals

    @property
    def residual(self) -> Totals:
        """incoming - data - constants - unassigned: rounding only."""
        return self.incoming - self.data - self.constants - self.unassigned


def find_scopes(
    written: Written, prepared: PreparedOutput, nodes: Iterable[str]
) -> dict[str, NodeScopes]:
    """The modules around these nodes; {} where the model's file does not tell of modules.

    Args:
        written: what the file says of its nodes.
    """
    if not written.by_name:
        return {}
    model, plan = prepared.model.proto, prepared.plan
    found = plan.remember("places", lambda: places(written, model, plan.graph))
    return {name: found[name] for name in nodes if name in found}


def modules(ledger: Ledger, places: Mapping[str, NodeScopes], by: By = "path") -> dict[str, Module]:
    """Books of every module, those around it first, in the order in which the model runs."""
    groups = {name: _groups(place.scopes, by) for name, place in places.items()}
    makers = {out: name for name, place in places.items() for out in place.outputs if out}
    nothing = np.zeros_like(ledger.total().start)
    books: dict[str, _Sums] = {}
    for name in reversed(list(ledger)):
        for path, kind in groups.get(name, {}).items():
            sums = books.setdefault(path, _Sums(kind, nothing))
            sums.enter(ledger[name])
    for name in ledger:
        for tensor, total in ledger[name].sent.items():
            for path in groups.get(name, {}).keys() & groups.get(makers.get(tensor, ""), {}).keys():
                books[path].keep(total)
    return {path: sums.module(path) for path, sums in books.items()}


class _Sums:
    """Totals of one module while they are collected."""

    def __init__(self, kind: str, nothing: Totals) -> None:
        self.kind = kind
        self.incoming, self.data = nothing.copy(), nothing.copy()
        self.constants, self.unassigned = nothing.copy(), nothing.copy()

    def enter(self, entry: Entry) -> None:
        """A node of the module."""
        self.incoming += entry.incoming
        self.data += entry.data
        self.constants += entry.constants
        self.unassigned += entry.unassigned

    def keep(self, total: Totals) -> None:
        """What one node of the module hands to another neither enters nor leaves it."""
        self.incoming -= total
        self.data -= total

    def module(self, path: str) -> Module:
        """The books, closed."""
        return Module(path, self.kind, self.incoming, self.data, self.constants, self.unassigned)


def _groups(scopes: Scopes, by: By) -> dict[str, str]:
    """Path -> class of the modules a node lies in; or its classes."""
    if by == "path":
        return dict(scopes)
    return {kind: kind for _, kind in scopes if kind}
