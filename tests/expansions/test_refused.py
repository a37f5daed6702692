"""Every operator that onnxruntime adds to ONNX is explained, carries nothing, or says why not."""

from __future__ import annotations

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from backtrace_onnx import Explainer, registry
from backtrace_onnx.errors import RuleError, UnsupportedError
from backtrace_onnx.expansions.registry import expansion, find, refusals, refuse, refused
from tests.expansions.checks import numbers
from tests.graphs import FLOAT, model, node

DOMAINS = ("com.microsoft", "com.microsoft.nchwc")


def operators() -> set[tuple[str, str]]:
    """Those that the installed onnxruntime has a schema or a CPU kernel for."""
    found = {(x.domain, x.name) for x in runtime.get_all_operator_schema()}
    found |= {(x.domain, x.op_name) for x in runtime.get_all_opkernel_def()}
    return {key for key in found if key[0] in DOMAINS}


def test_every_operator_is_one_of_them() -> None:
    wrong = {
        key: ways
        for key in operators()
        if sum(
            ways := (
                registry.lookup(*key, 1) is not None,
                find(*key) is not None,
                refused(*key) is not None,
            )
        )
        != 1
    }
    assert not wrong


def test_few_that_run_on_a_cpu_are_refused() -> None:
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
        refuse({"Attention": "because"}, domain="com.microsoft")
    with pytest.raises(RuleError, match="has an expansion already"):
        expansion("Attention", domain="com.microsoft")(lambda e, op, x: x)
