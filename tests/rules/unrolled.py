"""Recurrent nodes, and the same written out step by step in other ONNX operators: the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from tests.cases import OPSET, Case, generator, normal

Array = npt.NDArray[Any]

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


@dataclass
class Net:
    """A recurrent node with its weights.

    Attributes:
        h, c: initial states [directions, batch, hidden]; None: left out.
        constant: names among "h", "c" that are constants, not inputs.
        data: names among "w", "r", "b", "p" that are inputs, not constants.
        outputs: those of Y, Y_h, Y_c that the model has.
    """

    op: str
    x: Array
    w: Array
    r: Array
    b: Array | None = None
    p: Array | None = None
    lengths: Array | None = None
    h: Array | None = None
    c: Array | None = None
    direction: str = "forward"
    attributes: dict[str, Any] = field(default_factory=dict)
    constant: frozenset[str] = frozenset()
    data: frozenset[str] = frozenset()
    outputs: tuple[str, ...] = ("Y",)

    @property
    def hidden(self) -> int:
        return int(self.r.shape[-1])

    @property
    def feeds(self) -> dict[str, Array]:
        given = {"x": self.x}
        given |= {k: getattr(self, k) for k in "hc" if k not in self.constant}
        given |= {k: getattr(self, k) for k in "wrbp" if k in self.data}
        return {name: x for name, x in given.items() if x is not None}


def random_net(
    op: str,
    *,
    steps: int = 4,
    batch: int = 2,
    inputs: int = 3,
    hidden: int = 5,
    direction: str = "forward",
    biases: bool = True,
    states: str = "",
    peepholes: bool = False,
    lengths: Sequence[int] | None = None,
    seed: object = 0,
    **options: Any,
) -> Net:
    """A node with random weights; `states` are those of "h" and "c" that are given."""
    rng = generator("net", op, seed)
    ways, rows = 1 + (direction == "bidirectional"), GATES[op] * hidden
    start = {k: normal(rng, ways, batch, hidden) for k in states}
    return Net(
        op,
        normal(rng, steps, batch, inputs),
        normal(rng, ways, rows, inputs) * np.float32(0.7),
        normal(rng, ways, rows, hidden) * np.float32(0.7),
        normal(rng, ways, 2 * rows) * np.float32(0.5) if biases else None,
        normal(rng, ways, 3 * hidden) if peepholes else None,
        None if lengths is None else np.array(lengths, np.int32),
        direction=direction,
        **start,
        **options,
    )


def native(net: Net, *, opset: int = OPSET, dynamic: bool = True) -> Case:
    """The node itself; steps and batch are open if `dynamic`."""
    order = ["x", "w", "r", "b", "lengths", "h", "c", "p"][: 6 if net.op != "LSTM" else 8]
    names = [n if getattr(net, n) is not None else "" for n in order]
    while not names[-1]:
        names.pop()
    wanted = ["Y", "Y_h", "Y_c"][: 3 if net.op == "LSTM" else 2]
    made = [n if n in net.outputs else "" for n in wanted]
    node = helper.make_node(
        net.op,
        names,
        made,
        "cell",
        hidden_size=net.hidden,
        direction=net.direction,
        **net.attributes,
    )
    constants = {n: getattr(net, n) for n in names if n and n not in net.feeds}
    return _case(net, [node], constants, opset, dynamic)


def _case(
    net: Net,
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Array],
    opset: int,
    dynamic: bool,
) -> Case:
    open_axes = {"x": {0: "steps", 1: "batch"}, "h": {1: "batch"}, "c": {1: "batch"}}

    def info(name: str, x: Array) -> onnx.ValueInfoProto:
        opened = open_axes.get(name, {}) if dynamic else {}
        shape = [opened.get(i, n) for i, n in enumerate(x.shape)]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), shape)

    rank = {"Y": 4, "Y_h": 3, "Y_c": 3}
    graph = helper.make_graph(
        list(nodes),
        "net",
        [info(name, x) for name, x in net.feeds.items()],
        [helper.make_tensor_value_info(n, 1, [None] * rank[n]) for n in net.outputs],
        [numpy_helper.from_array(x, name) for name, x in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return Case(proto, net.feeds)


class _Writer:
    """Writes the equations of the operators' specification, step by step."""

    def __init__(self, net: Net, *, alone: bool, otherwise: bool) -> None:
        self.net, self.known, self.otherwise = net, alone, otherwise
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}

    def __getattr__(self, op_type: str) -> Any:
        def write(*inputs: str | Array, outputs: int = 1, **attributes: Any) -> Any:
            names = [self.name(x) for x in inputs]
            label = f"{op_type}{len(self.nodes)}"
            made = [f"{label}:{i}" for i in range(outputs)]
            self.nodes.append(helper.make_node(op_type, names, made, label, **attributes))
            return made if outputs > 1 else made[0]

        return write

    def name(self, x: str | Array) -> str:
        if isinstance(x, str):
            return x
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.asarray(x)
        return name

    def row(self, name: str, d: int, first: int = 0, last: int = -1) -> Any:
        """Rows of a weight of direction d: an array if it is constant, else a tensor."""
        array = getattr(self.net, name)
        if array is None:
            return None
        last = array.shape[1] if last < 0 else last
        if name not in self.net.data:
            return array[d, first:last]
        whole = self.Gather(name, np.array(d), axis=0)
        return self.Slice(whole, np.array([first]), np.array([last]), np.array([0]))

    def start(self, name: str, d: int) -> Any:
        """A state before the first step; of as many sequences as the model is given."""
        array = getattr(self.net, name)
        if array is not None and name not in self.net.constant:
            return self.Gather(name, np.array(d), axis=0)
        sizes = (self.net.x.shape[1], self.net.hidden)
        state = np.zeros(sizes, np.float32) if array is None else array[d]
        if self.known:
            return state
        batch = self.Slice(self.Shape("x"), np.array([1]), np.array([2]))
        return self.Expand(state, self.Concat(batch, np.array(sizes[1:]), axis=0))

    def gemm(self, x: Any, weight: Any, bias: Any) -> Any:
        """A Gemm; computed where nothing in it is data."""
        if all(not isinstance(v, str) for v in (x, weight, bias)):
            z = x @ weight.T if bias is None else x @ weight.T + bias
            return z[0] if (z == z[:1]).all() else z
        return self.Gemm(x, weight, *([] if bias is None else [bias]), transB=1)

    def mul(self, a: Any, b: Any) -> Any:
        if isinstance(a, str) or isinstance(b, str):
            return self.Mul(a, b)
        return a * b

    def act(self, d: int, i: int, z: str) -> str:
        count = len(FUNCTIONS[self.net.op])
        names = list(self.net.attributes.get("activations", FUNCTIONS[self.net.op] * (d + 1)))
        clip = self.net.attributes.get("clip", 0.0)
        if clip and i < 2:  # what goes into h(C) is not clipped
            z = self.Clip(z, np.array(-clip, np.float32), np.array(clip, np.float32))
        name, alpha, beta = self.parameters(names, d * count + i)
        given = {k: v for k, v in (("alpha", alpha), ("beta", beta)) if v is not None}
        if name == "ScaledTanh":
            inner = self.Tanh(self.Mul(z, np.array(beta, np.float32)))
            return str(self.Mul(inner, np.array(alpha, np.float32)))
        if name == "Affine":
            return str(self.Mul(z, np.array(alpha, np.float32)))
        return str(getattr(self, name)(z, **given))

    def parameters(self, names: Sequence[str], at: int) -> tuple[str, Any, Any]:
        """A function's name, and the next alpha and beta if it takes any."""
        takes = {"LeakyRelu": "a", "ThresholdedRelu": "a", "Elu": "a"}
        takes |= {"HardSigmoid": "ab", "ScaledTanh": "ab", "Affine": "ab"}
        given = {
            "a": iter(self.net.attributes.get("activation_alpha", ())),
            "b": iter(self.net.attributes.get("activation_beta", ())),
        }
        found: tuple[str, Any, Any] = ("", None, None)
        for name in names[: at + 1]:
            letters = takes.get(name, "")
            alpha, beta = (next(given[k], None) if k in letters else None for k in "ab")
            found = name, alpha, beta
        return found

    def lstm(self, d: int, x: str, h: Any, c: Any) -> tuple[str, str]:
        n, coupled = self.net.hidden, self.net.attributes.get("input_forget", 0)
        peep = [self.row("p", d, k * n, (k + 1) * n) for k in range(3)]
        if peep[0] is None:
            z = self.linear(d, x, h, 0, 4 * n)
            z_i, z_o, z_f, z_g = self.Split(z, axis=1, outputs=4, num_outputs=4)
        else:  # joined and split as without them: no saturation gate inside a cell
            z_i, z_o, z_f, z_g = (self.linear(d, x, h, k * n, (k + 1) * n) for k in range(4))
            z_i, z_f = self.Add(z_i, self.mul(peep[0], c)), self.Add(z_f, self.mul(peep[2], c))
            z = self.Concat(z_i, z_f, z_g, axis=1)
            z_i, z_f, z_g = self.Split(z, axis=1, outputs=3, num_outputs=3)
        i = self.act(d, 0, z_i)
        f = self.Sub(np.array(1, np.float32), i) if coupled else self.act(d, 0, z_f)
        c = self.Add(self.Mul(f, c), self.Mul(i, self.act(d, 1, z_g)))
        if peep[1] is not None:
            z_o = self.Add(z_o, self.Mul(peep[1], c))
        return self.Mul(self.act(d, 0, z_o), self.act(d, 2, c)), c

    def linear(self, d: int, x: str, h: Any, first: int, last: int) -> Any:
        """The sum of the products of the gates from `first` to `last`."""
        w, r = (self.row(k, d, first, last) for k in "wr")
        rows = self.net.w.shape[1]
        wb, rb = self.row("b", d, first, last), self.row("b", d, rows + first, rows + last)
        if self.otherwise and not rb.any():
            return self.Add(self.Sum(self.gemm(x, w, None), self.gemm(h, r, None)), wb)
        return self.Add(self.gemm(x, w, wb), self.gemm(h, r, rb))

    def gru(self, d: int, x: str, h: Any) -> str:
        n, after = self.net.hidden, self.net.attributes.get("linear_before_reset", 0)
        w, r = (lambda a, b, k=k: self.row(k, d, a, b) for k in "wr")
        parts = [(0, 2 * n), (2 * n, 3 * n)]
        biases = [self.row("b", d, a, b) for a, b in parts]
        after_biases = [self.row("b", d, 3 * n + a, 3 * n + b) for a, b in parts]
        products = (
            self.gemm(x, w(*parts[0]), biases[0]),
            self.gemm(h, r(*parts[0]), after_biases[0]),
        )
        parted = zip(*(self.halves(z) for z in products), strict=True)
        z, reset = (self.act(d, 0, self.Add(*gate)) for gate in parted)
        zx = self.gemm(x, w(*parts[1]), biases[1])
        if after:
            zh = self.mul(reset, self.gemm(h, r(*parts[1]), after_biases[1]))
        else:
            zh = self.gemm(self.mul(reset, h), r(*parts[1]), after_biases[1])
        new = self.act(d, 1, self.Add(zx, zh))
        if self.otherwise:
            return str(self.Add(self.Mul(self.Sub(h, new), z), new))
        one = np.array(1, np.float32)
        return str(self.Add(self.Mul(self.Sub(one, z), new), self.Mul(z, h)))

    def halves(self, z: Any) -> Any:
        """Two gates apart."""
        if isinstance(z, str):
            return self.Split(z, axis=1, outputs=2, num_outputs=2)
        return np.split(z, 2, -1)

    def rnn(self, d: int, x: str, h: Any) -> str:
        return self.act(d, 0, self.linear(d, x, h, 0, self.net.hidden))

    def direction(self, d: int, backwards: bool) -> dict[str, str]:
        """Y [steps, 1, batch, hidden], Y_h and Y_c [1, batch, hidden] of one direction.

        A sequence that has ended keeps its state, and its outputs are 0; onnxruntime's are all 0
        where it has no step at all.
        """
        steps, batch = self.net.x.shape[:2]
        lengths = np.full(batch, steps) if self.net.lengths is None else self.net.lengths
        states: list[list[Any]] = []
        empty = np.zeros((1, self.net.hidden), np.float32)
        outputs = {}
        for b in range(batch):
            state = {k: self._alone(self.start(k, d), b) for k in ("h", "c")}
            order = range(lengths[b])[:: -1 if backwards else 1]
            for t in order:
                x = self.Reshape(
                    self.Gather(self.Gather("x", np.array(t), axis=0), np.array([b]), axis=0),
                    np.array([1, -1]),
                )
                if self.net.op == "LSTM":
                    state["h"], state["c"] = self.lstm(d, x, state["h"], state["c"])
                else:
                    state["h"] = getattr(self, self.net.op.lower())(d, x, state["h"])
                outputs[t, b] = state["h"]
            states.append([state["h"], state["c"]] if lengths[b] else [empty, empty])
        rows = [
            self.Concat(*(outputs.get((t, b), empty) for b in range(batch)), axis=0)
            for t in range(steps)
        ]
        made = {"Y": self.Concat(*(self.Unsqueeze(x, np.array([0, 1])) for x in rows), axis=0)}
        for k, name in enumerate(("Y_h", "Y_c")[: 1 + (self.net.op == "LSTM")]):
            made[name] = self.Unsqueeze(self.Concat(*(s[k] for s in states), axis=0), np.array([0]))
        return made

    def _alone(self, start: Any, b: int) -> Any:
        """One sample's state."""
        if isinstance(start, str):
            return self.Gather(start, np.array([b]), axis=0)
        return start[b : b + 1]


def unrolled(net: Net, *, alone: bool = False, otherwise: bool = False) -> Case:
    """The node's equations for every sequence, one Gemm for the input and one for the state.

    First states that are no data are constants if the sequence is known to be `alone`. `otherwise`:
    as TensorFlow (biases of the input behind the sum) and torch (GRU interpolates by one product).
    """
    e = _Writer(net, alone=alone, otherwise=otherwise)
    ways = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[net.direction]
    parts = [e.direction(d, backwards) for d, backwards in enumerate(ways)]
    for name in net.outputs:
        axis = 1 if name == "Y" else 0
        values = [part[name] for part in parts]
        e.nodes.append(helper.make_node("Concat", values, [name], name, axis=axis))
    return _case(net, e.nodes, e.constants, OPSET, dynamic=not alone)


__all__ = ["Net", "native", "random_net", "replace", "unrolled"]
