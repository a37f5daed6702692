"""Small models for one case each, and the method's linear rules as slowly and plainly as possible.

The oracle knows nothing of operators: it takes a function apart by running basis vectors through
onnxruntime, and shares relevance unit by unit in NumPy.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from backtrace_onnx import Explainer, Explanation
from backtrace_onnx.policies import POLICIES
from tests.versions import is_tested

Array = npt.NDArray[Any]
Gate = tuple[float, float]

MODES = ("default", "contrastive", "epsilon")
GATES: dict[str, Gate] = {"Tanh": (-2.0, 2.0), "Sigmoid": (-4.0, 4.0), "Softmax": (-1.0, 2.0)}
OPSET = 20
EPSILON = 1e-6
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
CANCELS = {"epsilon": 10.0}  # divides by p - n: in float32 a difference of near numbers


@dataclass(frozen=True)
class Fixed:
    """A constant operand."""

    array: Array


def fixed(value: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> Fixed:
    """A constant operand from anything array-like."""
    return Fixed(np.asarray(value, dtype))


Operand = Array | Fixed | None


@dataclass(frozen=True)
class Link:
    """One node of a chain; `at` is the place of the value handed down."""

    op_type: str
    operands: tuple[Operand, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    at: int = 0
    domain: str = ""


def link(
    op_type: str, *operands: Operand, at: int = 0, domain: str = "", **attributes: Any
) -> Link:
    """A node that takes the value handed down at place `at`, and other operands."""
    return Link(op_type, operands, attributes, at, domain)


@dataclass(frozen=True)
class Case:
    """A model and the arrays it is fed."""

    proto: onnx.ModelProto
    feeds: dict[str, Array]

    @cached_property
    def session(self) -> ort.InferenceSession:
        return session(self.proto)

    @cached_property
    def explainer(self) -> Explainer:
        return Explainer(self.proto)

    @property
    def output(self) -> str:
        return str(self.proto.graph.output[0].name)

    @property
    def y(self) -> Array:
        return self.run()

    def run(self, **instead: Array) -> Array:
        """First output, with some inputs replaced."""
        made: Array = self.session.run([self.output], {**self.feeds, **instead})[0]
        return made

    def explain(self, mode: str, start: Sequence[Array], **options: Any) -> Explanation:
        """Explained from a start with one array per channel."""
        given = tuple(start) if len(start) > 1 else start[0]
        return self.explainer.explain(self.feeds, mode=mode, start=given, **options)


def session(proto: onnx.ModelProto) -> ort.InferenceSession:
    """A quiet session that changes nothing in the graph.

    The test is skipped where another onnxruntime than the tested one does not know the model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    data, providers = proto.SerializeToString(), ["CPUExecutionProvider"]
    try:
        return ort.InferenceSession(data, options, providers=providers)
    except Exception as error:  # onnxruntime raises many types
        if is_tested("onnxruntime") or not re.search(_UNKNOWN, str(error)):
            raise
        pytest.skip(f"onnxruntime {ort.__version__}: {error}", allow_module_level=True)


_UNKNOWN = (
    "is not a registered function|only .guarantees. support|Unrecognized attribute|"
    "NOT_IMPLEMENTED|has more inputs|more outputs"
)


def one(
    op_type: str,
    *operands: Operand,
    opset: int = OPSET,
    dynamic: bool = False,
    domain: str = "",
    outputs: int = 1,
    **attributes: Any,
) -> Case:
    """A model of one node: arrays are inputs x0, x1, ..., `fixed` ones constants, None left out.

    `dynamic` opens the first axis of every input.
    """
    writer = _Writer()
    names = [writer.operand(operand) for operand in operands]
    made = ["y" if i == 0 else f"y{i}" for i in range(outputs)]
    writer.node(op_type, names, made, domain, attributes)
    return writer.case("y", opset, dynamic)


def chain(x: Array, *links: Link, opset: int = OPSET, dynamic: bool = False) -> Case:
    """A model of nodes one after another; their outputs are t0, t1, ..., the last one is y."""
    writer = _Writer()
    value = writer.operand(x)
    for i, step in enumerate(links):
        names = [writer.operand(operand) for operand in step.operands]
        names.insert(step.at, value)
        value = "y" if i == len(links) - 1 else f"t{i}"
        writer.node(step.op_type, names, [value], step.domain, step.attributes)
    return writer.case("y", opset, dynamic)


