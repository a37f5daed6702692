"""What a report shows of one sample: its answer, what is explained, and how inputs are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.explanation import Explanation
from backtrace_onnx.inputs.class_names import count_classes, named_by_file
from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.inputs.series import SeriesInput
from backtrace_onnx.inputs.sidecar import Sidecar, meaning_of
from backtrace_onnx.inputs.spectrograms import SpectrogramInput
from backtrace_onnx.inputs.tables import TableInput
from backtrace_onnx.messages.notes import about
from backtrace_onnx.report.given_reasons import GivenReasons
from backtrace_onnx.report.stages import Flow
from backtrace_onnx.results.support import Support
from backtrace_onnx.results.text_tokens import TextToken
from backtrace_onnx.targets.entries import TASKS
from backtrace_onnx.text.inputs import TextInput, companions
from backtrace_onnx.text.tokenizer_file import TokenizerFile

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[Any]
NAMED = ("classification", "generation", *TASKS)  # tasks that explain an entry with a name


@dataclass(frozen=True)
class ExplainedSample:
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
        attention: "mean", or the number of a layer, whose attention is drawn; None: none.
        support: how every node of the model is explained, where that was asked for.
        real: boolean [samples, tokens]: which positions of the output are no padding, where known.
        reasons: sentences of people against an outcome, where they were asked for.
        class_names: what the model's file calls the classes.
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
    real: Array | None = None
    attention: str | None = None
    support: Sequence[Support] = ()
    reasons: GivenReasons | None = None
    class_names: tuple[str, ...] = ()

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
        named = len(e.names.get(name, ())) == 1 and not self.is_text(name)
        return named and self.own(e.inputs[name], name).size == 1

    def image(self, name: str) -> ImageInput | None:
        """How a picture becomes this input, by the sidecar; None where it says no such thing."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        return entry if isinstance(entry, ImageInput) else None

    def table(self, name: str) -> TableInput | None:
        """Which columns become this input, by the sidecar; None where it does not say."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        return entry if isinstance(entry, TableInput) else None

    def series(self, name: str) -> SeriesInput | None:
        """How waves or channels over time become this input; None where they do not."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        fits = isinstance(entry, SeriesInput) and entry.fits(self.relevance(name))
        return entry if fits and isinstance(entry, SeriesInput) else None

    def spectrogram(self, name: str) -> SpectrogramInput | None:
        """How sound becomes this spectrogram, by the sidecar; None where it does not."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        fits = isinstance(entry, SpectrogramInput) and entry.fits(self.relevance(name))
        return entry if fits and isinstance(entry, SpectrogramInput) else None

    def text(self, name: str) -> TextInput | None:
        """How a text becomes this input, by the sidecar; None where it does not."""
        entry = self.sidecar.inputs.get(name) if self.sidecar else None
        return entry if isinstance(entry, TextInput) else None

    @property
    def texts(self) -> dict[str, TextInput]:
        """The inputs that are made of texts."""
        found = {name: self.text(name) for name in self.explanation.inputs}
        return {name: entry for name, entry in found.items() if entry is not None}

    def cut(self, name: str) -> tuple[TextToken, ...]:
        """The tokens that the model itself cuts this input's texts into; () where it does not."""
        tokens = self.explanation.tokens.get(name)
        return () if tokens is None else tokens.row(self.sample)

    def is_text(self, name: str) -> bool:
        """Whether an input is shown as a text, token by token."""
        return self.text(name) is not None or bool(self.cut(name))

    @property
    def read_texts(self) -> list[str]:
        """The inputs that are shown as texts."""
        return [name for name in self.explanation.inputs if self.is_text(name)]

    @property
    def companions(self) -> frozenset[str]:
        """Inputs that only go with the texts: masks, types, positions."""
        inputs = tuple(self.explanation.inputs)
        found = (companions(name, inputs, entry.given) for name, entry in self.texts.items())
        names = (name for c in found for name in (c.mask, c.types, c.positions))
        return frozenset(name for name in names if name is not None)

    @property
    def vocabulary(self) -> TokenizerFile | None:
        """What the entries of an output [positions, tokens] are called, in a language model."""
        y = self.output
        if y is None or y.ndim != 2:
            return None
        known = (entry.tokenizer for entry in self.texts.values())
        return next((t for t in known if y.shape[1] >= t.size), None)

    @property
    def meaning(self) -> OutputMeaning:
        """What the sidecar says about the explained output, and the names of the model's file."""
        known, e = meaning_of(self.sidecar, self.explanation.output), self.explanation
        if self.output is None or not self.class_names:
            return known
        count = count_classes(e.task, bool(e.binary), e.layout, self.output.shape)
        return named_by_file(known, self.class_names, count)

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
