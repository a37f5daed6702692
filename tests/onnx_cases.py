"""The test cases of the ONNX standard's own operators, as models to explain."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

from backtrace_onnx.rules import registry
from tests.cases import session

NEWEST_OPSET, NEWEST_IR = 26, 10
MODES = ("default", "contrastive")
STORED = ("simple", "pytorch-converted", "pytorch-operator")
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}


class Case(NamedTuple):
    """A model, what it is fed and what comes out, by name; in which modes it is compiled, too."""

    name: str
    proto: onnx.ModelProto
    feeds: dict[str, Any]
    results: dict[str, Any]
    compiled: tuple[str, ...]


@cache
def cases() -> dict[str, list[Case]]:
    """Cases by operator; an expanded case is listed under the operator it expands."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some cases overflow on purpose
        loaded = load_model_tests(kind="node")
    written = [(x.name, *(in_memory(x) or in_files(Path(x.model_dir)))) for x in loaded]
    operators = {name: model.graph.node[0].op_type for name, model, _ in written}
    found: dict[str, list[Case]] = {}
    for name, model, (given, expected) in written:
        operator = operators.get(name.split("_expanded")[0], "other")
        found.setdefault(operator, []).append(made(name, model, given, expected, operator))
    return found | {kind: list(stored(kind)) for kind in STORED}


def made(
    name: str, model: onnx.ModelProto, given: Sequence[Any], expected: Sequence[Any], operator: str
) -> Case:
    weights = {t.name for t in model.graph.initializer}
    inputs = by_name([v for v in model.graph.input if v.name not in weights], given)
    outputs = by_name(model.graph.output, expected)
    return Case(name, runnable(model), inputs, outputs, compiled_modes(name, operator))


def in_memory(case: Any) -> tuple[onnx.ModelProto, Any] | None:
    """The model with what enters and leaves, as a newer onnx makes them."""
    return (case.model, case.data_sets[0]) if case.model and case.data_sets else None


def in_files(folder: Path) -> tuple[onnx.ModelProto, Any]:
    """The same where onnx keeps them in files."""
    model, values = onnx.load(folder / "model.onnx"), folder / "test_data_set_0"
    sides = (("input", model.graph.input), ("output", model.graph.output))
    return model, tuple(
        [
            value(values / f"{side}_{i}.pb", infos[i].type)
            for i in range(len(list(values.glob(f"{side}_*"))))
        ]
        for side, infos in sides
    )


def value(file: Path, kind: onnx.TypeProto) -> Any:
    """A stored value: an array, a list of them, or None."""
    data = file.read_bytes()
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(TensorProto.FromString(data))


def stored(kind: str) -> Iterator[Case]:
    """Cases that ONNX keeps as files, with the values in them."""
    for found in load_model_tests(kind=kind):
        folder = Path(found.model_dir)
        model = onnx.load(folder / "model.onnx")
        values = folder / "test_data_set_0"
        given, expected = (
            [tensor(values / f"{side}_{i}.pb") for i in range(len(list(values.glob(f"{side}_*"))))]
            for side in ("input", "output")
        )
        yield made(found.name, model, given, expected, kind)


def tensor(file: Path) -> Any:
    """A stored value; those that are no tensors are left as they are."""
    proto = onnx.TensorProto()
    try:
        proto.ParseFromString(file.read_bytes())
        return numpy_helper.to_array(proto)
    except (DecodeError, TypeError, ValueError):
        return []


def compiled_modes(name: str, operator: str) -> tuple[str, ...]:
    """Fewer where bodies are expanded: their operators have cases of their own."""
    ruled = registry.lookup("", operator, NEWEST_OPSET) is not None
    return MODES[: ruled + ("_expanded" not in name)]


def by_name(values: Sequence[onnx.ValueInfoProto], given: Sequence[Any]) -> dict[str, Any]:
    arrays = (numpy_helper.to_array(x) if isinstance(x, TensorProto) else x for x in given)
    return dict(zip((v.name for v in values), arrays, strict=False))


def runnable(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with versions that onnxruntime takes, where these are all that keeps it from it."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    proto.ir_version = min(proto.ir_version, NEWEST_IR)
    for opset in proto.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = min(opset.version, NEWEST_OPSET)
    return proto


def fixed(case: Case) -> Case:
    """The case with every input that is no float as a constant."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.proto)
    steering = [
        v
        for v in proto.graph.input
        if v.type.tensor_type.elem_type not in FLOATS and v.name in case.feeds
    ]
    for value in steering:
        array = np.asarray(case.feeds[value.name])
        proto.graph.initializer.append(numpy_helper.from_array(array, value.name))
        proto.graph.input.remove(value)
    names = {value.name for value in steering}
    feeds = {name: x for name, x in case.feeds.items() if name not in names}
    return case._replace(proto=proto, feeds=feeds)


def is_ordinary(x: Any) -> bool:
    array = np.asarray(x)
    if array.dtype.kind not in "fV":
        return array.size > 0
    return array.size > 0 and bool(np.isfinite(array.astype(np.float64)).all())


def explainable(case: Case) -> list[str]:
    """Floating outputs that are not empty, without NaN or infinite numbers."""
    return [
        v.name
        for v in case.proto.graph.output
        if v.type.tensor_type.elem_type in FLOATS and is_ordinary(case.results[v.name])
    ]


def runs(case: Case) -> bool:
    """Whether plain onnxruntime runs the case."""
    try:
        session(case.proto).run(None, {name: np.asarray(x) for name, x in case.feeds.items()})
    except Exception:  # onnxruntime raises many types
        return False
    return True