class _Writer:
    """Collects the nodes, inputs and constants of a model."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.feeds: dict[str, Array] = {}
        self.constants: dict[str, Array] = {}
        self.domains: set[str] = set()

    def operand(self, operand: Operand) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Fixed):
            name = f"c{len(self.constants)}"
            self.constants[name] = operand.array
            return name
        for name, array in self.feeds.items():
            if array is operand:
                return name
        name = f"x{len(self.feeds)}"
        self.feeds[name] = operand
        return name

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str,
        attributes: Mapping[str, Any],
    ) -> None:
        self.domains.add(domain)
        self.nodes.append(
            helper.make_node(
                op_type, inputs, outputs, f"{op_type}_{outputs[0]}", None, domain, **attributes
            )
        )

    def case(self, output: str, opset: int, dynamic: bool) -> Case:
        def shape(array: Array) -> list[Any]:
            return ["batch", *array.shape[1:]] if dynamic else list(array.shape)

        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), shape(x))
            for name, x in self.feeds.items()
        ]
        graph = helper.make_graph(
            self.nodes,
            "case",
            inputs,
            [onnx.ValueInfoProto(name=output)],
            [numpy_helper.from_array(c, name) for name, c in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", opset)]
        opsets += [helper.make_opsetid(domain, 1) for domain in sorted(self.domains - {""})]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        inferred = onnx.shape_inference.infer_shapes(proto)
        proto.graph.output[0].CopyFrom(inferred.graph.output[0])
        if not proto.graph.output[0].type.tensor_type.HasField("shape"):
            proto.graph.output[0].CopyFrom(self._measured(proto, output))
        return Case(proto, self.feeds)

    def _measured(self, proto: onnx.ModelProto, output: str) -> onnx.ValueInfoProto:
        y = session(proto).run([output], self.feeds)[0]
        element = helper.np_dtype_to_tensor_dtype(y.dtype)
        return helper.make_tensor_value_info(output, element, [None] * y.ndim)


def generator(*key: object) -> np.random.Generator:
    """Random numbers that are the same in every run for equal keys."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def normal(rng: np.random.Generator, *shape: int, dtype: npt.DTypeLike = np.float32) -> Array:
    """Standard normal numbers."""
    return rng.standard_normal(shape).astype(dtype)


def starts(case: Case, mode: str, seed: object = 0) -> tuple[Array, ...]:
    """Random relevance at the output: signed for one channel, two positive ones for a pair."""
    rng = generator("start", seed)
    y = case.y
    channels = POLICIES[mode].channels
    made = [np.asarray(rng.standard_normal(y.shape), y.dtype) for _ in range(channels)]
    return tuple(np.asarray(np.abs(r)) for r in made) if channels > 1 else tuple(made)


def channels(explanation: Explanation, name: str) -> tuple[Array, ...]:
    """Relevance of a tensor, one array per channel."""
    if name in explanation.negative:
        return explanation.positive[name], explanation.negative[name]
    return (explanation.positive[name],)


def gap(got: Array, want: Array) -> float:
    """Largest difference relative to the largest wanted magnitude."""
    assert np.shape(got) == np.shape(want), (np.shape(got), np.shape(want))
    assert np.isfinite(got).all()
    if not np.size(want):
        return 0.0
    scale = float(np.abs(want).max())
    return float(np.abs(np.asarray(got, np.float64) - want).max()) / (scale or 1.0)


def assert_close(
    got: Sequence[Array], want: Sequence[Array], tolerance: float, what: str = ""
) -> None:
    """Equal channel by channel within `tolerance` of the largest wanted magnitude of them all."""
    assert len(got) == len(want)
    top = max(float(np.abs(w).max(initial=0)) for w in want) or 1.0
    for channel, (a, b) in enumerate(zip(got, want, strict=True)):
        assert np.shape(a) == np.shape(b), (what, np.shape(a), np.shape(b))
        worst = float(np.abs(np.asarray(a, np.float64) - b).max(initial=0)) / top
        assert worst <= tolerance, f"{what} channel {channel}: {worst:.1e} of the maximum"


# The oracle -----------------------------------------------------------------------------------


