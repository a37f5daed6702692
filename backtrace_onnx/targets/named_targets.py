"""Targets as people write them: the label of a class, an index, or one index for each axis."""

from __future__ import annotations

from collections.abc import Sequence

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.similar_names import find_alike


def read_target(text: str, labels: Sequence[str]) -> int | tuple[int, ...]:
    """A label's index, an index, or an index per axis: `2,7`; the last may be a label: `13,bus`.

    A label that is a number is the label. Raises RequestError for what is neither.
    """
    if text in labels:
        return labels.index(text)
    try:
        *first, last = text.split(",")
        named = first and last.strip() in labels
        class_ = labels.index(last.strip()) if named else int(last)
        index = (*(int(number) for number in first), class_)
    except ValueError:
        raise RequestError(_unknown(text, labels)) from None
    return index[0] if len(index) == 1 else index


def _unknown(text: str, labels: Sequence[str]) -> str:
    if not labels:
        return (
            f"target {text!r} is no index, and neither the model nor a sidecar names the entries "
            "of the output"
        )
    close = find_alike(text, labels, cutoff=0.5) or list(labels[:5])
    told = ", ".join(close)
    return f"target {text!r} is neither an index nor a label; there are, for example: {told}"


__all__ = ["read_target"]
