"""The explanation as plain values: what --json prints and report.json keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.provenance import record as origin_record
from backtrace_onnx.report.answers import Answer, explained_answer, predicted_answer, rival_answer
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.identical_maps import find_same_maps
from backtrace_onnx.report.input_parts import InputPart
from backtrace_onnx.report.ranking import rank, with_relevance

AMOUNTS = ("start", "inputs", "constants", "unassigned", "cut", "residual")


def record(
    model: str, subjects: Sequence[ExplainedSample], *, top: int = 10, files: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything a machine may want of an explanation, as JSON values."""
    first = subjects[0].explanation
    return {
        "model": model,
        "mode": first.mode,
        "computes": first.computes,
        "conserved": first.conserved,
        "task": first.task,
        "output": first.output,
        "samples": [
            {**_sample(number, subject, top), "same_as": same_as}
            for number, (subject, same_as) in enumerate(
                zip(subjects, find_same_maps(subjects), strict=True)
            )
        ],
        "files": list(files),
        "origin": origin_record(first.origin),
    }


def balance(subject: ExplainedSample) -> dict[str, dict[str, float]]:
    """The ledger's totals of one sample: amount by channel and kind."""
    total = subject.explanation.ledger.total()
    return {
        name: {kind: _amount(getattr(total, kind), channel, subject.sample) for kind in AMOUNTS}
        for channel, (name, _) in enumerate(subject.channels)
    }


def _amount(totals: npt.NDArray[np.float64], channel: int, sample: int) -> float:
    """One of float64[channel, sample], or of what is alike for all."""
    channels, samples = totals.shape
    return float(totals[min(channel, channels - 1), min(sample, samples - 1)])


def _sample(number: int, subject: ExplainedSample, top: int) -> dict[str, Any]:
    mask = subject.mask
    return {
        "sample": number,
        "source": subject.source,
        "prediction": _answer(predicted_answer(subject)),
        "target": _answer(explained_answer(subject)),
        "other": _answer(rival_answer(subject)),
        "notes": subject.notes,
        "mask": None if mask is None else {"inside": int(mask.sum()), "of": int(mask.size)},
        "top": [_part(part, subject) for part in with_relevance(rank(subject))[:top]],
        "ledger": balance(subject),
        **({"reasons": subject.reasons.record()} if subject.reasons else {}),
    }


def _answer(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    index = answer.index[0] if len(answer.index) == 1 else list(answer.index)
    return {
        "index": index,
        "label": answer.label,
        "value": answer.value,
        "probability": answer.probability,
    }


def _part(part: InputPart, subject: ExplainedSample) -> dict[str, Any]:
    channels = [name for name, _ in subject.channels]
    return {
        "input": part.input,
        "name": part.name,
        "value": part.value,
        "relevance": part.relevance,
        "share": part.share,
        "channels": dict(zip(channels, part.channels, strict=True)),
        "box": None if part.box is None else list(part.box),
        "index": None if part.index is None else list(part.index),
        "members": None if part.members is None else list(part.members),
        "span": None if part.span is None else list(part.span),
    }
