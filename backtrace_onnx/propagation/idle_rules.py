"""Rules of a list that say nothing of a network: a wrong name, perhaps."""

from __future__ import annotations

from backtrace_onnx.messages.notes import Note
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.methods.composites import FAMILIES, deciding
from backtrace_onnx.ops.method import Method
from backtrace_onnx.propagation.last_layer import shares
from backtrace_onnx.propagation.plan import Plan


def idle_notes(method: Method, plan: Plan) -> tuple[Note, ...]:
    """A note for each rule of a list that holds nowhere. Presets, and a rule for all layers, are
    for networks of all kinds."""
    if ": " not in method.name:
        return ()
    decided = deciding(method.composite, plan.graph, plan.carriers)
    rules = [(method.composite[i][1], name) for name, i in decided.items()]
    met = {decided[name] for sharing, name in rules if shares(plan.structures.get(name), sharing)}
    idle = [what for i, (what, _) in enumerate(method.composite) if i not in met]
    named = {node.op_type for node in plan.graph.nodes} | {n.name for n in plan.graph.nodes}
    return tuple(_note(what, named.union(FAMILIES)) for what in idle)


def _note(what: str, names: set[str]) -> Note:
    close = [] if what in names else find_alike(what, sorted(names))
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return Note(
        f"the rule for {what!r} holds nowhere: it means no node of this network that shares by "
        f"weights, or rules before it mean all of these{hint}"
    )


__all__ = ["idle_notes"]
