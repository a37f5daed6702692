"""What every explanation must be: the oracle's, closed in its books, and the same when compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from backtrace_onnx import Explanation
from tests.cases import Case, channels, starts
from tests.dense_oracle import expected

Array = npt.NDArray[Any]
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
CANCELS = {
    "epsilon(absolute=1e-6)": 10.0
}  # divides by p - n: in float32 a difference of near numbers


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
