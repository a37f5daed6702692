"""The sidecar: a small JSON file beside a model that says how raw data become its inputs.

    {"inputs": {"image": {"kind": "image", "height": 28, "width": 28, "color": "gray"}},
     "outputs": {"logits": {"task": "classification", "labels": ["cat", "dog"]}}}

Keys of an image: height, width, color (gray, rgb, bgr), layout (NCHW, NHWC), resize (stretch,
crop, letterbox, square), resize_to (shorter side before the crop), pad_value, pad_at (center,
corner), part (left, top, right, bottom of the picture), filter, scale, mean, std; a value becomes
(value * scale - mean) / std. Keys of a table: features, each with a name, either mean and std or
categories, and missing (what stands for a value that is not there). Keys of a column (an input that
is one column of a table): column (its name in tables, where it is not the input's) and missing.
Keys of a text: tokenizer (a tokenizer.json, relative to the sidecar), length (tokens padded to),
max_length, truncate, special_tokens (around the text: true), and mask, types, positions (the inputs
that go with the ids, where they are not called attention_mask, token_type_ids, position_ids). Keys
of a series (a wave, or channels over time): rate (positions a second), channels (names), layout (T,
CT, TC), length, truncate, scale, mean, std. Keys of a spectrogram, made of sound: rate, n_fft, hop,
win, window, mels, low, high, mel_scale, mel_area, power, log, floor, range, center, length,
drop_last, mean, std, layout; docs/sidecars.md tells what each does. Keys of an output: task,
labels, threshold, sample_axis (a number or "none"), class_axis; of a detector also classes,
objectness, background and boxes, of steps blank (docs/entries.md). Beside inputs and outputs:
groups, lists of members by name (docs/tables.md); columns, lists of those of a data set that are no
inputs, by what they are: labels, ids, groups (docs/datasets.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.csv_files import read_rows
from backtrace_onnx.inputs.frames import from_frame, is_frame
from backtrace_onnx.inputs.images import FILTERS, RESIZES, ImageInput, open_image
from backtrace_onnx.inputs.json_object import Settings
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.inputs.path_arguments import path_of
from backtrace_onnx.inputs.series import SeriesInput
from backtrace_onnx.inputs.spectrograms import SpectrogramInput
from backtrace_onnx.inputs.tables import ColumnInput, Feature, TableInput
from backtrace_onnx.text.inputs import Companions, TextInput, find_ids

Array = npt.NDArray[Any]
Entry = ImageInput | TableInput | TextInput | ColumnInput | SeriesInput | SpectrogramInput


@dataclass(frozen=True)
class Sidecar:
    """How raw data become a model's inputs, and what its outputs mean (docs/sidecars.md).

    Attributes:
        path: the file.
        inputs: by name of the input how a picture, table, text or series becomes it.
        outputs: by name of the output its task, labels, axes and threshold.
        groups: by name entries of inputs that reports show as one.
        columns: those of a data set that are no inputs: labels, ids, groups of people.
    """

    path: Path
    inputs: Mapping[str, Entry] = field(default_factory=dict)
    outputs: Mapping[str, OutputMeaning] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns: KeptColumns = field(default_factory=KeptColumns)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sidecar:
        """Read a sidecar file. Raises InputError naming the file and the key that is wrong."""
        path = Path(path)
        settings = Settings(str(path), "", _parsed(path))
        entries = settings.sections("inputs")
        inputs = {name: _input(entry, name, path.parent) for name, entry in entries}
        outputs = {name: OutputMeaning.of(entry) for name, entry in settings.sections("outputs")}
        groups = settings.lists("groups")
        has = settings.has("columns")
        columns = KeptColumns.of(settings.section("columns")) if has else KeptColumns()
        settings.finish()
        return cls(path, inputs, outputs, groups, columns)

    @classmethod
    def beside(cls, model: str | os.PathLike[str]) -> Sidecar | None:
        """The sidecar `<stem>.sidecar.json` in the model's folder, or None if there is none."""
        path = Path(model).parent / f"{Path(model).stem}.sidecar.json"
        return cls.load(path) if path.is_file() else None

    def check(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Raise InputError for an entry that names no input or output of the model."""
        for section, given, there in (
            ("inputs", self.inputs, inputs),
            ("outputs", self.outputs, outputs),
        ):
            for name in given:
                if name not in there:
                    raise InputError(
                        f"{self.path}: {section}.{name}: the model has no such name; "
                        f"it has: {', '.join(there)}"
                    )

    def encode(self, input_name: str, source: Any) -> Array:
        """The model's input made of `source`: a picture, or a table, as path or already read.

        Args:
            source: for an image: path or PIL image; for a table: path of a .csv file, a data frame,
                or rows as mappings from column to value.

        Raises:
            InputError: `source` cannot be read or does not fit; names row and column of a table.
        """
        entry = self.inputs.get(input_name)
        if entry is None:
            raise InputError(f"{self.path}: says nothing about input {input_name!r}")
        if isinstance(entry, TextInput):
            raise InputError(
                f"{self.path}: inputs.{input_name} is a text, which makes several inputs; use "
                "explain(text, tokenizer=...)"
            )
        if isinstance(entry, ImageInput):
            is_path = isinstance(source, str | os.PathLike)
            return entry.encode(open_image(Path(source)) if is_path else source)
        if isinstance(entry, SeriesInput | SpectrogramInput):
            is_path = isinstance(source, str | os.PathLike)
            return entry.read(Path(source)) if is_path else entry.encode(source)
        if isinstance(entry, ColumnInput):
            raise InputError(
                f"{self.path}: inputs.{input_name} is one column of a table; use explain(table, "
                "sidecar=...)"
            )
        if isinstance(source, str | os.PathLike):
            return entry.encode(read_rows(Path(source)), str(source))
        if is_frame(source):
            return entry.encode(from_frame(source).records(), "the frame")
        return entry.encode(list(source), "rows")

    def names(self) -> dict[str, tuple[str, ...]]:
        """Name of every slot of the table inputs, by input."""
        return {
            name: entry.slots
            for name, entry in self.inputs.items()
            if isinstance(entry, TableInput)
        }


def opened(sidecar: Sidecar | str | os.PathLike[str] | None) -> Sidecar | None:
    """The sidecar, read if it is a path.

    Raises InputError naming what is wrong in the file, RequestError for what is neither.
    """
    if sidecar is None or isinstance(sidecar, Sidecar):
        return sidecar
    return Sidecar.load(path_of(sidecar, "sidecar"))


def with_tokenizer(
    sidecar: Sidecar | None, tokenizer: str | os.PathLike[str] | None, graph: Graph
) -> Sidecar | None:
    """The sidecar, with this tokenizer for the texts of a model. Raises InputError."""
    if tokenizer is None:
        return sidecar
    name = find_ids(graph)
    known = sidecar or Sidecar(Path("the options"))
    return replace(known, inputs={**known.inputs, name: TextInput(Path(tokenizer), name=name)})


def meaning_of(sidecar: Sidecar | None, output: str) -> OutputMeaning:
    """What a sidecar says of an output; nothing where there is none."""
    return (sidecar.outputs.get(output) if sidecar else None) or OutputMeaning()


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None


def _input(entry: Settings, name: str, folder: Path) -> Entry:
    kind = entry.choice("kind", ("image", "table", "text", "column", "series", "spectrogram"))
    made: Entry = _text(entry, name, folder) if kind == "text" else _KINDS[kind](entry)
    entry.finish()
    return made


def _text(entry: Settings, name: str, folder: Path) -> TextInput:
    roles = [entry.text(k) if entry.has(k) else None for k in ("mask", "types", "positions")]
    sizes = [entry.whole(k, 1) if entry.has(k) else None for k in ("length", "max_length")]
    return TextInput(
        folder / entry.text("tokenizer"),
        name,
        length=sizes[0],
        most=sizes[1],
        truncate=entry.flag("truncate", False),
        special=entry.flag("special_tokens", True),
        given=Companions(*roles),
    )


def _image(entry: Settings) -> ImageInput:
    height, width = entry.whole("height", 1), entry.whole("width", 1)
    color = entry.choice("color", ("gray", "rgb", "bgr"))
    channels = 1 if color == "gray" else 3
    std = entry.numbers("std", channels, default=1.0)
    if 0 in std:
        raise entry.wrong("std", "must not be 0")
    scale = entry.number("scale", default=1.0)
    if scale == 0:
        raise entry.wrong("scale", "must not be 0")
    resize = entry.choice("resize", RESIZES, default="stretch")
    for key in ("pad_value", "pad_at"):
        if entry.has(key) and resize not in ("letterbox", "square"):
            raise entry.wrong(key, f"nothing is padded where resize is {resize}")
    resize_to = entry.whole("resize_to", max(height, width), default=max(height, width))
    return ImageInput(
        height=height,
        width=width,
        color=color,
        layout=entry.choice("layout", ("NCHW", "NHWC"), default="NCHW"),
        resize=resize,
        resize_to=resize_to,
        scale=scale,
        mean=entry.numbers("mean", channels, default=0.0),
        std=std,
        pad_value=entry.number("pad_value", default=0.0),
        pad_at=entry.choice("pad_at", ("center", "corner"), default="center"),
        part=_part(entry) if entry.has("part") else None,
        filter=entry.choice("filter", FILTERS, default="bicubic"),
    )


def _part(entry: Settings) -> tuple[int, int, int, int]:
    left, top, right, bottom = entry.wholes("part", 4)
    if not (left < right and top < bottom):
        raise entry.wrong("part", "must be left, top, right and bottom in pixels, in this order")
    return left, top, right, bottom


def _table(entry: Settings) -> TableInput:
    features = []
    for item in entry.items("features"):
        name = item.text("name")
        categories = item.texts("categories")
        mean, std = item.number("mean", default=0.0), item.number("std", default=1.0)
        if categories and item.has("mean", "std"):
            raise item.wrong("categories", "a feature has either categories or mean and std")
        if std == 0:
            raise item.wrong("std", "must not be 0")
        missing = item.value("missing")
        if missing is not None and bool(categories) != isinstance(missing, str):
            what = "one of the categories" if categories else "a number"
            raise item.wrong("missing", f"must be {what}, not {missing!r}")
        if categories and missing not in (None, *categories):
            raise item.wrong("missing", f"{missing!r} is none of the categories")
        features.append(Feature(name, mean, std, categories, missing))
        item.finish()
    if len({f.name for f in features}) < len(features):
        raise entry.wrong("features", "two features have the same name")
    return TableInput(tuple(features))


def _column(entry: Settings) -> ColumnInput:
    column = entry.text("column") if entry.has("column") else None
    return ColumnInput(column, entry.value("missing"))


_KINDS: dict[str, Callable[[Settings], Entry]] = {
    "image": _image,
    "table": _table,
    "column": _column,
    "series": SeriesInput.of,
    "spectrogram": SpectrogramInput.of,
}
