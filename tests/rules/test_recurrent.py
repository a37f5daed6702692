"""Native recurrent nodes are explained as their equations written out step by step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtrace_onnx import Explainer, Explanation, policy
from backtrace_onnx.errors import UnsupportedError
from backtrace_onnx.policies import POLICIES, divide, find_policy, where
from tests.cases import Case, channels, generator
from tests.checks import MODES, assert_close, gap
from tests.rules.unrolled import Net, native, random_net, unrolled

Array = npt.NDArray[Any]

TOLERANCE = {
    "epsilon(absolute=1e-6)": 2e-4
}  # divides by differences of near numbers, step after step


def start(case: Case, output: str, mode: str) -> tuple[Array, ...]:
    """Random relevance at an output."""
    y = case.session.run([output], case.feeds)[0]
    rng = generator(output, mode)
    made = rng.standard_normal((find_policy(mode).channels, *y.shape)).astype(np.float32)
    return tuple(np.abs(made) if len(made) > 1 else made)


def explained(case: Case, output: str, mode: str, r: tuple[Array, ...]) -> Explanation:
    """Explained from this relevance at that output."""
    given_start = r if len(r) > 1 else r[0]
    return case.explainer.explain(case.feeds, mode=mode, output=output, start=given_start)


def check(
    net: Net,
    modes: tuple[str, ...] = ("default", "contrastive"),
    *,
    alone: bool = False,
    **how: Any,
) -> None:
    """Native and unrolled agree in values, relevance and books, at every output."""
    ours, theirs = native(net, dynamic=not alone), unrolled(net, alone=alone, **how)
    for output in net.outputs:
        y = [case.session.run([output], case.feeds)[0] for case in (ours, theirs)]
        assert gap(*y) < 1e-5
        for mode in modes:
            r = start(ours, output, mode)
            found, wanted = (explained(case, output, mode, r) for case in (ours, theirs))
            compare(found, wanted, TOLERANCE.get(mode, 1e-5))


def compare(found: Explanation, wanted: Explanation, tolerance: float) -> None:
    """The same relevance at all inputs, and the same books."""
    names = list(wanted.inputs)
    parts = [[r for name in names for r in channels(e, name)] for e in (found, wanted)]
    assert_close(*parts, tolerance, ", ".join(names))
    books = [e.ledger.total() for e in (found, wanted)]
    assert books[0].relative_residual < 1e-5
    scale = max(float(np.abs(books[1].start).max()), 1.0) + np.abs(books[1].constants).max()
    for kind in ("constants", "unassigned"):
        a, b = (getattr(book, kind).sum(1) for book in books)
        assert np.abs(a - b).max() <= 10 * tolerance * scale, (kind, a, b)


BOTH, ALL = ("Y", "Y_h"), ("Y", "Y_h", "Y_c")
AFTER = {"linear_before_reset": 1}
NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "lstm without biases": ("LSTM", {"biases": False}),
    "lstm both ways": ("LSTM", {"direction": "bidirectional", "outputs": ALL}),
    "lstm backwards from states": ("LSTM", {"direction": "reverse", "states": "hc"}),
    "lstm last states": ("LSTM", {"states": "hc", "outputs": ("Y_h", "Y_c")}),
    "lstm from c alone": ("LSTM", {"states": "c"}),
    "lstm of one step": ("LSTM", {"steps": 1}),
    "lstm with coupled gates": ("LSTM", {"attributes": {"input_forget": 1}}),
    "lstm with peepholes": ("LSTM", {"peepholes": True, "states": "hc", "outputs": ("Y", "Y_c")}),
    "lstm with peepholes from 0": ("LSTM", {"peepholes": True}),
    "lstm clipped": ("LSTM", {"attributes": {"clip": 0.5}}),
    "lstm of lengths": ("LSTM", {"lengths": [2, 4], "outputs": ALL, "states": "hc"}),
    "lstm of no steps": ("LSTM", {"lengths": [0, 3], "states": "hc", "outputs": ALL}),
    "gru of no steps": ("GRU", {"lengths": [3, 0], "direction": "reverse", "outputs": BOTH}),
    "lstm of lengths, both ways": ("LSTM", {"lengths": [4, 1], "direction": "bidirectional"}),
    "gru": ("GRU", {"outputs": BOTH}),
    "gru, reset after": ("GRU", {"attributes": AFTER, "outputs": BOTH}),
    "gru both ways from states": ("GRU", {"direction": "bidirectional", "states": "h"}),
    "gru, reset after, of lengths": (
        "GRU",
        {"attributes": AFTER, "direction": "reverse", "states": "h", "lengths": [1, 3]},
    ),
    "rnn": ("RNN", {"outputs": BOTH}),
    "rnn both ways": ("RNN", {"direction": "bidirectional", "states": "h"}),
}


@pytest.mark.parametrize("name", sorted(NETS))
def test_unrolled(name: str) -> None:
    """Every kind of node."""
    op, options = NETS[name]
    check(random_net(op, **options))


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_epsilon(op: str) -> None:
    """A policy that reads sums only."""
    check(random_net(op, hidden=3, outputs=BOTH), ("epsilon(absolute=1e-6)",))


@pytest.mark.parametrize("name", ["lstm", "lstm with peepholes", "gru", "rnn"])
def test_wide(name: str) -> None:
    """Weights that sessions keep beside their text are read inside of its Scan."""
    op, options = NETS[name]
    check(random_net(op, **{**options, "hidden": 40}), ("default",))


CONSTANT = [
    ("LSTM", "hc", {"direction": "bidirectional"}),
    ("LSTM", "h", {}),
    ("LSTM", "c", {}),
    ("LSTM", "hc", {"peepholes": True}),
    ("LSTM", "h", {"peepholes": True}),
    ("LSTM", "c", {"peepholes": True}),
    ("GRU", "h", {}),
    ("GRU", "h", {"attributes": AFTER}),
    ("RNN", "h", {}),
]


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(("op", "constant", "options"), CONSTANT)
def test_constant_states(op: str, constant: str, options: dict[str, Any], alone: bool) -> None:
    """A constant first state takes nothing; its product is a bias, and part of the input's one
    where the sequence is known to be alone."""
    states, batch = "hc" if op == "LSTM" else "h", 1 if alone else 2
    net = random_net(op, states=states, batch=batch, constant=frozenset(constant), **options)
    check(net, alone=alone)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("name", ["lstm", "lstm with peepholes", "gru", "gru, reset after", "rnn"])
def test_written_otherwise(name: str, alone: bool) -> None:
    """Biases behind the sum of the products, interpolation by one product."""
    op, options = NETS[name]
    batch = 1 if alone else 2
    net = random_net(op, **{**options, "batch": batch, "hidden": 3})
    if net.b is not None and op != "GRU":
        net.b[:, net.b.shape[1] // 2 :] = 0
    check(net, MODES, alone=alone, otherwise=True)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_alone(op: str) -> None:
    """One sequence from no state at all."""
    check(random_net(op, batch=1, direction="bidirectional"), alone=True)


DATA = [
    ("LSTM", "wrb", {}),
    ("LSTM", "wrbp", {"peepholes": True, "states": "hc"}),
    ("LSTM", "p", {"peepholes": True, "attributes": {"input_forget": 1}}),
    ("LSTM", "b", {"states": "h"}),
    ("GRU", "wrb", {"states": "h"}),
    ("GRU", "wr", {"attributes": AFTER}),
    ("RNN", "rb", {"direction": "reverse"}),
]


@pytest.mark.parametrize(("op", "data", "options"), DATA)
def test_weights_that_are_data(op: str, data: str, options: dict[str, Any]) -> None:
    """Weights, biases and peepholes take their share where they are inputs."""
    check(random_net(op, data=frozenset(data), **options))


FUNCTIONS = [
    ("HardSigmoid", "Softsign", "LeakyRelu"),
    ("Sigmoid", "ScaledTanh", "Elu"),
    ("Softplus", "ThresholdedRelu", "Relu"),
]


@pytest.mark.parametrize("functions", FUNCTIONS)
def test_activations(functions: tuple[str, ...]) -> None:
    """Activations pass; their parameters are taken in turn."""
    takes = {"HardSigmoid": "ab", "LeakyRelu": "a", "ScaledTanh": "ab", "Elu": "a"}
    takes["ThresholdedRelu"] = "a"
    given_parameters = "".join(takes.get(f, "") for f in functions)
    attributes: dict[str, Any] = {"activations": list(functions)}
    if "a" in given_parameters:
        attributes["activation_alpha"] = [0.3, 0.2, 0.1][: given_parameters.count("a")]
    if "b" in given_parameters:
        attributes["activation_beta"] = [0.6, 0.4][: given_parameters.count("b")]
    check(random_net("LSTM", attributes=attributes))


@given(st.data())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_any_shape(data: st.DataObject) -> None:
    """Sizes, directions, lengths, states and biases as they come."""
    op = data.draw(st.sampled_from(["LSTM", "GRU", "RNN"]))
    steps, batch = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    some = st.lists(st.integers(0, steps), min_size=batch, max_size=batch).filter(any)
    net = random_net(
        op,
        steps=steps,
        batch=batch,
        inputs=data.draw(st.integers(1, 3)),
        hidden=data.draw(st.integers(1, 5)),
        direction=data.draw(st.sampled_from(["forward", "reverse", "bidirectional"])),
        biases=data.draw(st.booleans()),
        lengths=data.draw(st.none() | some),
        states=data.draw(st.sampled_from(["", "h", "hc"] if op == "LSTM" else ["", "h"])),
        outputs=(data.draw(st.sampled_from(["Y", "Y_h"])),),
        seed=data.draw(st.integers(0, 5)),
    )
    check(net, ("default",))


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_no_step_of_any_sequence(op: str) -> None:
    """An output of zeros hands nothing on; written out, it depends on no input."""
    case = native(random_net(op, steps=2, batch=2, lengths=[0, 0]))
    found = explained(case, "Y", "default", start(case, "Y", "default"))
    assert not any(np.any(r) for name in found.inputs for r in channels(found, name))
    assert found.ledger.total().relative_residual < 1e-5


COMPILED = [
    "lstm",
    "lstm both ways",
    "lstm last states",
    "lstm of lengths",
    "lstm of no steps",
    "lstm with coupled gates",
    "lstm with peepholes",
    "gru",
    "gru, reset after, of lengths",
    "rnn both ways",
]


@pytest.mark.parametrize("name", COMPILED)
def test_compiled(name: str) -> None:
    """The same from the compiled model, and the same books."""
    op, options = NETS[name]
    net = random_net(op, **options)
    check_compiled(net, native(net))


@pytest.mark.parametrize(("op", "options"), [("RNN", {}), ("LSTM", {"peepholes": True})])
def test_compiled_alone(op: str, options: dict[str, Any]) -> None:
    """One sequence from constant states: the first step has a bias of its own."""
    states = "hc" if op == "LSTM" else "h"
    net = random_net(op, batch=1, states=states, constant=frozenset(states), **options)
    check_compiled(net, native(net, dynamic=False))


def check_compiled(net: Net, case: Case) -> None:
    """Eager and compiled agree at the first outputs."""
    for output in net.outputs[:2]:
        for mode in MODES[:2]:
            r = start(case, output, mode)
            eager = explained(case, output, mode, r)
            compiled = Explainer(case.proto, engine="onnxruntime").explain(
                case.feeds, mode=mode, output=output, start=r if len(r) > 1 else r[0]
            )
            compare(compiled, eager, 1e-5)
            entry, other = eager.ledger["cell"], compiled.ledger["cell"]
            parts = [e.constants.sum(1) for e in (entry, other)]  # samples need an open axis
            assert np.allclose(*parts, atol=1e-4)


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_compiled_once_for_any_size(op: str, tmp_path: Path) -> None:
    """Steps and batch stay open in the compiled model."""
    import onnxruntime as ort

    net = random_net(op, direction="bidirectional", biases=True)
    case = native(net)
    case.explainer.compile(tmp_path / "m.onnx", task="start", output="Y")
    session = ort.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for steps, batch in ((1, 1), (6, 3)):
        x = generator(steps).standard_normal((steps, batch, 3)).astype(np.float32)
        r = generator("r").standard_normal((steps, 2, batch, 5)).astype(np.float32)
        (found,) = session.run(["relevance/x"], {"x": x, "start": r})
        wanted = case.explainer.explain({"x": x}, output="Y", start=r)
        assert_close([found], channels(wanted, "x"), 1e-5)


def test_batch() -> None:
    """Every sample gets what it gets alone, relevance and books."""
    net = random_net("LSTM", batch=3, direction="bidirectional")
    case = native(net)
    (r,) = start(case, "Y", "default")
    together = case.explainer.explain(net.feeds, output="Y", start=r)
    for k in range(3):
        alone = case.explainer.explain(
            {"x": net.x[:, k : k + 1]}, output="Y", start=r[:, :, k : k + 1]
        )
        parts = [channels(together, "x")[0][:, k : k + 1]]
        assert_close(parts, channels(alone, "x"), 1e-5)


@pytest.fixture
def own_policy() -> Iterator[str]:
    """A policy of three kinds of numbers that the kernels have never seen."""

    @policy("leaning", reading="split")
    def leaning(p: Any, n: Any, b: Any, r: Any) -> Any:
        """Twice as much to what agrees with the relevance's sign."""
        mass = where(r > 0, 2 * p + n, p + 2 * n) + abs(b)
        a = divide(r, mass)
        return ((where(r > 0, 2 * a, a), where(r > 0, a, 2 * a), a * abs(b)),)

    yield "leaning"
    del POLICIES["leaning"]


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_own_policy(op: str, own_policy: str) -> None:
    """A policy that is not proportional to relevance is asked at every step."""
    net = random_net(op, states="h")
    check(net, (own_policy,))
    case = native(net)
    r = start(case, "Y", own_policy)
    compiled = Explainer(case.proto, engine="onnxruntime")
    again = compiled.explain(case.feeds, mode=own_policy, output="Y", start=r[0])
    compare(again, explained(case, "Y", own_policy, r), 1e-5)


