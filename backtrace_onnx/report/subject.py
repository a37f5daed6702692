"""What a report shows of one sample: its answer, what is explained, and how inputs are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.entries import TASKS
from backtrace_onnx.errors import InputError
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.images import ImageInput
from backtrace_onnx.meanings import OutputMeaning
from backtrace_onnx.notes import about
from backtrace_onnx.report.entry_answers import best_answer, entry_answer
from backtrace_onnx.series import SeriesInput
from backtrace_onnx.sidecar import Sidecar
from backtrace_onnx.spectrograms import SpectrogramInput
from backtrace_onnx.stages import Flow
from backtrace_onnx.tables import TableInput
from backtrace_onnx.text_inputs import TextInput, companions
from backtrace_onnx.tokenizer import Tokenizer

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[Any]
NAMED = ("classification", "generation", *TASKS)  # tasks that explain an entry with a name


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
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


@dataclass(frozen=True)
class Subject:
    """One sample of an explanation, with what the sidecar says about the model.

    Attributes:
        source: where the sample came from, for people.
        threshold: over which an entry of a segmentation belongs to the mask.
        entries: the entry of the flattened output that was asked for, and the one it is set
            against, where the explanation itself does not say.
        words: whether the tokens of a text are shown as words.
        groups: members of the groups of entries that are shown as one, by name.
        box: of a detector: left, top, right and bottom in pixels of the input.
        originals: the pictures that inputs were made of, as they were opened.
        flow: stages of the network, and relevance inside it, where that was kept.
    """

    explanation: Explanation
    sample: int = 0
    source: str = ""
    sidecar: Sidecar | None = None
    threshold: float = 0.5
    entries: tuple[int, ...] = ()
    words: bool = False
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    originals: Mapping[str, Image.Image] = field(default_factory=dict)
    flow: Flow = field(default_factory=Flow)

    @property
    def samples(self) -> int:
        """How many samples were explained together."""
        return int(self.explanation.ledger.total().start.shape[1])

    @property
    def channels(self) -> tuple[tuple[str, Mapping[str, Array]], ...]:
        """Name and relevance of every channel; only two-channel modes have a negative one."""
        e = self.explanation
        both = (("positive", e.positive), ("negative", e.negative))
        return both if e.negative else both[:1]

    @property
    def notes(self) -> list[str]:
        """What was assumed or is doubtful about this sample's explanation."""
        return about(self.explanation.notes, self.sample)

    @property
    def warnings(self) -> list[str]:
        """The notes that say why this sample's explanation tells next to nothing."""
        return about(self.explanation.notes, self.sample, warning=True)

    def own(self, array: Array, name: str) -> Array:
        """This sample's part of a tensor of the whole batch, or of its relevance."""
        axis = self.sample_axis(name, array.shape)
        return array if axis is None else np.asarray(array.take(self.sample, axis))

    def sample_axis(self, name: str, shape: Sequence[int]) -> int | None:
        """Where the samples of a tensor lie; None where it is one for all.

        The explanation tells of inputs; in other tensors, and where an older file does not tell,
        it is the first of two axes that is as long as there are samples.
        """
        axes = self.explanation.axes
        likely = (axis for axis, n in enumerate(shape[:2]) if n == self.samples)
        return axes[name] if name in axes else next(likely, None)

    def relevance(self, name: str) -> Array:
        """This sample's relevance of an input (positive minus negative)."""
        return self.own(self.explanation.relevance[name], name)

    def is_column(self, name: str) -> bool:
        """Whether an input is one column of a table: one entry a sample, with a name."""
        e = self.explanation
        return len(e.names.get(name, ())) == 1 and self.own(e.inputs[name], name).size == 1

    def image(self, name: str) -> ImageInput | None:
        """How the sidecar makes a picture this input, if it does."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        return entry if isinstance(entry, ImageInput) else None

    def table(self, name: str) -> TableInput | None:
        """Which columns the sidecar puts into this input, if it says."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        return entry if isinstance(entry, TableInput) else None

    def series(self, name: str) -> SeriesInput | None:
        """How the sidecar makes a wave or channels over time this input, if it does."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        fits = isinstance(entry, SeriesInput) and entry.fits(self.relevance(name))
        return entry if fits and isinstance(entry, SeriesInput) else None

    def spectrogram(self, name: str) -> SpectrogramInput | None:
        """How the sidecar makes sound this input, if it does."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        fits = isinstance(entry, SpectrogramInput) and entry.fits(self.relevance(name))
        return entry if fits and isinstance(entry, SpectrogramInput) else None

    def text(self, name: str) -> TextInput | None:
        """How the sidecar makes a text this input, if it does."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        return entry if isinstance(entry, TextInput) else None

    @property
    def texts(self) -> dict[str, TextInput]:
        """The inputs that are made of texts."""
        found = {name: self.text(name) for name in self.explanation.inputs}
        return {name: entry for name, entry in found.items() if entry is not None}

    @property
    def companions(self) -> frozenset[str]:
        """Inputs that only go with the texts: masks, types, positions."""
        inputs = tuple(self.explanation.inputs)
        found = (companions(name, inputs, entry.given) for name, entry in self.texts.items())
        names = (name for c in found for name in (c.mask, c.types, c.positions))
        return frozenset(name for name in names if name is not None)

    @property
    def vocabulary(self) -> Tokenizer | None:
        """What the entries of an output [positions, tokens] are called, in a language model."""
        y = self.output
        if y is None or y.ndim != 2:
            return None
        known = (entry.tokenizer for entry in self.texts.values())
        return next((t for t in known if y.shape[1] >= t.size), None)

    @property
    def meaning(self) -> OutputMeaning:
        """What the sidecar says about the explained output."""
        known = self.sidecar.outputs.get(self.explanation.output) if self.sidecar else None
        return known or OutputMeaning()

    @property
    def output(self) -> Array | None:
        """This sample's explained output, where the model returns it."""
        y = self.explanation.outputs.get(self.explanation.output)
        return None if y is None else self.explanation.layout.of_sample(np.asarray(y), self.sample)

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """Entries of a segmentation over the threshold."""
        y = self.output
        return y > self.threshold if y is not None and self.task == "segmentation" else None

    def masked(self) -> list[tuple[str, int]]:
        """Classes of a segmentation [classes, ...] and their entries in the mask, largest first.

        Empty where the sidecar does not name as many classes as the mask's first axis has.
        """
        mask, labels = self.mask, self.meaning.labels
        if mask is None or mask.ndim < 2 or len(labels) != len(mask):
            return []
        counts = [(name, int(own.sum())) for name, own in zip(labels, mask, strict=True)]
        return sorted((row for row in counts if row[1]), key=lambda row: -row[1])

    @property
    def task(self) -> str:
        """The task, as asked."""
        return self.explanation.task

    def prediction(self) -> Answer | None:
        """The largest entry of the output; None if the task has no such thing."""
        y = self.output
        if y is None or y.size == 0 or self.task == "segmentation":
            return None
        if self.explanation.binary:
            return self._of_two(int(y.ravel()[0] >= 0.5))
        if self.task in TASKS and self.explanation.layout.class_axis is not None:
            return self.answer(best_answer(self.explanation, self._chosen(), y))
        chosen = self._chosen()
        if y.ndim == 2 and chosen is not None and (self.task == "generation" or self.vocabulary):
            place = chosen // y.shape[1]
            return self.answer(place * y.shape[1] + int(np.argmax(y[place])))
        return self.answer(int(np.argmax(y)))

    def target(self) -> Answer | None:
        """The entry that is explained; None if it is not a single one."""
        chosen = self._chosen()
        return None if chosen is None else self.answer(chosen)

    def other(self) -> Answer | None:
        """The entry that the explained one is set against, if there is one."""
        return self.answer(self.entries[1]) if len(self.entries) > 1 else None

    def _chosen(self) -> int | None:
        """The explained entry of the flattened output."""
        chosen, y = self.explanation.target, self.output
        if y is None:
            return None
        if self.entries:
            return self.entries[0]
        if chosen is not None and chosen.ndim == 2 and y.ndim == 2:
            place, token = chosen[self.sample]
            return int(place) * int(y.shape[1]) + int(token)
        return int(chosen[self.sample]) if chosen is not None and chosen.ndim == 1 else None

    def answer(self, flat: int) -> Answer:
        """An entry of the flattened output, or one of its two classes."""
        if self.explanation.binary:
            return self._of_two(flat)
        y = np.asarray(self.output, np.float64)
        if self.task in TASKS and self.explanation.layout.class_axis is not None:
            pair, label = entry_answer(self.explanation, flat, y, self.meaning.labels)
            return Answer(pair, label, float(y.ravel()[flat]), None)
        index = tuple(int(i) for i in np.unravel_index(flat, y.shape)) if y.ndim else ()
        if y.ndim == 2 and (self.task == "generation" or self.vocabulary):
            share: float | None = float(_softmax(y[index[0]])[index[1]])
            return Answer(index, self._token(index[1]), float(y[index]), share)
        row, place = self._classes(y, index)
        probabilities = self._probabilities(row)
        share = None if probabilities is None else float(probabilities[place])
        axis = self.explanation.layout.class_axis if y.ndim > 1 else None
        if len(self.meaning.labels) == y.size:  # each entry has a label of its own
            axis = None
        name = self._label(place, flat, row.size, y.size)
        return Answer(index, name, float(row[place]), share, None if axis is None else axis - 1)

    def _of_two(self, place: int) -> Answer:
        """Class 1, whose probability is the output's one entry, or class 0, which has the rest."""
        one = float(np.asarray(self.output, np.float64).ravel()[0])
        value, labels = (one if place else 1 - one), self.meaning.labels
        return Answer((place,), labels[place] if len(labels) == 2 else None, value, value)

    def _classes(
        self, y: npt.NDArray[np.float64], index: tuple[int, ...]
    ) -> tuple[npt.NDArray[np.float64], int]:
        """The values of the classes that an entry is one of, and its place among them."""
        axis = self.explanation.layout.class_axis
        if axis is None or y.ndim < 2:
            return y.ravel(), int(np.ravel_multi_index(index, y.shape)) if index else 0
        before, place, after = index[: axis - 1], index[axis - 1], index[axis:]
        return np.moveaxis(y, axis - 1, -1)[(*before, *after)], place

    def _token(self, token: int) -> str | None:
        vocabulary = self.vocabulary
        if vocabulary is not None:
            return repr(vocabulary.tokens([token])[0].text)
        labels = self.meaning.labels
        return labels[token] if token < len(labels) else None

    def _label(self, place: int, flat: int, classes: int, entries: int) -> str | None:
        """The label of a class, or of an entry where there are as many labels as entries."""
        labels = self.meaning.labels
        if not labels or entries == 1:
            return None
        if len(labels) == entries:
            return labels[flat]
        if len(labels) == classes:
            return labels[place]
        if self.sidecar:
            each = f", {classes} for each of {entries // classes}" if entries > classes else ""
            raise InputError(
                f"{self.sidecar.path}: outputs.{self.explanation.output}.labels: there are "
                f"{len(labels)}, but the output has {entries} entries{each}"
            )
        return None

    def _probabilities(self, y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """y if it is a distribution; its softmax if the sidecar calls it a classification."""
        if self.task not in ("classification", "start") or y.size < 2 or not np.isfinite(y).all():
            return None
        if (y >= 0).all() and abs(y.sum() - 1) < 1e-3:
            return y
        return _softmax(y) if self.meaning.task == "classification" else None


def _softmax(y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """y itself where it is a distribution already."""
    if (y >= 0).all() and abs(y.sum() - 1) < 1e-3:
        return y
    raised = np.exp(y - y.max())
    softmax: npt.NDArray[np.float64] = raised / raised.sum()
    return softmax
