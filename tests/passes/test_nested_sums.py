"""The same sum gets the same explanation, however it is bracketed, subtracted or interpolated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, Explanation
from tests.cases import channels
from tests.checks import MODES, assert_close
from tests.function_networks import Writer
from tests.graphs import FLOAT, check_closed, check_samples, model, node, normal
from tests.growth import check_linear

Way = Callable[[Writer], str]
X = normal(3, 4, 6, seed=9)
BIAS, PLACES = normal(6, seed=11), normal(4, 6, seed=12)
LINE = np.array([0, 0, 6])


def written(way: Way, tail: tuple[str, ...] = ()) -> bytes:
    """x[N, 4, 6] -> tensors p, q, r, row -> the sum -> functions -> MatMul."""
    g = Writer()
    made = {
        "p": g("Relu", product(g, "x", 1)),
        "q": g("Tanh", g("Add", product(g, "x", 2), normal(6, seed=3))),
        "r": g("Sigmoid", g("Mul", "x", 0.5)),
        "row": g("ReduceMean", product(g, "x", 7), np.array([1])),
    }
    g.nodes += [node("Identity", [t], [name], name) for name, t in made.items()]
    y = way(g)
    for function in tail:
        y = g(function, y)
    g.nodes.append(node("MatMul", [y, g.operand(normal(6, 3, seed=8))], ["y"], "head"))
    shapes = {"x": (FLOAT, ["N", 4, 6])}, {"y": (FLOAT, ["N", 4, 3])}
    return bytes(model(g.nodes, *shapes, g.weights).SerializeToString())


def product(g: Writer, x: str, seed: int) -> str:
    return g("MatMul", x, normal(6, 6, seed=seed) * np.float32(0.6))


def transposed(g: Writer, x: str) -> str:
    return g("Transpose", x, perm=[0, 2, 1])


SUM: dict[str, Way] = {
    "one": lambda g: g("Sum", "p", "q", "r", PLACES, g("Neg", "row")),
    "from the left": lambda g: g("Sub", g("Add", g("Add", g("Add", "p", "q"), "r"), PLACES), "row"),
    "from the right": lambda g: g(
        "Add", "p", g("Add", "q", g("Add", "r", g("Sub", PLACES, "row")))
    ),
    "in pairs": lambda g: g("Add", g("Add", "p", "q"), g("Add", PLACES, g("Sub", "r", "row"))),
    "subtracted": lambda g: g("Sub", g("Add", "p", PLACES), g("Sub", "row", g("Add", "q", "r"))),
    "negated": lambda g: g(
        "Add", "p", g("Neg", g("Sub", g("Sub", "row", "q"), g("Add", "r", PLACES)))
    ),
    "behind an Identity": lambda g: g(
        "Add", g("Identity", g("Sub", g("Sum", "p", PLACES, "q"), "row")), "r"
    ),
    "two constants": lambda g: g(
        "Add", g("Add", g("Sub", "p", "row"), PLACES / 4), g("Sum", "q", "r", PLACES * 0.75)
    ),
}
TWO_PRODUCTS: dict[str, Way] = {
    "first": lambda g: g("Add", g("Add", product(g, "x", 4), BIAS), product(g, "q", 5)),
    "last": lambda g: g("Add", g("Add", product(g, "x", 4), product(g, "q", 5)), BIAS),
    "before": lambda g: g("Add", BIAS, g("Add", product(g, "x", 4), product(g, "q", 5))),
    "Sum": lambda g: g("Sum", product(g, "x", 4), product(g, "q", 5), BIAS),
    "subtracted": lambda g: g("Sub", g("Add", product(g, "x", 4), product(g, "q", 5)), -BIAS),
    "in parts": lambda g: g(
        "Add", g("Sum", product(g, "x", 4), BIAS * 0.5, product(g, "q", 5)), BIAS * 0.5
    ),
    "negated": lambda g: g(
        "Neg", g("Sub", g("Sub", g("Neg", product(g, "x", 4)), product(g, "q", 5)), BIAS)
    ),
    "beside a bias of zeros": lambda g: g(
        "Add",
        g("Add", g("Add", product(g, "x", 4), np.zeros(6, np.float32)), product(g, "q", 5)),
        BIAS,
    ),
    "across a Reshape": lambda g: g(
        "Add", g("Sum", g("Reshape", product(g, "x", 4), LINE), product(g, "q", 5)), BIAS
    ),
    "across a Transpose": lambda g: transposed(
        g,
        g(
            "Add",
            g("Add", *(transposed(g, product(g, x, s)) for x, s in (("x", 4), ("q", 5)))),
            BIAS[:, None],
        ),
    ),
}
RESIDUAL: dict[str, Way] = {
    "first": lambda g: g("Add", g("Add", product(g, "q", 4), BIAS), "r"),
    "last": lambda g: g("Add", g("Add", product(g, "q", 4), "r"), BIAS),
    "at the other one": lambda g: g("Add", product(g, "q", 4), g("Add", "r", BIAS)),
}


def gate(g: Writer) -> str:
    return g("Sigmoid", product(g, "x", 6))


def one_minus(g: Writer, z: str) -> str:
    return g("Sub", 1.0, z)


def _native(g: Writer) -> str:
    z = gate(g)
    return g("Add", g("Mul", one_minus(g, z), "p"), g("Mul", z, "q"))


def _lerp(g: Writer) -> str:
    """As torch's exporter writes torch.lerp."""
    z, d = gate(g), g("Sub", "q", "p")
    near = g("Add", "p", g("Mul", z, d))
    far = g("Sub", "q", g("Mul", d, one_minus(g, z)))
    return g("Where", g("Less", z, 0.5), near, far)


