"""The backend that writes: every operation becomes a plain ONNX node, a loop over steps a Scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onnx import GraphProto, TensorProto, ValueInfoProto, helper

from backtrace_onnx.backends.node_writer import NodeWriter
from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.model.topology import living
from backtrace_onnx.ops.vocabulary import Value

_COMPARISONS = frozenset({"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"})
_TRUTHS = _COMPARISONS | {"Not", "And", "Or", "Xor", "IsInf", "IsNaN"}
_ARITHMETIC = frozenset({"Abs", "Add", "Div", "Exp", "Max", "Min", "Mul", "Neg", "Sign", "Sub"})
_ELEMENTWISE = _TRUTHS | _ARITHMETIC | {"Cast", "Relu", "Where"}

StepText = Callable[..., tuple[Sequence[Value], Sequence[Value]]]
"""`(ops, carried, *rows) -> (carried, outputs)`."""


class EmitOps(NodeWriter):
    """The emitting backend: every call appends nodes to the graph that is being written."""

    def scan(
        self,
        text: StepText,
        carried: Sequence[Value],
        stacked: Sequence[Value],
        *,
        back: bool = False,
    ) -> tuple[list[Value], list[Value]]:
        step = StepOps(self, stacked)
        after, outputs = text(step, [step.state() for _ in carried], *step.rows)
        return step.close(carried, after, outputs, back)

    def either(self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        branches = {"then_branch": self._branch(yes), "else_branch": self._branch(no)}
        made: Value = self.op("If", (condition,), branches)
        return made

    def _branch(self, text: Callable[[], Value]) -> GraphProto:
        """What a text writes, as a graph of its own that makes one tensor."""
        nodes, written = self.nodes, dict(self._written)
        self.nodes = []
        try:
            made = self.output(text(), self.fresh("made"))
            body = living(self.nodes, {made})
        finally:
            self.nodes, self._written = nodes, written
        info = helper.make_tensor_value_info(made, self.float_type, None)
        return helper.make_graph(body, self.fresh("branch"), [], [info])


class StepOps(EmitOps):
    """Writes the text of one step.

    What does not depend on what is carried, and is elementwise, is written outside for all steps
    at once; the body reads a row of it. Factors from outside, one after another, are one factor.
    """

    def __init__(self, outer: EmitOps, stacked: Sequence[Value]) -> None:
        super().__init__(outer.dtype)
        self._outer, self.scopes = outer, outer.scopes
        self._inside: set[str] = set()
        self._rows: dict[str, str] = {}
        self._types: dict[str, int] = {}
        self._states: list[str] = []
        self._scaled: dict[str, tuple[Symbol, Value]] = {}
        self.rows = [self.symbol(x) for x in stacked]
        self._stacked = {row.name for row in self.rows}

    def fresh(self, last: str) -> str:
        return self._outer.fresh(last)

    def symbol(self, x: Value) -> Symbol:
        if isinstance(x, Symbol) and x.ops is self:
            return x
        outside = self._outer.symbol(x)
        return Symbol(self, outside.name, outside.sign)

    def state(self) -> Symbol:
        """One more tensor that is carried from step to step."""
        self._states.append(self.fresh("state"))
        self._inside.add(self._states[-1])
        return Symbol(self, self._states[-1])

    def op(
        self,
        op_type: str,
        inputs: Sequence[Value],
        attributes: dict[str, Any] | None = None,
        outputs: int = 1,
        domain: str = "",
    ) -> Value:
        names = {self.symbol(x).name for x in inputs if x is not None}
        stacked = bool(names & self._stacked)
        if op_type in ("Mul", "Div") and names & self._inside and names - self._inside:
            scaled = self._scale(op_type, *map(self.symbol, inputs))
            if scaled is not None:
                return scaled
        if names & self._inside or (stacked and op_type not in _ELEMENTWISE):
            rows = [None if x is None else Symbol(self, self._row(self.symbol(x))) for x in inputs]
            made = super().op(op_type, rows, attributes, outputs, domain)
            self._inside.update(x.name for x in (made if outputs > 1 else (made,)))
            return made
        made = self._outer.op(op_type, [self._outside(x) for x in inputs], attributes, outputs)
        found = tuple(self.symbol(x) for x in (made if outputs > 1 else (made,)))
        if stacked:
            self._stacked.update(x.name for x in found)
        self._types.update(dict.fromkeys((x.name for x in found), self._type(op_type, attributes)))
        return found if outputs > 1 else found[0]

    def _scale(self, op_type: str, x: Symbol, y: Symbol) -> Symbol | None:
        """A product with a factor from outside, not written yet; None where it is no such thing."""
        if x.name not in self._inside:
            x, y = y, x
            if op_type == "Div":
                return None
        source, factor = self._scaled.get(x.name, (x, self.scalar(1)))
        is_first = x.name not in self._scaled and op_type == "Mul"
        made = Symbol(self, self.fresh("scaled"))
        self._scaled[made.name] = source, y if is_first else self.op(op_type, (factor, y))
        self._inside.add(made.name)
        return made

    def _whole(self, x: Symbol) -> Symbol:
        """A tensor of the body, written if it was not yet."""
        if x.name not in self._scaled:
            return x
        source, factor = self._scaled[x.name]
        factor = Symbol(self, self._row(self.symbol(factor)))
        made: Symbol = super().op("Mul", (source, factor))
        self._inside.add(made.name)
        return made

    def _outside(self, x: Value) -> Value:
        return Symbol(self._outer, x.name, x.sign) if isinstance(x, Symbol) else x

    def _type(self, op_type: str, attributes: dict[str, Any] | None) -> int:
        if op_type in _TRUTHS:
            return TensorProto.BOOL
        return int((attributes or {}).get("to", self.float_type))

    def _row(self, x: Symbol) -> str:
        """Name by which the body reads a tensor: a row of what is stacked, all else as it is."""
        if x.name not in self._stacked:
            return self._whole(x).name
        if x.name not in self._rows:
            self._rows[x.name] = self.fresh("row")
        return self._rows[x.name]

    def close(
        self, start: Sequence[Value], after: Sequence[Value], outputs: Sequence[Value], back: bool
    ) -> tuple[list[Value], list[Value]]:
        """Write the Scan. Returns what is carried in the end, and the outputs stacked."""
        results = self._results([*after, *outputs])
        alive = living(self.nodes, set(results))
        read = {name for node in alive for name in node.input}
        rows = {x: row for x, row in self._rows.items() if row in read}
        body = helper.make_graph(
            alive,
            self.fresh("body"),
            [
                *(self._info(name) for name in self._states),
                *(self._info(row, self._types.get(x)) for x, row in rows.items()),
            ],
            [self._info(name) for name in results],
        )
        label = self.fresh("Scan")
        made = [f"{label}:{i}" if i else label for i in range(len(results))]
        names = [*(self._outer.symbol(x).name for x in start), *rows]
        directions = [int(back)]
        self._outer.nodes.append(
            helper.make_node(
                "Scan",
                names,
                made,
                name=label,
                body=body,
                num_scan_inputs=len(rows),
                scan_input_directions=directions * len(rows),
                scan_output_directions=directions * len(outputs) or None,
            )
        )
        symbols: list[Value] = [Symbol(self._outer, name) for name in made]
        return symbols[: len(after)], symbols[len(after) :]

    def _results(self, values: Sequence[Value]) -> list[str]:
        """A name made in the body for every result, each once."""
        names: list[str] = []
        found = [self._row(self.symbol(x)) for x in values]
        made = {name for node in self.nodes for name in node.output}
        for name in found:
            if name not in made or name in names:
                copy = self.fresh("Identity")
                self.nodes.append(helper.make_node("Identity", [name], [copy], name=copy))
                name = copy
            names.append(name)
        return names

    def _info(self, name: str, element: int | None = None) -> ValueInfoProto:
        return helper.make_tensor_value_info(name, element or self.float_type, None)
