"""Computes saved explanations, audit reports and baselines again, and compares bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.model.digest import digest
from backtrace_onnx.model.loading import load
from backtrace_onnx.provenance import machine, options_of, versions

File = str | os.PathLike[str]
GROUPS = ("outputs", "relevance", "positive", "negative", "slopes")
TOLD = 20


@dataclass(frozen=True)
class Verified:
    """What became of a file.

    Attributes:
        kind: explanation, audit report or baseline. compared: how many arrays or values.
        different: what is not the same bit for bit. notes: what may be why.
    """

    file: str
    kind: str
    compared: int
    different: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def same(self) -> bool:
        """Whether everything is the same, bit for bit."""
        return not self.different


def verify(file: File, *, model: File | None = None, data: Any = ()) -> Verified:
    """Compute what a file holds again, and compare.

    Args:
        file: what `Explanation.save`, `explain --out`, `audit --json` or `--write-baseline` wrote.
        model: the .onnx file, where it lies elsewhere than it did; a baseline needs it.
        data: the rows of a report or a baseline, likewise: files, or rows at hand.

    Raises InputError where the file, or what it was made of, is not there or is another one.
    """
    path = Path(file)
    if path.is_dir():
        found = sorted(path.glob("explanation*.npz"))
        if len(found) != 1:
            what = f"{len(found)} explanations; name one of them" if found else "no explanation.npz"
            raise InputError(f"{path}: holds {what}")
        (path,) = found
    if path.suffix.lower() == ".npz":
        return _explanation(path, model)
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    kind = content.get("kind") if isinstance(content, Mapping) else None
    if kind == "backtrace-onnx audit report":
        return _report(path, content, model, data)
    if kind == "backtrace-onnx audit baseline":
        return _baseline(path, model, data)
    raise InputError(
        f"{path}: is no saved explanation (.npz), audit report or baseline; of `explain --out` "
        "name the folder"
    )


def _explanation(path: Path, model: File | None) -> Verified:
    saved = Explanation.load(path)
    origin = saved.origin
    if not origin:
        raise InputError(f"{path}: was saved by an earlier version, and does not tell its origin")
    if origin["lost"]:
        listed = ", ".join(origin["lost"])
        raise RequestError(f"{path}: was made with what no file keeps, and cannot be: {listed}")
    about = origin["model"]
    place = model or about["path"]
    if place is None:
        raise InputError(f"{path}: the model was no file; name one with --model")
    found = digest(load(place))
    if found != about["sha256"]:
        raise InputError(f"{place}: is another model ({found[:12]}) than {about['sha256'][:12]}")
    explainer = Explainer(place, engine=about["engine"], on_unsupported=about["on_unsupported"])
    made = explainer.explain(dict(saved.inputs), **options_of(origin))
    pairs = [
        (f"{group} of {name}", own, getattr(made, group).get(name))
        for group in GROUPS
        for name, own in getattr(saved, group).items()
    ]
    total = [("ledger", _totals(saved), _totals(made))]
    if saved.target is not None:
        total.append(("target", saved.target, made.target))
    every = [*pairs, *total]
    different = tuple(name for name, a, b in every if not _same(a, b))
    return Verified(str(path), "explanation", len(every), different, _notes(origin, different))


def _totals(explanation: Explanation) -> Any:
    found = explanation.ledger.total()
    kinds = (found.start, found.inputs, found.constants, found.unassigned)
    return np.stack(np.broadcast_arrays(*kinds))


def _same(a: Any, b: Any) -> bool:
    if b is None:
        return False
    first, second = np.asarray(a), np.asarray(b)
    if first.shape != second.shape:
        return False
    if "O" in (first.dtype.kind, second.dtype.kind) or "U" in (first.dtype.kind, second.dtype.kind):
        return bool((first.astype(str) == second.astype(str)).all())
    return first.dtype == second.dtype and first.tobytes() == second.tobytes()


def _notes(was: Mapping[str, Any], different: Sequence[str]) -> tuple[str, ...]:
    """Other versions and machines, which may be why bits differ."""
    if not different:
        return ()
    now = versions()
    notes = [
        f"{name} is {now.get(name, 'absent')} here, and was {old}"
        for name, old in was["versions"].items()
        if now.get(name) != old
    ]
    if was.get("machine", machine()) != machine():
        notes.append(f"this machine is {machine()}, it was {was['machine']}")
    return tuple(notes)


def _report(path: Path, content: Mapping[str, Any], model: File | None, data: Any) -> Verified:
    from backtrace_onnx.audit.recomputing import recompute_report

    made = recompute_report(path, content, model, data)
    different = _differences(content, made)
    return Verified(str(path), "audit report", len(content), different, _notes(content, different))


def _baseline(path: Path, model: File | None, data: Any) -> Verified:
    from backtrace_onnx.audit.recomputing import is_named, recompute_baseline

    if model is None or not is_named(data):
        raise RequestError(
            f"{path}: a baseline does not tell where its model and data lie; "
            "name them with --model and --data"
        )
    was, made = recompute_baseline(path, model, data)
    different = _differences(was, made)
    return Verified(str(path), "baseline", len(was), different, _notes(was, different))


def _differences(was: Any, now: Any, at: str = "") -> tuple[str, ...]:
    """Places at which JSON values differ, the first ones."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        keys = [*was, *(key for key in now if key not in was)]
        found = [d for key in keys for d in _differences(was.get(key), now.get(key), f"{at}.{key}")]
        return tuple(found[:TOLD])
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = enumerate(zip(was, now, strict=True))
        return tuple(d for i, pair in pairs for d in _differences(*pair, f"{at}[{i}]"))[:TOLD]
    return () if was == now and type(was) is type(now) else (at.removeprefix("."),)


__all__ = ["Verified", "verify"]
