"""The check whether answers rest on what lies inside a mask: an object, a field, an organ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.answer_parts import AnswerPart, answer_parts
from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.intervention import DRAWS, moved
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.array_files import read_file
from backtrace_onnx.inputs.images import ImageInput, open_image
from backtrace_onnx.metrics import mass_inside

Array = npt.NDArray[Any]
TOLD = 20


def read_mask(path: Path, subject: AuditedModel) -> tuple[str, Array]:
    """The input that a mask is of, and bool[rows or 1, ...] shaped like its samples.

    A .npy or .npz file holds an array of one sample's shape, or of all rows' shapes; of pictures
    without channels, too. Any other file is a picture; what is not black is inside. Raises
    InputError where it does not fit.
    """
    owner = subject.features.owner
    pictures = [n for n in owner if isinstance(_entry(subject, n), ImageInput)]
    names = pictures or [*owner]
    if len(names) != 1:
        raise InputError(f"{path}: a mask is of one input, and there are {', '.join(names)}")
    (name,) = names
    shape, entry = subject.data.feeds[name].shape, _entry(subject, name)
    content = read_file(path)
    if isinstance(content, Mapping):
        content = content.get(name)
    if isinstance(content, Path):
        if not isinstance(entry, ImageInput):
            raise InputError(f"{path}: is no .npy or .npz file, and {name!r} no picture")
        picture = open_image(path).convert("L").resize((entry.width, entry.height), 0)
        content = np.asarray(picture) > 0
    mask = np.asarray(content)
    if isinstance(entry, ImageInput) and len(shape) == 4:
        plain = shape[2:] if entry.layout == "NCHW" else shape[1:3]
        if mask.shape in (plain, (shape[0], *plain)):
            mask = np.expand_dims(mask, -3 if entry.layout == "NCHW" else -1)
    try:
        inside = np.broadcast_to(mask.astype(bool), shape)
    except (ValueError, TypeError):
        raise InputError(
            f"{path}: a mask of shape {mask.shape} does not fit {name!r}, {shape}"
        ) from None
    return name, inside


def _entry(subject: AuditedModel, name: str) -> object:
    return subject.sidecar.inputs.get(name) if subject.sidecar else None


def _outside(case: Case) -> Measured:
    subject, path = case.subject, case.subject.settings.mask
    if path is None:
        raise SkipCheck("the settings name no mask")
    name, inside = read_mask(Path(path), subject)
    sizes = np.abs(np.asarray(subject.whole.relevance[name], np.float64))
    found = 1 - mass_inside(sizes, inside)
    told = np.isfinite(found)
    if not told.any():
        raise SkipCheck("the maps of all rows are empty")
    means = [(float(found[p.rows][told[p.rows]].mean()), p) for p in _told_parts(subject, told)]
    value, part = max(means, key=lambda one: one[0])
    worst = np.argsort(-np.where(told, found, -1.0), kind="stable")[:TOLD]
    confirmed, record = _moves(case, name, inside, part.rows)
    evidence = {
        "input": name,
        "area_outside": round(float(1 - inside.mean()), 6),
        "by_answer": {p.answer or "(all)": round(mean, 6) for mean, p in means},
        "rows": [
            {**subject.data.told(i), "outside": round(float(found[i]), 6)} for i in worst if told[i]
        ],
        "intervention": record,
    }
    text = (
        f"{value:.1%} of |relevance| lies outside the mask{part.where}, which is "
        f"{1 - inside.mean():.1%} of the area"
    )
    of = case.some(int(told[part.rows].sum()), part.where)
    return Measured(value, text, evidence, confirmed, of=of)


def _told_parts(subject: AuditedModel, told: Array) -> list[AnswerPart]:
    """All rows, and those of each answer, where any map is not empty."""
    return [part for part in answer_parts(subject) if told[part.rows].any()]


def _moves(
    case: Case, name: str, inside: Array, among: Array
) -> tuple[bool | None, dict[str, Any]]:
    """Whether answers of some rows move as what lies outside is that of other rows."""
    subject, rows = case.subject, case.subject.drawn(case.rows, among)
    x = subject.data.feeds[name]
    origin = np.repeat(rows, DRAWS)
    donors = np.random.default_rng(subject.seed).integers(subject.data.count, size=len(origin))
    made = np.where(inside[origin], x[origin], x[donors])
    other = (made != x[origin]).reshape(len(origin), -1).any(1)
    if not other.any():
        return None, {}
    origin = origin[other]
    feeds = {**subject.data.rows(origin), name: made[other].astype(x.dtype)}
    found = moved(subject, subject.scores(feeds), origin)
    return found.confirms, found.record()


CHECKS = (
    Check(
        "relevance-outside-mask",
        "Do answers rest on what lies inside the mask?",
        "at most",
        0.5,
        PROPOSAL,
        "error",
        _outside,
        rows=50,
    ),
)
