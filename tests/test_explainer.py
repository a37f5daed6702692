"""The calls users make."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import backtrace_onnx as bt
from tests.graphs import mlp, normal

X = normal(3, 4, seed=5)


def test_explain_once_is_an_explainer_used_once() -> None:
    found = bt.explain(mlp(), X, mode="epsilon(absolute=1e-6)", keep="all")
    wanted = bt.Explainer(mlp()).explain(X, mode="epsilon(absolute=1e-6)", keep="all")
    for name, r in wanted.relevance.items():
        assert np.array_equal(found.relevance[name], r)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tensorflow"}, "unknown engine 'tensorflow'; there are: numba, onnxruntime"),
        ({"on_unsupported": "ignore"}, "on_unsupported is error, pass or stop, not 'ignore'"),
    ],
)
def test_options_that_do_not_exist(options: dict[str, Any], message: str) -> None:
    with pytest.raises(bt.RequestError, match=message):
        bt.Explainer(mlp(), **options)


def test_everything_after_the_first_argument_goes_by_name() -> None:
    with pytest.raises(TypeError):
        bt.Explainer(mlp(), "numba")  # type: ignore[misc]
    with pytest.raises(TypeError):
        bt.Explainer(mlp()).explain(X, "default")  # type: ignore[misc]


def test_a_row_of_support_per_node() -> None:
    rows = bt.Explainer(mlp()).support()
    assert [(r.node, r.operator, r.coverage) for r in rows] == [
        ("fc1", "Gemm", "exact"),
        ("act", "Relu", "exact"),
        ("fc2", "Gemm", "exact"),
    ]
    assert all(r.rule for r in rows)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_threads_share_an_explainer(engine: Any) -> None:
    explainer = bt.Explainer(mlp(), engine=engine)
    asked = [
        (normal(1 + i % 3, 4, seed=i), mode, output)
        for i in range(12)
        for mode in ("default", "contrastive")
        for output in ("y", "h")
    ]

    def run(job: tuple[Any, str, str]) -> Any:
        return explainer.explain(job[0], mode=job[1], output=job[2]).relevance["x"]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, asked))
    alone = bt.Explainer(mlp(), engine=engine)
    for found, (x, mode, output) in zip(together, asked, strict=True):
        wanted = alone.explain(x, mode=mode, output=output).relevance["x"]
        assert np.allclose(found, wanted, rtol=1e-6, atol=1e-7)


def test_public_names_are_sorted_and_there() -> None:
    assert bt.__all__ == sorted(bt.__all__, key=lambda name: (name.islower(), name))
    for name in bt.__all__:
        assert getattr(bt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bt.nothing  # type: ignore[attr-defined]


def test_importing_is_instant() -> None:
    code = (
        "import sys, backtrace_onnx; print(sorted({'numba', 'onnx', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_errors_are_one_family_with_exit_codes() -> None:
    kinds = [getattr(bt, name) for name in bt.__all__ if name.endswith("Error")]
    assert all(issubclass(kind, bt.BacktraceError) for kind in kinds)
    codes = {kind.__name__: kind.exit_code for kind in kinds}
    refused = ("Unsupported", "Compile", "Export", "Numerical", "Audit")
    assert {codes.pop(f"{name}Error") for name in refused} == {3}
    assert set(codes.values()) == {2}
