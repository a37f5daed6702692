"""Every operator that onnxruntime adds to ONNX is explained, carries nothing, or says why not."""

from __future__ import annotations

import onnx
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from backtrace_onnx import Explainer
from backtrace_onnx.errors import RuleError, UnsupportedError
from backtrace_onnx.expansions.registry import expansion, find, refusals, refuse, refused
from backtrace_onnx.rules import registry
from tests.expansions.checks import numbers
from tests.graphs import FLOAT, model, node
from tests.versions import is_tested

DOMAINS = ("com.microsoft", "com.microsoft.nchwc")


def operators() -> set[tuple[str, str]]:
    """Those that the installed onnxruntime has a schema or a CPU kernel for."""
    found = {(x.domain, x.name) for x in runtime.get_all_operator_schema()}
    found |= {(x.domain, x.op_name) for x in runtime.get_all_opkernel_def()}
    return {key for key in found if key[0] in DOMAINS}


def ways(key: tuple[str, str]) -> int:
    """In how many ways an operator is known: it has a rule, a text or a reason."""
    known = (registry.lookup(*key, 1), find(*key), refused(*key))
    return sum(way is not None for way in known)


def test_every_operator_is_one_of_them() -> None:
    wrong = {key: ways(key) for key in operators() if ways(key) != 1}
    new = [name for (_, name), count in wrong.items() if count == 0]
    if new and not is_tested("onnxruntime"):
        pytest.skip(f"unknown operators of another onnxruntime: {', '.join(sorted(new))}")
    assert not wrong


def of_three_by_three(op_type: str, inputs: int) -> onnx.ModelProto:
    names = [f"x{i}" for i in range(inputs)]
    return model(
        [node(op_type, names, ["y"], "n", domain="com.microsoft")],
        {name: (FLOAT, [3, 3]) for name in names},
        {"y": (FLOAT, [3, 3])},
        domains={"com.microsoft": 1},
    )


def test_an_operator_that_nobody_knows_is_reported() -> None:
    with pytest.raises(UnsupportedError, match="OfTomorrow"):
        Explainer(of_three_by_three("OfTomorrow", 1))


def test_inputs_that_a_newer_version_adds_are_not_ignored() -> None:
    assert Explainer(of_three_by_three("GatedAdd", 4))
    with pytest.raises(UnsupportedError, match="5 inputs, of which only the first 4"):
        Explainer(of_three_by_three("GatedAdd", 5))


def test_few_that_run_on_a_cpu_are_refused() -> None:
    if not is_tested("onnxruntime"):
        pytest.skip("another onnxruntime has kernels for other operators")
    on_cpu = {
        (x.domain, x.op_name)
        for x in runtime.get_all_opkernel_def()
        if x.provider == "CPUExecutionProvider" and x.domain == "com.microsoft"
    }
    assert len(on_cpu) >= 80
    assert len([key for key in on_cpu if refused(*key)]) <= 14


def test_reasons_are_sentences() -> None:
    for _, op_type, reason in refusals():
        assert len(reason) > 40 and not reason.endswith("."), op_type


def test_a_refused_operator_says_why() -> None:
    proto = model(
        [node("Inverse", ["x"], ["y"], "inverse", domain="com.microsoft")],
        {"x": (FLOAT, [3, 3])},
        {"y": (FLOAT, [3, 3])},
        domains={"com.microsoft": 1},
    )
    with pytest.raises(UnsupportedError, match="the inverse of a matrix"):
        Explainer(proto)


def test_blocked_channels_name_the_remedy() -> None:
    proto = model(
        [node("ReorderOutput", ["x"], ["y"], "r", domain="com.microsoft.nchwc", channels=8)],
        {"x": (FLOAT, [1, 8, 4, 4])},
        {"y": (FLOAT, [1, 8, 4, 4])},
        {"w": numbers(1)},
        domains={"com.microsoft.nchwc": 1},
    )
    with pytest.raises(UnsupportedError, match="ORT_ENABLE_EXTENDED"):
        Explainer(proto)


def test_nothing_is_registered_twice() -> None:
    with pytest.raises(RuleError, match="registered already"):
        refuse("Attention", "because")
    with pytest.raises(RuleError, match="has an expansion already"):
        expansion("Attention", domain="com.microsoft")(lambda e, op, x: x)