INTERPOLATION: dict[str, Way] = {
    "two products": _native,
    "torch": lambda g: g("Add", g("Mul", g("Sub", "q", "p"), gate(g)), "p"),
    "product last": lambda g: g("Add", "p", g("Mul", gate(g), g("Sub", "q", "p"))),
    "subtracted": lambda g: g("Sub", "p", g("Mul", gate(g), g("Sub", "p", "q"))),
    "from the other end": lambda g: g(
        "Add", "q", g("Mul", one_minus(g, gate(g)), g("Sub", "p", "q"))
    ),
    "lerp": _lerp,
}
CONSTANT_WEIGHT: dict[str, Way] = {
    "two products": lambda g: g("Add", g("Mul", "p", 0.75), g("Mul", "q", 0.25)),
    "torch": lambda g: g("Add", "p", g("Mul", g("Sub", "q", "p"), 0.25)),
}
INTERPOLATED_SUM: dict[str, Way] = {
    "two products": lambda g: g("Sum", _native(g), "r", BIAS),
    "torch": lambda g: g("Add", g("Add", INTERPOLATION["torch"](g), "r"), BIAS),
    "subtracted": lambda g: g("Add", "r", g("Add", BIAS, INTERPOLATION["subtracted"](g))),
}
FAMILIES: Mapping[str, dict[str, Way]] = {
    "sum": SUM,
    "two products": TWO_PRODUCTS,
    "residual": RESIDUAL,
    "interpolation": INTERPOLATION,
    "constant weight": CONSTANT_WEIGHT,
    "interpolated sum": INTERPOLATED_SUM,
}
WAYS = [(family, way) for family, ways in FAMILIES.items() for way in list(ways)[1:]]


@cache
def explainer(family: str, way: str, tail: tuple[str, ...]) -> Explainer:
    return Explainer(written(FAMILIES[family][way], tail))


@cache
def reference(family: str, mode: str, tail: tuple[str, ...]) -> Explanation:
    first = explainer(family, next(iter(FAMILIES[family])), tail)
    return first.explain(X, mode=mode, task="regression")


def check(found: Explanation, wanted: Explanation) -> None:
    np.testing.assert_allclose(found.outputs["y"], wanted.outputs["y"], rtol=1e-4, atol=1e-5)
    check_closed(found)
    limit = 1e-3 if found.mode == "epsilon(absolute=1e-6)" else 2e-5
    assert_close(channels(found, "x"), channels(wanted, "x"), limit, found.mode)
    totals = [e.ledger.total() for e in (found, wanted)]
    scale = np.abs(totals[1].start).max() + np.abs(totals[1].inputs).max()
    for kind in ("constants", "unassigned"):
        parts = [getattr(total, kind) for total in totals]
        assert np.abs(parts[0] - parts[1]).max() <= 10 * limit * scale, kind


@pytest.mark.parametrize("tail", [(), ("Tanh",)])
@pytest.mark.parametrize(("family", "way"), WAYS)
def test_the_same_sum(family: str, way: str, tail: tuple[str, ...]) -> None:
    for mode in MODES:
        found = explainer(family, way, tail).explain(X, mode=mode, task="regression")
        check(found, reference(family, mode, tail))


