"""Expanded operators against onnxruntime's own: same answer, closed books, both engines alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ValueInfoProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from backtrace_onnx import Explainer, Explanation
from tests.cases import Case, Fixed, Operand, one, session, starts
from tests.checks import check_compiled, check_ledger, gap
from tests.graphs import model, node

Array = npt.NDArray[Any]
MICROSOFT = "com.microsoft"
MODES = ("default", "contrastive")
UNREAD = 1e-5  # what is no output of the model may be read as part of a sum


def numbers(*shape: int, seed: int = 0) -> Array:
    """Standard normal numbers."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def check(
    op_type: str,
    *operands: Operand,
    tolerance: float = 2e-6,
    domain: str = MICROSOFT,
    compiled: Path | None = None,
    **attributes: Any,
) -> Explanation:
    """One operator: all outputs are onnxruntime's, the books close; the default explanation.

    It is the same where the operator names every output it can have, and nobody reads the others.
    """
    single = one(op_type, *operands, domain=domain, **attributes)
    case = whole(single)
    made: dict[str, Explanation] = {}
    for mode in MODES:
        start = starts(case, mode)
        made[mode] = case.explainer.explain(
            case.feeds, mode=mode, output=case.output, start=start if len(start) > 1 else start[0]
        )
        check_ledger(made[mode])
        if compiled is not None:
            check_compiled(case, mode, start, made[mode], compiled)
    names = [o.name for o in case.proto.graph.output]
    answers = dict(zip(names, session(case.proto).run(names, case.feeds), strict=True))
    for name, answer in answers.items():
        apart = gap(made["default"].outputs[name], answer)
        assert apart <= tolerance, f"{op_type} {attributes} {name}: {apart:.1e}"
    check_unread(single, made["default"])
    return made["default"]


def check_unread(case: Case, explanation: Explanation) -> None:
    """Names for outputs that nobody reads change nothing."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.proto)
    last = proto.graph.node[-1]
    missing = most_outputs().get((last.domain, last.op_type), 0) - len(last.output)
    if missing <= 0 and len(last.output) == 1:
        return
    last.output.extend(f"unread{i}" for i in range(missing))
    given = Case(proto, case.feeds).explain("default", starts(case, "default"), output=case.output)
    for name, r in explanation.relevance.items():
        assert gap(given.relevance[name], r) <= UNREAD, name


@cache
def most_outputs() -> dict[tuple[str, str], int]:
    """How many outputs an operator of onnxruntime names at most, by domain and operator."""
    schemas = get_all_operator_schema()
    counts = {(s.domain, s.name): len(s.outputs) for s in schemas if not _is_variadic(s)}
    return {key: count for key, count in counts.items() if count > 1}


def _is_variadic(schema: Any) -> bool:
    return any(str(o.option).endswith("Variadic") for o in schema.outputs)


def whole(case: Case) -> Case:
    """The case with every output of its node as an output of the model."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.proto)
    given = {o.name for o in proto.graph.output}
    names = [name for name in proto.graph.node[-1].output if name and name not in given]
    proto.graph.output.extend(ValueInfoProto(name=name) for name in names)
    arrays = session(proto).run(names, case.feeds) if names else []
    for name, array in zip(names, arrays, strict=True):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        value = next(o for o in proto.graph.output if o.name == name)
        value.CopyFrom(helper.make_tensor_value_info(name, kind, array.shape))
    return Case(proto, case.feeds)


def explained(
    proto: onnx.ModelProto, inputs: Any, mode: str = "default", **options: Any
) -> Explanation:
    """A model explained once, its books closed."""
    made = Explainer(proto).explain(inputs, mode=mode, **options)
    check_ledger(made)
    return made


def assert_alike(a: Explanation, b: Explanation, tolerance: float = 1e-4) -> None:
    """Two explanations give every input that both have the same, to `tolerance` of max|R|."""
    shared = a.positive.keys() & b.positive.keys() & a.inputs.keys()
    assert shared
    top = max(float(np.abs(b.positive[name]).max(initial=0)) for name in shared) or 1.0
    for name in shared:
        for channel in ("positive", "negative"):
            if name not in getattr(b, channel):
                continue
            apart = np.abs(getattr(a, channel)[name] - getattr(b, channel)[name]).max(initial=0)
            assert apart <= tolerance * top, f"{name} {channel}: {apart / top:.1e}"


@dataclass(frozen=True)
class Defined(Case):
    """A case of an operator that onnxruntime's CPU does not run, and what it is defined to make."""

    answer: Array

    @property
    def y(self) -> Array:
        return self.answer


def check_defined(
    op_type: str,
    *operands: Operand,
    answers: Array | Sequence[Array | None],
    tolerance: float = 2e-6,
    compiled: Path | None = None,
    opset: int = 18,
    **attributes: Any,
) -> Explanation:
    """As `check`, but the answers are given; None for outputs without a name."""
    given = [answers] if isinstance(answers, np.ndarray) else answers
    case = _defined(op_type, operands, given, opset, attributes)
    made: dict[str, Explanation] = {}
    for mode in MODES:
        start = starts(case, mode)
        made[mode] = case.explain(mode, start, output=case.proto.graph.output[0].name)
        check_ledger(made[mode])
        if compiled is not None:
            check_compiled(case, mode, start, made[mode], compiled)
    for i, answer in enumerate(given):
        if answer is not None:
            got = made["default"].outputs[f"y{i}"]
            assert got.dtype == answer.dtype, (op_type, i, got.dtype)
            apart = gap(got, answer)
            assert apart <= tolerance, f"{op_type} {attributes} y{i}: {apart:.1e}"
    return made["default"]


def _defined(
    op_type: str,
    operands: Sequence[Operand],
    answers: Sequence[Array | None],
    opset: int,
    attributes: dict[str, Any],
) -> Defined:
    """The model: arrays are inputs x0, x1, ...; fixed ones constants; outputs y0, y1, ..."""
    feeds = {f"x{i}": x for i, x in enumerate(operands) if isinstance(x, np.ndarray)}
    weights = {f"c{i}": x.array for i, x in enumerate(operands) if isinstance(x, Fixed)}
    taken = [
        "" if x is None else f"c{i}" if isinstance(x, Fixed) else f"x{i}"
        for i, x in enumerate(operands)
    ]
    named = ["" if answer is None else f"y{i}" for i, answer in enumerate(answers)]
    made = {f"y{i}": a for i, a in enumerate(answers) if a is not None}

    def kinds(arrays: dict[str, Array]) -> dict[str, tuple[int, list[int]]]:
        return {
            name: (helper.np_dtype_to_tensor_dtype(x.dtype), list(x.shape))
            for name, x in arrays.items()
        }

    nodes = [node(op_type, taken, named, "n", domain=MICROSOFT, **attributes)]
    proto = model(nodes, kinds(feeds), kinds(made), weights, opset=opset, domains={MICROSOFT: 1})
    return Defined(proto, feeds, next(iter(made.values())))