def dense(f: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """(M[j, i], b[j]) of a function that is M x + b."""
    b = f(np.zeros_like(x)).astype(np.float64).ravel()
    columns = np.empty((b.size, x.size))
    for i in range(x.size):
        basis = np.zeros(x.size, x.dtype)
        basis[i] = 1
        columns[:, i] = f(basis.reshape(x.shape)).astype(np.float64).ravel() - b
    return columns, b


def share(
    mode: str, c: Array, b: Array, r: Sequence[Array], gate: Gate | None = None
) -> tuple[Array, ...]:
    """What contributions c[j, i] get of the relevance r[channel][j] under a policy."""
    rule = {"default": _default, "contrastive": _contrastive, "epsilon": _epsilon}.get(mode)
    flat = [np.asarray(x, np.float64).ravel() for x in r]
    if rule is not None:
        return rule(c, b, flat, gate)
    return _by_text(mode, c, b, flat)


def _divided(r: Array, mass: Array) -> Array:
    return np.divide(r, mass, out=np.zeros_like(mass), where=mass != 0)


def _default(c: Array, b: Array, r: Sequence[Array], gate: Gate | None) -> tuple[Array, ...]:
    positive, negative = np.maximum(c, 0), np.maximum(-c, 0)
    p, n = positive.sum(1), negative.sum(1)
    if gate is not None:
        t = p - n + b
        p, n = np.where(t < gate[0], 0, p), np.where(t > gate[1], 0, n)
    a = _divided(r[0], p + n + np.abs(b))
    return ((a * (p > 0)) @ positive + (a * (n > 0)) @ negative,)


def _contrastive(c: Array, b: Array, r: Sequence[Array], gate: Gate | None) -> tuple[Array, ...]:
    positive, negative = np.maximum(c, 0), np.maximum(-c, 0)
    to = [np.zeros(c.shape[1]), np.zeros(c.shape[1])]
    for j in range(len(c)):
        p, n = positive[j].sum(), negative[j].sum()
        t = p - n + b[j]
        keep = (t > 0 and r[0][j] > r[1][j]) or (t < 0 and r[0][j] < r[1][j])
        if p == 0 and n == 0:
            continue
        if n == 0:
            sides = positive[j] / p, positive[j] / p
        elif p == 0:
            sides = negative[j] / n, negative[j] / n
        elif t == 0:
            continue
        elif keep:
            sides = positive[j] / p, negative[j] / n
        else:
            sides = negative[j] / n, positive[j] / p
        to = [x + r[k][j] * sides[k] for k, x in enumerate(to)]
    return tuple(to)


def _epsilon(c: Array, b: Array, r: Sequence[Array], gate: Gate | None) -> tuple[Array, ...]:
    t = c.sum(1) + b
    return (c.T @ (r[0] / (t + np.where(t < 0, -EPSILON, EPSILON))),)


def _by_text(mode: str, c: Array, b: Array, r: Sequence[Array]) -> tuple[Array, ...]:
    """Any other policy: its own text, one unit at a time."""
    policy = POLICIES[mode]
    to = [np.zeros(c.shape[1]) for _ in r]
    for j in range(len(c)):
        sides = {
            "split": (np.maximum(c[j], 0), np.maximum(-c[j], 0)),
            "absolute": (np.abs(c[j]), np.zeros_like(c[j])),
            "signed": (c[j], np.zeros_like(c[j])),
        }[policy.reading]
        masses = (side.sum() for side in sides)
        made = policy.coefficients(*masses, b[j], *(x[j] for x in r))
        for channel, (a_p, a_n, _) in enumerate(made):
            to[channel] += a_p * sides[0] + a_n * sides[1]
    return tuple(to)


def expected(
    case: Case,
    mode: str,
    r: Sequence[Array],
    *,
    gate: Gate | None = None,
    jointly: bool = False,
    inner: Callable[[Array], Array] | None = None,
    run: Case | None = None,
) -> dict[str, tuple[Array, ...]]:
    """Relevance of every floating input of an operator that is linear in each of them.

    Args:
        jointly: the operator is linear in all inputs together (a sum), not in each (a product).
        inner: what is done to the values first; contributions are those of inner(x).
        run: case whose function is taken apart instead (before its activation, or without inner).
    """
    run = run or case
    data = {name: x for name, x in case.feeds.items() if x.dtype.kind == "f"}
    zeros = {name: np.zeros_like(x) for name, x in data.items()} if jointly else {}
    parts, bias = [], np.zeros(0)
    for name, x in data.items():

        def f(v: Array, name: str = name) -> Array:
            return run.run(**{**zeros, name: v})

        matrix, bias = dense(f, x)
        values = x.astype(np.float64) if inner is None else inner(x.astype(np.float64))
        parts.append(matrix * values.ravel())
    if jointly:
        shared = share(mode, np.concatenate(parts, 1), bias, r, gate)
        cuts = np.cumsum([x.size for x in data.values()])[:-1]
        split = [np.split(s, cuts) for s in shared]
        made = [tuple(s[k] for s in split) for k in range(len(data))]
    else:
        half = [np.asarray(x, np.float64) / len(data) for x in r]
        made = [share(mode, c, bias, half, gate) for c in parts]
    return {
        name: tuple(part.reshape(x.shape) for part in parts_of)
        for (name, x), parts_of in zip(data.items(), made, strict=True)
    }


# Checks ---------------------------------------------------------------------------------------


def check_linear(
    case: Case,
    modes: Sequence[str] = MODES,
    *,
    tolerance: float | None = None,
    compiled: Path | None = None,
    **how: Any,
) -> None:
    """The explanation is the oracle's, the ledger closes, and compiled it is the same."""
    for mode in modes:
        limit = (tolerance or TOLERANCE[str(case.y.dtype)]) * CANCELS.get(mode, 1.0)
        r = starts(case, mode)
        got = case.explain(mode, r)
        want = expected(case, mode, r, **({**how, "gate": None} if mode != "default" else how))
        for name, parts in want.items():
            assert_close(channels(got, name), parts, limit, f"{mode} {name}")
        check_ledger(got)
        if compiled is not None:
            check_compiled(case, mode, r, got, compiled)


def check_passes(case: Case, modes: Sequence[str] = ("default", "contrastive")) -> None:
    """Relevance reaches input x0 unchanged."""
    for mode in modes:
        r = starts(case, mode)
        assert_close(channels(case.explain(mode, r), "x0"), r, 1e-6, mode)


def check_ledger(explanation: Explanation, *, each: bool = False, tolerance: float = 1e-4) -> None:
    """Start = inputs + constants + unassigned, per channel, and for `each` sample if asked."""
    total = explanation.ledger.total()
    rest = total.start - total.inputs - total.constants - total.unassigned
    scale = max(float(np.abs(total.start).max()), float(np.abs(total.inputs).max()), 1.0)
    if not each:
        rest = rest.sum(1)
    assert np.abs(rest).max() <= tolerance * scale, (total, rest)


def run_compiled(
    path: Path, inputs: Mapping[str, Array], r: Sequence[Array]
) -> dict[str, tuple[Array, ...]]:
    """Channels of every input as a compiled model returns them."""
    feeds = {**inputs, **dict(zip(("start", "start_negative"), r, strict=False))}
    running = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = [o.name for o in running.get_outputs()]
    made = dict(zip(outputs, running.run(outputs, feeds), strict=True))
    kinds = ("positive", "negative") if len(r) > 1 else ("relevance",)
    return {name: tuple(made[f"{kind}/{name}"] for kind in kinds) for name in inputs}


def check_compiled(
    case: Case,
    mode: str,
    r: Sequence[Array],
    eager: Explanation,
    folder: Path,
    tolerance: float = 1e-5,
) -> None:
    """The compiled explanation equals the eager one."""
    path = folder / "explained.onnx"
    case.explainer.compile(path, mode=mode, task="start")
    for name, parts in run_compiled(path, case.feeds, r).items():
        assert_close(parts, channels(eager, name), tolerance, f"compiled {mode} {name}")


def check_batch(case: Case, mode: str, compiled: Path | None = None) -> None:
    """Sample k of a batch gets what it would get alone; the model's first axes must be open."""
    r = starts(case, mode)
    together = case.explain(mode, r)
    check_ledger(together, each=True)
    if compiled is not None:
        check_compiled(case, mode, r, together, compiled)
    for k in range(len(case.y)):
        one_of = [x[k : k + 1] for x in r]
        feeds = {name: x[k : k + 1] for name, x in case.feeds.items()}
        alone = Case(case.proto, feeds).explain(mode, one_of)
        path = None if compiled is None else compiled / "explained.onnx"
        answers = None if path is None else run_compiled(path, feeds, one_of)
        for name in feeds:
            batch = [x[k : k + 1] for x in channels(together, name)]
            assert_close(batch, channels(alone, name), 1e-5, f"sample {k}, {name}")
            if answers is not None:
                assert_close(answers[name], channels(alone, name), 1e-5, f"compiled {k}, {name}")
