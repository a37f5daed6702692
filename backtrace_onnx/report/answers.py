"""What the entries of an output are called, how likely they are, and which is explained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError
from backtrace_onnx.report.entry_answers import best_answer, entry_answer
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.targets.checking import largest
from backtrace_onnx.targets.entries import TASKS
from backtrace_onnx.targets.two_classes import boundary, of_class


@dataclass(frozen=True)
class Answer:
    """One entry of an output: where it is, what it is called, its value, and its probability.

    Attributes:
        classes: which number of the index is the class, where the others say of what.
    """

    index: tuple[int, ...]
    label: str | None
    value: float
    probability: float | None
    classes: int | None = None

    @property
    def name(self) -> str:
        """The label, or the index in words; with the box, position, pixel or step it is of."""
        at = self.classes
        if at is None or len(self.index) < 2:
            whole = "class " + ", ".join(map(str, self.index))
            return whole if self.label is None else self.label
        own = f"class {self.index[at]}" if self.label is None else self.label
        return f"{own} at {', '.join(map(str, (*self.index[:at], *self.index[at + 1 :])))}"

    def __str__(self) -> str:
        if self.probability is None:
            return f"{self.name} ({self.value:.4g})"
        return f"{self.name} ({percent(self.probability)})"


def percent(share: float) -> str:
    """A share in percent; what is not quite all or nothing does not look as if it were."""
    if 0.9995 <= share < 1:
        return ">99.9%"
    if -0.0005 < share < 0:
        return ">-0.1%"
    return "<0.1%" if 0 < share < 0.0005 else f"{share + 0.0:.1%}"


def predicted_answer(subject: ExplainedSample) -> Answer | None:
    """The largest entry of the output; None if the task has no such thing."""
    y = subject.output
    if y is None or y.size == 0 or subject.task == "segmentation":
        return None
    if subject.explanation.binary:
        return _of_two(subject, int(y.ravel()[0] >= boundary(subject.explanation.binary)))
    if subject.task in TASKS and subject.explanation.layout.class_axis is not None:
        return answer_at(subject, best_answer(subject.explanation, chosen_entry(subject), y))
    chosen = chosen_entry(subject)
    if y.ndim == 2 and chosen is not None and (subject.task == "generation" or subject.vocabulary):
        place = chosen // y.shape[1]
        return answer_at(subject, place * y.shape[1] + int(np.argmax(y[place])))
    real = None if subject.real is None else subject.real[None, subject.sample % len(subject.real)]
    return answer_at(subject, int(largest(np.asarray(y)[None], real)[0]))


def explained_answer(subject: ExplainedSample) -> Answer | None:
    """The entry that is explained; None if it is not a single one."""
    chosen = chosen_entry(subject)
    return None if chosen is None else answer_at(subject, chosen)


def rival_answer(subject: ExplainedSample) -> Answer | None:
    """The entry that the explained one is set against, if there is one."""
    return answer_at(subject, subject.entries[1]) if len(subject.entries) > 1 else None


def chosen_entry(subject: ExplainedSample) -> int | None:
    """The explained entry of the flattened output."""
    chosen, y = subject.explanation.target, subject.output
    if y is None:
        return None
    if subject.entries:
        return subject.entries[0]
    if chosen is not None and chosen.ndim == 2 and y.ndim == 2:
        place, token = chosen[subject.sample]
        return int(place) * int(y.shape[1]) + int(token)
    return int(chosen[subject.sample]) if chosen is not None and chosen.ndim == 1 else None


def answer_at(subject: ExplainedSample, flat: int) -> Answer:
    """An entry of the flattened output, or one of its two classes."""
    if subject.explanation.binary:
        return _of_two(subject, flat)
    y = np.asarray(subject.output, np.float64)
    if subject.task in TASKS and subject.explanation.layout.class_axis is not None:
        pair, label = entry_answer(subject.explanation, flat, y, subject.meaning.labels)
        return Answer(pair, label, float(y.ravel()[flat]), None)
    index = tuple(int(i) for i in np.unravel_index(flat, y.shape)) if y.ndim else ()
    if y.ndim == 2 and (subject.task == "generation" or subject.vocabulary):
        share: float | None = float(_softmax(y[index[0]])[index[1]])
        return Answer(index, _token(subject, index[1]), float(y[index]), share)
    row, place = _classes(subject, y, index)
    probabilities = _probabilities(subject, row)
    share = None if probabilities is None else float(probabilities[place])
    axis = subject.explanation.layout.class_axis if y.ndim > 1 else None
    if len(subject.meaning.labels) == y.size:  # each entry has a label of its own
        axis = None
    name = _label(subject, place, flat, row.size, y.size)
    return Answer(index, name, float(row[place]), share, None if axis is None else axis - 1)


def _of_two(subject: ExplainedSample, place: int) -> Answer:
    """Class 1, of which the output's one entry tells, or class 0, which has the rest."""
    two, labels = subject.explanation.binary, subject.meaning.labels
    value = of_class(two, float(np.asarray(subject.output, np.float64).ravel()[0]), place)
    share = value if two == "probability" else None
    return Answer((place,), labels[place] if len(labels) == 2 else None, value, share)


def _classes(
    subject: ExplainedSample, y: npt.NDArray[np.float64], index: tuple[int, ...]
) -> tuple[npt.NDArray[np.float64], int]:
    """The values of the classes that an entry is one of, and its place among them."""
    axis = subject.explanation.layout.class_axis
    if axis is None or y.ndim < 2:
        return y.ravel(), int(np.ravel_multi_index(index, y.shape)) if index else 0
    before, place, after = index[: axis - 1], index[axis - 1], index[axis:]
    return np.moveaxis(y, axis - 1, -1)[(*before, *after)], place


def _token(subject: ExplainedSample, token: int) -> str | None:
    vocabulary = subject.vocabulary
    if vocabulary is not None:
        return repr(vocabulary.tokens([token])[0].text)
    labels = subject.meaning.labels
    return labels[token] if token < len(labels) else None


def _label(
    subject: ExplainedSample, place: int, flat: int, classes: int, entries: int
) -> str | None:
    """The label of a class, or of an entry where there are as many labels as entries."""
    labels = subject.meaning.labels
    if not labels or entries == 1:
        return None
    if len(labels) == entries:
        return labels[flat]
    if len(labels) == classes:
        return labels[place]
    if subject.sidecar:
        each = f", {classes} for each of {entries // classes}" if entries > classes else ""
        raise InputError(
            f"{subject.sidecar.path}: outputs.{subject.explanation.output}.labels: there are "
            f"{len(labels)}, but the output has {entries} entries{each}"
        )
    return None


def _probabilities(
    subject: ExplainedSample, y: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64] | None:
    """y if it is a distribution; its softmax if the sidecar calls it a classification."""
    if subject.task not in ("classification", "start") or y.size < 2 or not np.isfinite(y).all():
        return None
    if (y >= 0).all() and abs(y.sum() - 1) < 1e-3:
        return y
    return _softmax(y) if subject.meaning.task == "classification" else None


def _softmax(y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """y itself where it is a distribution already."""
    if (y >= 0).all() and abs(y.sum() - 1) < 1e-3:
        return y
    raised = np.exp(y - y.max())
    softmax: npt.NDArray[np.float64] = raised / raised.sum()
    return softmax
