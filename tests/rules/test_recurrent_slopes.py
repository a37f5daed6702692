"""Slopes of native recurrent nodes are those of their equations written out, and torch's own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer, Explanation
from tests.cases import Case, generator
from tests.checks import assert_close
from tests.rules.test_recurrent import AFTER, CONSTANT, DATA, FUNCTIONS, NETS
from tests.rules.unrolled import Net, native, random_net, unrolled

Array = npt.NDArray[Any]
Engine = Literal["numba", "onnxruntime"]
MODES = ("gradient", "lrp(0)", "deeplift")


def explained(case: Case, net: Net, mode: str, engine: Engine = "numba") -> Explanation:
    """From random slopes at the first output, compared with a random baseline where it compares."""
    output = net.outputs[0]
    y = case.session.run([output], case.feeds)[0]
    start = generator(output).standard_normal(y.shape).astype(np.float32)
    how: dict[str, Any] = {}
    if mode == "deeplift":
        rng = generator("baseline")
        moved = {k: 0.5 * rng.standard_normal(x.shape) for k, x in net.feeds.items()}
        how["baseline"] = {k: x.astype(np.float32) for k, x in moved.items()}
    explainer = Explainer(case.proto, engine=engine)
    made = explainer.explain(case.feeds, mode=mode, output=output, start=start, **how)
    assert isinstance(made, Explanation)
    return made


def compare(found: Explanation, wanted: Explanation, tolerance: float = 1e-5) -> None:
    """The same of all inputs, and the same books."""
    for name in wanted.inputs:
        assert_close([found.relevance[name]], [wanted.relevance[name]], tolerance, name)
    books = [e.ledger.total() for e in (found, wanted)]
    assert books[0].relative_residual < 1e-5
    scale = 1.0 + float(np.abs(books[1].constants).sum())
    for kind in ("constants", "unassigned"):
        a, b = (getattr(book, kind).sum() for book in books)
        assert abs(a - b) <= 10 * tolerance * scale, (kind, a, b)


def check(net: Net, *modes: str, tolerance: float = 1e-5) -> None:
    """Native and unrolled agree."""
    ours, theirs = native(net), unrolled(net)
    for mode in modes or MODES:
        compare(explained(ours, net, mode), explained(theirs, net, mode), tolerance)


@pytest.mark.parametrize("name", sorted(set(NETS) - {"lstm of no steps", "rnn both ways"}))
def test_unrolled(name: str) -> None:
    """Every kind of node."""
    op, options = NETS[name]
    check(random_net(op, **options))


@pytest.mark.parametrize(("op", "constant", "options"), CONSTANT[1:])
def test_constant_states(op: str, constant: str, options: dict[str, Any]) -> None:
    """A constant first state takes nothing, and its product with data is all the data's."""
    states = "hc" if op == "LSTM" else "h"
    check(random_net(op, states=states, constant=frozenset(constant), **options), "lrp(0)")


@pytest.mark.parametrize(("op", "data", "options"), DATA)
def test_weights_that_are_data(op: str, data: str, options: dict[str, Any]) -> None:
    """Weights, biases and peepholes have slopes where they are inputs."""
    check(random_net(op, data=frozenset(data), **options), tolerance=1e-4)


@pytest.mark.parametrize("functions", FUNCTIONS)
def test_activations(functions: tuple[str, ...]) -> None:
    """Every function hands on as the operator of ONNX that it is."""
    letters = {"HardSigmoid": "ab", "LeakyRelu": "a", "ScaledTanh": "ab", "Elu": "a"}
    letters["ThresholdedRelu"] = "a"
    taken = "".join(letters.get(name, "") for name in functions)
    attributes: dict[str, Any] = {"activations": list(functions)}
    attributes["activation_alpha"] = [0.3, 0.2, 0.1][: taken.count("a")]
    attributes["activation_beta"] = [0.6, 0.4][: taken.count("b")]
    check(random_net("LSTM", attributes={k: v for k, v in attributes.items() if v}))