@pytest.mark.parametrize(("family", "way"), WAYS)
def test_compiled(family: str, way: str) -> None:
    mode = MODES[len(way) % len(MODES)]
    made = Explainer(written(FAMILIES[family][way]), engine="onnxruntime")
    check(made.explain(X, mode=mode, task="regression"), reference(family, mode, ()))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch(family: str) -> None:
    way = list(FAMILIES[family].values())[-1]
    for mode in ("default", "contrastive"):
        check_samples(written(way), X, 1e-5, mode=mode, task="regression")


def nested(*nodes: onnx.NodeProto, outputs: Sequence[str] = ("y",)) -> onnx.ModelProto:
    """Sums of a[N, 5], b[N, 5] and c[5]."""
    ends = [{name: (FLOAT, ["N", 5]) for name in names} for names in (("a", "b"), outputs)]
    return model(list(nodes), *ends, {"c": normal(5, seed=4)})


def test_a_sum_inside_is_read_apart_where_it_is_asked_for() -> None:
    proto = nested(node("Add", ["a", "b"], ["s"], "in"), node("Sub", ["s", "c"], ["y"], "out"))
    made, feeds = Explainer(proto), {"a": normal(2, 5), "b": normal(2, 5, seed=1)}
    assert {row.node: row.rule for row in made.support()}["in"] == "read as one with out"
    apart = made.explain(feeds, keep=["s"])
    assert any("'s' lies inside of what is read as one" in note.text for note in apart.notes)
    check_closed(apart)
    assert "s" not in made.explain(feeds, keep="all").relevance
    found = made.explain(feeds, output="s", keep="s", task="regression")
    assert np.allclose(found.relevance["s"], np.abs(feeds["a"] + feeds["b"]))  # its sizes start
    check_closed(found)


@pytest.mark.parametrize(
    "proto",
    [
        nested(node("Add", ["a", "b"], ["y"]), node("Add", ["y", "c"], ["z"]), outputs="yz"),
        nested(*(node("Add", x, [y]) for x, y in (("ab", "s"), ("sc", "t"), ("st", "y")))),
        nested(
            node("Add", ["a", "b"], ["s"]),
            node("Relu", ["s"], ["t"]),
            node("Add", ["t", "c"], ["y"]),
        ),
    ],
    ids=["output", "read twice", "function between"],
)
def test_what_is_not_one_sum_is_not_read_as_one(proto: onnx.ModelProto) -> None:
    assert not Explainer(proto).graph.hidden


def test_a_sum_of_itself_does_not_grow() -> None:
    names = ["s", *(f"t{i}" for i in range(60)), "y"]
    doubled = (node("Add", [x, x], [y]) for x, y in pairwise(names))
    made = Explainer(nested(node("Sub", ["a", "b"], ["s"]), *doubled))
    assert len(made.graph.nodes) == 62


def test_reading_a_running_sum_grows_as_it_does() -> None:
    def read(count: int) -> Callable[[], Explainer]:
        names = ["a", *(f"t{i}" for i in range(count)), "y"]
        added = [node("Tanh", ["b"], ["h"])]
        for i, (x, y) in enumerate(pairwise(names)):
            added += [node("Mul", ["h", "c"], [f"h{i}"]), node("Add", [x, f"h{i}"], [y])]
        proto = nested(*added)
        return lambda: Explainer(proto)

    feeds = {"a": normal(2, 5), "b": normal(2, 5, seed=1)}
    for mode in MODES:
        check_closed(read(100)().explain(feeds, mode=mode, task="regression"))
    check_linear(read, 100)


def test_two_masks_of_infinities() -> None:
    """What is masked twice carries nothing, and nothing overflows."""
    lowest = float(np.finfo(np.float32).min)
    masks = [
        np.where(np.arange(5) > k, low, 0).astype(np.float32)
        for k, low in ((3, -np.inf), (2, lowest))
    ]
    nodes = [
        node("Add", ["a", "m"], ["s"]),
        node("Add", ["s", "n"], ["t"]),
        node("Add", ["t", "b"], ["u"]),
        node("Softmax", ["u"], ["y"]),
    ]
    ends = {name: (FLOAT, ["N", 5]) for name in "ab"}, {"y": (FLOAT, ["N", 5])}
    made = Explainer(model(nodes, *ends, dict(zip("mn", masks, strict=True))))
    for mode in MODES:
        found = made.explain({"a": normal(2, 5), "b": normal(2, 5, seed=1)}, mode=mode)
        check_closed(found)
        assert not found.relevance["a"][:, 3:].any() and np.isfinite(found.relevance["b"]).all()
