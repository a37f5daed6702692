"""Options that are none are refused by name before anything is read, with the one like it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backtrace_onnx import ExplainBatches, RequestError, evaluate, explain_dataset
from backtrace_onnx.audit import audit, compare
from backtrace_onnx.network import network_analysis
from backtrace_onnx.summary import global_explanation

NET, ROWS = "no.onnx", "no.csv"
CALLS: dict[str, Callable[..., Any]] = {
    "batches": lambda **how: ExplainBatches(NET, **how),
    "dataset": lambda **how: explain_dataset(NET, ROWS, "out", **how),
    "network": lambda **how: network_analysis(NET, ROWS, **how),
    "global": lambda **how: global_explanation(NET, ROWS, **how),
    "evaluate": lambda **how: evaluate(NET, ROWS, **how),
}
AUDITS: dict[str, Callable[..., Any]] = {
    "audit": lambda **how: audit(NET, ROWS, **how),
    "compare": lambda **how: compare(NET, NET, ROWS, **how),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("label", "labels"),
        ("targt", "target"),
        ("step", "steps"),
        ("on_unsuported", "on_unsupported"),
    ],
)
def test_a_mistyped_option_is_told_its_like(call: str, given: str, meant: str) -> None:
    with pytest.raises(RequestError, match=f"unknown option {given}; did you mean {meant}"):
        CALLS[call](**{given: "loan"})


@pytest.mark.parametrize("call", AUDITS)
def test_so_it_is_of_audits(call: str) -> None:
    with pytest.raises(RequestError, match="unknown option labels; did you mean label"):
        AUDITS[call](labels="loan")
    with pytest.raises(RequestError, match="unknown option mode; there are: background, "):
        AUDITS[call](mode="lrp")


def test_one_like_none_is_told_all() -> None:
    with pytest.raises(RequestError, match="unknown option zzz; there are: background, baseline"):
        ExplainBatches(NET, zzz=1)


@pytest.mark.parametrize("name", ["skip_bad", "workers", "resume", "part_rows", "progress"])
def test_what_data_sets_take_is_no_option_of_batches(name: str) -> None:
    with pytest.raises(RequestError, match=f"{name} goes with explain_dataset, which counts and"):
        ExplainBatches(NET, **{name: True})