STABILISED = [
    ("LSTM", {"direction": "bidirectional"}, "lrp"),
    ("RNN", {}, "lrp"),
    ("LSTM", {}, "gamma(0.25)"),
    ("GRU", {}, "gamma(0.25)"),
    ("GRU", {"attributes": AFTER}, "alphabeta"),
    ("LSTM", {}, "attnlrp"),
    ("LSTM", {}, "dense: zplus, sum: epsilon(0)"),
    ("GRU", {}, "dense: epsilon(absolute=0.1)"),
]


@pytest.mark.parametrize(("op", "options", "mode"), STABILISED)
def test_rules_of_products(op: str, options: dict[str, Any], mode: str) -> None:
    """A rule of dense layers holds for the products with weights; stabilisers know each step."""
    check(random_net(op, **options), mode, tolerance=2e-5)


@pytest.mark.parametrize("rule", ["flat", "wsquare", "box(-3, 3)"])
def test_weighed_anew(rule: str) -> None:
    """The input's product is weighed by the rule, as a Gemm's is; the state's hands on whole."""
    net = random_net("RNN", steps=1, biases=False)
    check(net, f"first: {rule}")
    longer = random_net("LSTM")
    found = explained(native(longer), longer, f"first: {rule}").ledger.total()
    assert found.relative_residual < 1e-5


@pytest.mark.parametrize("name", ["lstm both ways", "lstm with peepholes", "gru of no steps"])
@pytest.mark.parametrize("mode", ["gradient", "lrp", "gamma(0.25)"])
def test_compiled(name: str, mode: str) -> None:
    """The same from the compiled model, and the same books."""
    op, options = NETS[name]
    net = random_net(op, **options)
    case = native(net)
    compare(explained(case, net, mode, "onnxruntime"), explained(case, net, mode), 2e-5)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_differences_add_up(op: str) -> None:
    """What deeplift says of every input adds up to the difference of the outputs."""
    net = random_net(op, steps=12, hidden=16, direction="bidirectional", states="h")
    explanation = explained(native(net), net, "deeplift")
    total = explanation.ledger.total()
    gap = float(np.abs(total.inputs - total.start).sum())
    assert gap <= 1e-5 * float(np.abs(total.start).sum())


@pytest.mark.parametrize("mode", ["gradient", "lrp", "deeplift"])
def test_batch(mode: str) -> None:
    """Every sample gets what it gets alone."""
    net = random_net("GRU", batch=3)
    case = native(net)
    start = generator("y").standard_normal((4, 1, 3, 5)).astype(np.float32)
    explain = case.explainer.explain
    together = explain(net.feeds, mode=mode, output="Y", start=start)
    for k in range(3):
        part = slice(k, k + 1)
        alone = explain({"x": net.x[:, part]}, mode=mode, output="Y", start=start[:, :, part])
        assert_close([together.relevance["x"][:, part]], [alone.relevance["x"]], 1e-6)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_torch(op: str, tmp_path: Path) -> None:
    """The gradient of an exported module, layer on layer and both ways, is torch's."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    layers = getattr(torch.nn, op)(4, 6, num_layers=2, bidirectional=True, batch_first=True)

    class Read(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = layers, torch.nn.Linear(12, 3)

        def forward(self, x: Any) -> Any:
            return self.head(self.layers(x)[0][:, -1])

    module, x = Read().eval(), torch.randn(2, 9, 4, requires_grad=True)
    path = tmp_path / "m.onnx"
    options = {"input_names": ["x"], "external_data": False, "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (x.detach(),), str(path), dynamo=True, **options)
    module(x)[:, 1].sum().backward()
    for engine in ("numba", "onnxruntime"):
        explainer = Explainer(path, engine=engine)
        found = explainer.explain(x.detach().numpy(), mode="gradient", target=1)
        assert_close([found.relevance["x"]], [x.grad.numpy()], 1e-5)
