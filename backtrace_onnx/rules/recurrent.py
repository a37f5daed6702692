"""LSTM, GRU and RNN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from backtrace_onnx.errors import RuleError
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.ops.op import Op
from backtrace_onnx.rules.registry import lookup, rule
from backtrace_onnx.structures.activations import Activation, activations
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.cells import Cell
from backtrace_onnx.structures.equation_writer import Writer
from backtrace_onnx.structures.gru import GRU
from backtrace_onnx.structures.lstm import LSTM
from backtrace_onnx.structures.recurrent import Recurrent
from backtrace_onnx.structures.rnn import RNN

_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}

MakeCell = Callable[[tuple[Activation, ...], int, float | None], Cell]


@rule("LSTM")
def lstm(op: Op) -> Structure:
    """Relevance goes through the equations of the cell, from the last step to the first."""
    coupled = bool(op.attribute("input_forget", 0))

    def make(functions: tuple[Activation, ...], hidden: int, clip: float | None) -> Cell:
        return LSTM(functions, hidden, clip, coupled)

    return _recurrent(op, ("Sigmoid", "Tanh", "Tanh"), make, ("h", "c"))


@rule("GRU")
def gru(op: Op) -> Structure:
    """Relevance goes through the equations of the cell, from the last step to the first."""
    after = bool(op.attribute("linear_before_reset", 0))

    def make(functions: tuple[Activation, ...], hidden: int, clip: float | None) -> Cell:
        return GRU(functions, hidden, clip, after)

    return _recurrent(op, ("Sigmoid", "Tanh"), make, ("h",))


@rule("RNN")
def rnn(op: Op) -> Structure:
    """Relevance goes through the equations of the cell, from the last step to the first."""
    return _recurrent(op, ("Tanh",), RNN, ("h",))


def _recurrent(
    op: Op, functions: tuple[str, ...], make: MakeCell, states: tuple[str, ...]
) -> Structure:
    """A cell for each direction, with its own activations."""
    if not op.carries(0):
        raise RuleError(
            f"{op.node.operator} node {op.node.name!r}: its sequence depends on no input, only "
            "its states do; make the sequence an input"
        )
    backwards = _DIRECTIONS[op.attribute("direction", "forward")]
    names: tuple[str, ...] = op.attribute("activations") or functions * len(backwards)
    made = activations(
        names, op.attribute("activation_alpha") or (), op.attribute("activation_beta") or ()
    )
    clip, hidden = op.attribute("clip"), _hidden(op)
    count = len(functions)
    cells = []
    for d in range(len(backwards)):
        cell = make(tuple(made[d * count : (d + 1) * count]), hidden, clip or None)
        writer = Writer(
            f"{op.node.name}/{d}", _structure, cell.activations, hidden, cell.clip, _weights(op)
        )
        cells.append(replace(cell, equations=writer.written(cell.write(writer))))
    shape = op.type(0).shape
    return Recurrent(tuple(cells), backwards, states, alone=shape is not None and shape[1] == 1)


def _structure(node: Node) -> Structure:
    """What a node of a step is, by its operator's own rule."""
    found = lookup(node.domain, node.op_type, node.version)
    assert found is not None
    graph = Graph((node,), node.inputs, node.outputs, {}, {}, {"": node.version})
    return found.build(Op(node, graph, frozenset(node.inputs)))


def _weights(op: Op) -> frozenset[str]:
    """Names of biases and peepholes that are given."""
    biases = ("wb", "rb", "rb_n") if op.has(3) else ()
    return frozenset((*biases, *(("p_i", "p_o", "p_f") if op.has(7) else ())))


def _hidden(op: Op) -> int:
    """Length of the state. Raises RuleError where neither attribute nor weights tell."""
    given = op.attribute("hidden_size")
    if given is None:
        shape = op.type(2).shape
        given = shape[-1] if shape else None
    if not isinstance(given, int):
        raise RuleError(
            f"{op.node.operator} node {op.node.name!r}: its attribute hidden_size is missing"
        )
    return given
