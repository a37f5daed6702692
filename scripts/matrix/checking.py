"""What becomes of one .onnx file: loaded, explained in every mode, by both engines, compiled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

import backtrace_onnx as bt
from backtrace_onnx.propagation.ledger import Ledger

AMPLIFIES = "epsilon(absolute=1e-6)"
MODES = ("default", "contrastive", AMPLIFIES, "gradient", "lrp", "deeplift")
CLOSED, ALIKE, COARSE_ALIKE = 1e-3, 1e-3, 1e-2
"""Residual of the ledger relative to what moved; difference of engines relative to the largest.

The last is for files that compute in float16, whose step is 1e-3, or in 8 bits, whose step is 4e-3:
onnxruntime's CPU rounds between nodes, or to the next step, depending on what else the graph holds.
"""

ROUNDED = 1e-5
"""Of the start: differences below are rounding, as where relevance is 0 but for that."""

Record = dict[str, Any]
Feeds = Mapping[str, np.ndarray]


def check(path: Path, feeds: Feeds) -> Record:
    """Explain a file; `outcome` is explained, refused, wrong or not loaded, `reason` says why."""
    try:
        session = _session(path)
    except Exception as error:  # onnxruntime raises many types
        return {"outcome": "not exported", "reason": f"onnxruntime: {_words(error)}"}
    taken = {i.name for i in session.get_inputs()}
    feeds = {name: x for name, x in feeds.items() if name in taken}
    try:
        found = _explain(path, feeds)
    except bt.BacktraceError as error:
        return {"outcome": "refused", "reason": _words(error)}
    except TimeoutError:
        raise
    except Exception as error:  # a fault: whatever is not one of our own errors
        return {"outcome": "wrong", "reason": f"{type(error).__name__}: {_words(error)}"}
    return found


def _explain(path: Path, feeds: Feeds) -> Record:
    explainer = bt.Explainer(path)
    compiled = bt.Explainer(path, engine="onnxruntime")
    record: Record = {"outcome": "explained", "residual": 0.0, "engines": 0.0, "notes": []}
    record["allowed"] = COARSE_ALIKE if _is_coarse(path) else ALIKE
    troubles: list[str] = []
    for mode in MODES:
        try:
            got = explainer.explain(feeds, mode=mode)
        except bt.BacktraceError as error:
            if mode == "default":
                raise
            record["notes"].append(f"{mode}: {_words(error)}")
            continue
        record["notes"] += [str(n) for n in got.notes if str(n) not in record["notes"]]
        record["residual"] = max(record["residual"], _residual(got.ledger))
        record.setdefault("reached", {})[mode] = _reached(got)
        troubles += _compare(record, compiled, got, feeds, mode)
    troubles += _compile(record, explainer, path, feeds)
    if not record["residual"] < CLOSED:
        troubles.append(f"the ledger does not close: {record['residual']:.1e}")
    if troubles:
        record |= {"outcome": "wrong", "reason": "; ".join(troubles)}
    return record


def _compare(
    record: Record, compiled: bt.Explainer, got: bt.Explanation, feeds: Feeds, mode: str
) -> list[str]:
    """Troubles of the other engine; its refusals are notes."""
    try:
        other = compiled.explain(feeds, mode=mode)
    except bt.BacktraceError as error:
        record["notes"].append(f"onnxruntime, {mode}: {_words(error)}")
        return []
    least = ROUNDED * float(np.abs(got.ledger.total().start).max(initial=0.0))
    apart = max((_apart(got.relevance[n], other.relevance[n], least) for n in feeds), default=0.0)
    trouble = [f"engines differ in {mode}: {apart:.1e}"] if apart >= record["allowed"] else []
    if mode == AMPLIFIES and any("grew to" in str(note) for note in got.notes):
        record["notes"] += trouble  # amplified rounding, as the explanation says itself
        return []
    record["engines"] = max(record["engines"], apart)
    return trouble


def _compile(record: Record, explainer: bt.Explainer, path: Path, feeds: Feeds) -> list[str]:
    """Troubles of the compiled file; refusals are notes."""
    file, wanted = path.with_name("compiled.onnx"), explainer.explain(feeds)
    try:
        try:
            explainer.compile(file)
        except bt.RequestError:  # the task is known only when it runs
            explainer.compile(file, task=wanted.task)
    except bt.BacktraceError as error:
        record["compiled"] = f"refused: {_words(error)}"
        return []
    session = _session(file)
    names = [o.name for o in session.get_outputs() if o.name.startswith("relevance/")]
    taken = {i.name for i in session.get_inputs()}
    given = {name: x for name, x in feeds.items() if name in taken}
    made = dict(zip(names, session.run(names, given), strict=True))
    apart = max(
        (_apart(wanted.relevance[n.split("/", 1)[1]], r) for n, r in made.items()), default=0.0
    )
    agrees = apart < record["allowed"]
    record["compiled"] = "agrees" if agrees else f"differs: {apart:.1e}"
    return [] if agrees else [f"the compiled file differs: {apart:.1e}"]


def _residual(ledger: Ledger) -> float:
    """The largest residual, relative to what moved at either end or through any node.

    What cancels is rounded, too: in epsilon, 1e7 at a node may leave a total of 10.
    """
    total, sizes = ledger.total(), ledger.sizes
    ends = (total.start, total.constants, total.unassigned, sizes.start, sizes.inputs)
    books = (*ends, *(entry.incoming for entry in ledger.values()))
    moved = np.maximum.reduce([np.abs(x) for x in books])
    return float(np.max(np.abs(total.residual) / np.where(moved > 0, moved, 1), initial=0.0))


def _is_coarse(path: Path) -> bool:
    """Whether anything is computed in float16 or in steps of 8 bits."""
    proto = onnx.shape_inference.infer_shapes(onnx.load(path))
    values = (*proto.graph.value_info, *proto.graph.output)
    halves = any(v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16 for v in values)
    return halves or any(node.op_type.startswith("QLinear") for node in proto.graph.node)


def _reached(got: bt.Explanation) -> float:
    total = got.ledger.total()
    start = float(np.abs(total.start).sum())
    return float(np.abs(total.inputs).sum()) / start if start else 0.0


def _apart(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> float:
    """The largest difference, relative to the largest entry; 0 if it is below `least`."""
    if np.shape(a) != np.shape(b):
        return float("inf")
    difference = float(np.abs(a - b).max(initial=0.0))
    apart = difference / (float(np.abs(a).max(initial=0.0)) or 1.0)
    if difference < least:
        return 0.0
    return apart if np.isfinite(apart) else float("inf")


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _words(error: Exception) -> str:
    """An error's text on one line, of bounded length, without colours and this machine's paths."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    words = [Path(w).name if w.startswith("/") else w for w in text.split(" ")]
    return " ".join(words)[:400]
