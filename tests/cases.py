"""Small models for one case each, with what they are fed and the relevance that they start from."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from backtrace_onnx import Explainer, Explanation
from backtrace_onnx.policies import find_policy
from tests.versions import is_tested

Array = npt.NDArray[Any]
OPSET = 20


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
    channels = find_policy(mode).channels
    made = [np.asarray(rng.standard_normal(y.shape), y.dtype) for _ in range(channels)]
    return tuple(np.asarray(np.abs(r)) for r in made) if channels > 1 else tuple(made)


def channels(explanation: Explanation, name: str) -> tuple[Array, ...]:
    """Relevance of a tensor, one array per channel."""
    if name in explanation.negative:
        return explanation.positive[name], explanation.negative[name]
    return (explanation.positive[name],)