def test_silence() -> None:
    """Without any mass nothing is sent, and nothing is lost."""
    net = random_net("LSTM", biases=False)
    net.x[:] = 0
    case = native(net)
    for mode in MODES:
        found = explained(case, "Y", mode, start(case, "Y", mode))
        assert not channels(found, "x")[0].any()
        assert found.ledger.total().relative_residual < 1e-6


def test_unused_sequence_output() -> None:
    """The states of every step are computed where the node does not return them."""
    net = random_net("LSTM", outputs=("Y_h",))
    assert native(net).proto.graph.node[0].output[0] == ""
    check(net)


def test_refused() -> None:
    """A sequence that depends on no input has no rule yet."""
    net = random_net("LSTM", states="hc", batch=2)
    case = native(net)
    constant = case.proto.graph.initializer.add()
    constant.CopyFrom(_initializer("x", net.x))
    del case.proto.graph.input[0]
    with pytest.raises(UnsupportedError, match="sequence"):
        Explainer(case.proto).explain({"h": net.h, "c": net.c}, output="Y")


def _initializer(name: str, x: Array) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(x, name)


def test_torch(tmp_path: Path) -> None:
    """An exported nn.LSTM is explained as the same layers exported step by step."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(4, 5, num_layers=2, bidirectional=True, batch_first=True).eval()

    class Last(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = lstm

        def forward(self, x: Any) -> Any:
            return self.lstm(x)[0][:, -1]

    class Written(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = lstm

        def forward(self, x: Any) -> Any:
            steps = list(x.unbind(1))
            for layer in ("l0", "l1"):
                ways = [self.way(steps, layer), self.way(steps[::-1], f"{layer}_reverse")[::-1]]
                steps = [torch.cat(pair, 1) for pair in zip(*ways, strict=True)]
            return steps[-1]

        def way(self, steps: list[Any], name: str) -> list[Any]:
            kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            w, r, wb, rb = (getattr(self.lstm, f"{kind}_{name}") for kind in kinds)
            h = c = torch.zeros(len(steps[0]), 5)
            made = []
            for x in steps:
                linear = torch.nn.functional.linear
                i, f, g, o = (linear(x, w, wb) + linear(h, r, rb)).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                made.append(h)
            return made

    x, path = torch.randn(2, 4, 4), tmp_path / "m.onnx"
    found = []
    for module in (Last(), Written()):
        _export(module, x, path)
        found.append(Explainer(path).explain(x.numpy(), mode="contrastive", target=3))
    assert {n.op_type for n in onnx.load(path).graph.node}.isdisjoint({"LSTM"})
    assert_close(*(channels(e, "x") for e in found), 1e-5)


def test_torch_cells(tmp_path: Path) -> None:
    """An exported nn.GRUCell, which torch takes apart, is explained as ONNX's GRU."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(3, 5).eval()

    class Steps(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Any) -> Any:
            h = self.cell(x[0])
            for row in x[1:]:
                h = self.cell(row, h)
            return h

    path, x = tmp_path / "m.onnx", torch.randn(3, 2, 3)
    _export(Steps(), x, path)
    assert "GRU" not in {n.op_type for n in onnx.load(path).graph.node}
    w, r, *biases = (p.detach().numpy() for p in cell.parameters())
    turned = [_in_order(p)[None] for p in (w, r, np.concatenate(biases))]
    net = Net("GRU", x.numpy(), *turned, attributes=AFTER, outputs=("Y_h",))
    for mode in MODES:
        case = native(net)
        r_h = start(case, "Y_h", mode)
        wanted = explained(case, "Y_h", mode, r_h)
        begun = tuple(part[0] for part in r_h)
        found = Explainer(path).explain(
            net.x, mode=mode, start=begun if len(begun) > 1 else begun[0]
        )
        assert_close(channels(found, "x"), channels(wanted, "x"), TOLERANCE.get(mode, 1e-5))


def _export(module: Any, x: Any, path: Path) -> None:
    """Write a torch module as a file, without what its exporter warns of."""
    torch = pytest.importorskip("torch")
    options = {"input_names": ["x"], "external_data": False, "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (x,), str(path), dynamo=True, **options)


def _in_order(weight: Array) -> Array:
    """Rows for r, z, n as rows for z, r, n, of one weight or of two biases."""
    parts = [weight.reshape(-1, 3, 5, *weight.shape[1:])[:, gate] for gate in (1, 0, 2)]
    return np.stack(parts, 1).reshape(weight.shape)
