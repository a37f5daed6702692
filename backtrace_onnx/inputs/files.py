"""Input files: arrays, tables and pictures turned into what a model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.input_checking import describe, spell
from backtrace_onnx.graph.missing_values import takes_missing
from backtrace_onnx.inputs.array_files import READERS, note_name, numeric, read_file, shaped
from backtrace_onnx.inputs.csv_files import has_header, read_lines, read_numbers, read_table
from backtrace_onnx.inputs.frames import Table, from_columns, from_records, is_columns, is_records
from backtrace_onnx.inputs.images import SUFFIXES, ImageInput, open_image
from backtrace_onnx.inputs.series import SeriesInput
from backtrace_onnx.inputs.sidecar import Entry, Sidecar
from backtrace_onnx.inputs.sound import SUFFIX as SOUND
from backtrace_onnx.inputs.spectrograms import SpectrogramInput
from backtrace_onnx.inputs.table_inputs import (
    FilledInputs,
    column_names,
    fill,
    says_columns,
    tabled,
)
from backtrace_onnx.inputs.tables import TableInput
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.messages.terminal_text import visible
from backtrace_onnx.text.arguments import read_texts, shown_text
from backtrace_onnx.text.inputs import TextInput

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[Any]
KINDS = ".npy, .npz, .json, .csv, a picture (.png, .jpg, ...) or sound (.wav)"


@dataclass(frozen=True)
class Batch:
    """Arrays by input name, where each sample came from, and its text if it is one.

    Attributes:
        pictures: what was opened for an input of which every sample is a picture.
        names: what entries of the inputs are called, where a table told.
        notes: what was assumed or left out in reading.
    """

    feeds: dict[str, Array]
    sources: tuple[str, ...]
    texts: tuple[str, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    pictures: Mapping[str, tuple[Image.Image, ...]] = field(default_factory=dict)

    def originals(self, sample: int) -> dict[str, Image.Image]:
        """The pictures of one sample, by input."""
        return {name: own[sample] for name, own in self.pictures.items() if sample < len(own)}


class InputReader:
    """Reads input files for one model.

    Args:
        graph: the model's inputs and what is known of them.
        sidecar: how raw data become inputs, if anybody said.
    """

    def __init__(self, graph: Graph, sidecar: Sidecar | None = None) -> None:
        self._graph, self._sidecar = graph, sidecar
        self._opened: dict[str, list[Image.Image]] = {}
        self._given: set[str] = set()
        self._filled: list[FilledInputs] = []

    def read(self, arguments: Sequence[str]) -> Batch:
        """What the files and texts, each `file` or `name=file`, say together.

        Several files or texts for one input become the samples of one batch. Raises InputError.
        """
        self._opened = {}
        parts: dict[str, list[tuple[str, Array]]] = {}
        texts: dict[str, list[str]] = {}
        entries = self.texts
        self._given = {prefix for prefix in map(_prefix, arguments) if prefix in self._graph.inputs}
        self._filled = []
        for argument in arguments:
            found = read_texts(argument, entries, self._graph.inputs) if entries else None
            if found is not None:
                texts.setdefault(found[0], []).extend(found[1])
                continue
            words = None if entries else self._words(argument)
            if words is not None:
                parts.setdefault(words[0], []).extend(words[1])
                continue
            name, path = self._named(argument)
            for key, array in self._arrays(name, path).items():
                parts.setdefault(key, []).append((path.name, array))
        feeds = {name: _joined(name, found) for name, found in parts.items()}
        made = [entries[name].encode(own, self._graph) for name, own in texts.items()]
        for arrays in made:
            feeds = {**arrays, **feeds}
        first = tuple(next(iter(texts.values()), ()))
        names = {name: own for filled in self._filled for name, own in filled.names.items()}
        notes = dict.fromkeys(note for filled in self._filled for note in filled.notes)
        sources = tuple(map(shown_text, first)) or _sources(parts, self._graph)
        pictures = {
            name: tuple(own)
            for name, own in self._opened.items()
            if len(own) == len(parts[name]) == len(sources)
        }
        names = {**column_names(self._graph), **names}
        return Batch(feeds, sources, first, names, tuple(notes), pictures)

    @property
    def texts(self) -> dict[str, TextInput]:
        """The inputs that are made of texts."""
        known = self._sidecar.inputs if self._sidecar else {}
        return {name: entry for name, entry in known.items() if isinstance(entry, TextInput)}

    def _words(self, argument: str) -> tuple[str, list[tuple[str, Array]]] | None:
        """Input and texts of an argument, where an input takes texts as they are."""
        inputs = self._graph.inputs
        strings = [n for n in inputs if self._graph.type(n).dtype == TensorProto.STRING]
        prefix = _prefix(argument)
        named = prefix in strings and argument != prefix
        if not named and (len(inputs) > 1 or not strings or Path(argument).exists()):
            return None
        found = read_texts(argument, strings, inputs)
        if found is None:
            return None
        shape = [1] * (self._graph.type(found[0]).rank or 1)
        return found[0], [(shown_text(t), np.array(t, object).reshape(shape)) for t in found[1]]

    def takes(self) -> str:
        """What the model takes, one line per input."""
        return "\n".join(f"  {visible(self._taken(name))}" for name in self._graph.inputs)

    def _taken(self, name: str) -> str:
        entry = self._entry(name)
        how = f": {entry.describe()}" if entry else ""
        return f"{name} {spell(self._graph.type(name))}{how}"

    def _entry(self, name: str | None) -> Entry | None:
        return self._sidecar.inputs.get(name) if self._sidecar and name else None

    def _named(self, argument: str) -> tuple[str | None, Path]:
        prefix, mark, rest = argument.partition("=")
        if mark and prefix in self._graph.inputs:
            if not rest:
                raise InputError(f"{argument}: names no file for the input")
            return prefix, Path(rest)
        if mark and not Path(argument).exists():
            raise InputError(f"the model has no input {prefix!r}; it has: {describe(self._graph)}")
        return None, Path(argument)

    def _arrays(self, name: str | None, path: Path) -> dict[str, Array]:
        suffix = path.suffix.lower()
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name its files (explain-dataset takes folders)")
        if suffix not in (*READERS, *SUFFIXES, SOUND):
            raise InputError(f"{path}: inputs are {KINDS}, not {suffix or 'a file without ending'}")
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        content = read_file(path)
        table = self._table(name, path, content)
        if table is not None:
            given = self._given if name is None else ()
            filled = fill(table, self._graph, self._sidecar, given=given, only=name)
            self._filled.append(filled)
            return dict(filled.feeds)
        if isinstance(content, Mapping):
            return self._keyed(name, path, content)
        target = name or self._only(path)
        return {target: self._array(target, path, content)}

    def _table(self, name: str | None, path: Path, content: Any) -> Table | None:
        """What a file holds, where it is a table whose columns make up inputs."""
        if path.suffix.lower() == ".json":
            return self._json_table(name, path, content)
        if path.suffix.lower() != ".csv":
            return None
        target = name or (self._graph.inputs[0] if len(self._graph.inputs) == 1 else None)
        if target is None:
            return read_table(path) if tabled(self._graph, self._sidecar) else None
        lines = read_lines(path)
        header = [cell.strip() for cell in lines[0]]
        known = says_columns(target, header, self._graph, self._sidecar)
        shape = self._graph.type(target).shape or ()
        titled = self._entry(target) is None and has_header(lines)
        in_order = titled and len(shape) == 2 and isinstance(shape[1], int)
        return read_table(path, lines) if known or in_order else None

    def _json_table(self, name: str | None, path: Path, content: Any) -> Table | None:
        if is_records(content):
            return from_records(content, str(path))
        names = tabled(self._graph, self._sidecar)
        several = len(names) > 1 or any(isinstance(self._entry(n), TableInput) for n in names)
        if name is None and several and set(names) == set(self._graph.inputs):
            return from_columns(content, str(path)) if is_columns(content) else None
        return None

    def _keyed(self, name: str | None, path: Path, content: Mapping[str, Any]) -> dict[str, Array]:
        """Arrays of a file that holds several; one alone may have any name."""
        names = [name] if name else self._graph.inputs
        if len(content) == 1 and len(names) == 1:
            ((key, value),) = content.items()
            notes = () if name else note_name(str(path), key, names[0])
            self._filled.append(FilledInputs({}, {}, notes=notes))
            return {names[0]: self._array(names[0], path, value)}
        if name:
            raise InputError(f"{path}: holds {len(content)} arrays; give it without '{name}='")
        for key in content:
            if key not in self._graph.inputs:
                raise InputError(
                    f"{path}: the model has no input {key!r}; it has: {describe(self._graph)}"
                )
        return {key: self._array(key, path, value) for key, value in content.items()}

    def _only(self, path: Path) -> str:
        if not self._graph.inputs:
            raise InputError(f"{path}: the model takes no inputs, so nothing explains its answer")
        if len(self._graph.inputs) != 1:
            raise InputError(
                f"{path}: which input is it for? Write name={path}, with a name of: "
                f"{describe(self._graph)}"
            )
        return self._graph.inputs[0]

    def _array(self, name: str, path: Path, content: Any) -> Array:
        entry, kind = self._entry(name), self._graph.type(name)
        if isinstance(content, Path) and isinstance(entry, SeriesInput | SpectrogramInput):
            return entry.read(path)
        if isinstance(content, Path) and path.suffix.lower() == ".csv":
            missing = takes_missing(self._graph, name)
            return shaped(read_numbers(path, missing=missing), kind)
        if isinstance(content, Path):
            is_sound = path.suffix.lower() == SOUND
            return self._sound(name, path) if is_sound else self._picture(name, path)
        return shaped(numeric(path, content), kind)

    def _picture(self, name: str, path: Path) -> Array:
        entry = self._entry(name)
        if not isinstance(entry, ImageInput):
            raise InputError(
                f"{path}: how a picture becomes input {name!r} is not known. Put a sidecar beside "
                "the model (MODEL.sidecar.json, or --sidecar FILE), for example "
                f'{{"inputs": {{"{name}": {{"kind": "image", "height": 224, "width": 224, '
                '"color": "rgb", "scale": 0.00392157}}}, or give the array as .npy'
            )
        image = open_image(path)
        self._opened.setdefault(name, []).append(image)
        try:
            return entry.encode(image)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def _sound(self, name: str, path: Path) -> Array:
        raise InputError(
            f"{path}: how sound becomes input {name!r} is not known. Put a sidecar beside the "
            f'model (MODEL.sidecar.json, or --sidecar FILE), for example {{"inputs": {{"{name}": '
            '{"kind": "series", "rate": 16000}}}, or give the array as .npy'
        )


def _prefix(argument: str) -> str:
    return argument.partition("=")[0]


def _joined(name: str, found: Sequence[tuple[str, Array]]) -> Array:
    arrays = [array for _, array in found]
    try:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    except ValueError:
        shapes = " and ".join(sorted({str(a.shape) for a in arrays}))
        raise InputError(f"the files for input {name!r} do not fit together: {shapes}") from None


def _sources(parts: Mapping[str, Sequence[tuple[str, Array]]], graph: Graph) -> tuple[str, ...]:
    """A name for every sample: the file, with the row where it holds several.

    Inputs of which it is known that they hold samples count alone: a state may have other rows.
    """
    axes = {name: int(graph.samples[name]) for name in parts if name in graph.samples}
    named = [
        [(file, array.shape[axis] if axis < array.ndim else 1) for file, array in parts[name]]
        for name, axis in (axes or dict.fromkeys(parts, 0)).items()
    ]
    names: list[str] = []
    for file, count in max(named, key=lambda files: sum(n for _, n in files), default=[]):
        names += [file] if count == 1 else [f"{file} row {i}" for i in range(1, count + 1)]
    return tuple(names)
