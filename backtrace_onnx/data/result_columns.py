"""An explanation as columns: prediction, target, relevance by feature, ledger, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.arrow import as_column, need_arrow, ragged
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.inputs.class_names import named_by_file
from backtrace_onnx.inputs.sidecar import Sidecar, meaning_of
from backtrace_onnx.inputs.tables import Feature, TableInput
from backtrace_onnx.messages.notes import Note, about
from backtrace_onnx.propagation.mode_choice import is_choice
from backtrace_onnx.targets.checking import largest
from backtrace_onnx.targets.two_classes import boundary, of_class
from backtrace_onnx.text.inputs import TextInput

Array = npt.NDArray[Any]
_CHANNELS = ("positive", "negative")
_ANSWERS = ("classification", "detection", "ctc", "generation")
_MOST = 1000  # entries of an input whose values are kept


def result_columns(
    made: Explanation,
    sidecar: Sidecar | None,
    labels: Sequence[str] = (),
    *,
    told: Sequence[str] = (),
    values: bool = False,
    modules: bool = False,
) -> dict[str, Any]:
    """Arrow columns by name, a row for each sample of the explanation.

    Args:
        made: its `names` name the entries of inputs.
        sidecar: which columns of a table are one feature, and what classes are called.
        labels: of the classes, in place of the sidecar's. told: as the model's file names them.
        values: whether to keep what features hold, too.
        modules: whether to keep what the model's modules received.

    Raises RequestError for modules that the model's file does not tell.
    """
    rows = int(made.ledger.total().start.shape[1])
    labels = labels or named_by_file(meaning_of(sidecar, made.output), told, len(told)).labels
    columns = _answers(made, rows, labels)
    named = [("relevance", made.relevance)]
    if made.negative:
        named += [("positive", made.positive), ("negative", made.negative)]
    for word, relevance in named:
        for name, column in _features(made, relevance, sidecar, rows):
            columns[f"{word}/{name}"] = column
    if values:
        columns |= _held(made, sidecar, rows)
    if modules:
        columns |= _received(made)
    columns |= _tokens(made, sidecar)
    columns |= _books(made)
    return columns | {"notes": _notes(made.notes, rows)}


def _answers(made: Explanation, rows: int, labels: Sequence[str]) -> dict[str, Any]:
    """Which entry is the largest, which is explained, what they are called, and their values."""
    y = made.outputs.get(made.output)
    numbers = None
    if isinstance(y, np.ndarray) and y.dtype.kind == "f":
        numbers = made.layout.rows(y)
        numbers = numbers if len(numbers) == rows else None
    target = made.target if made.target is not None and len(made.target) == rows else None
    columns: dict[str, Any] = {}
    for word, chosen in (("prediction", _predicted(made, numbers)), ("target", target)):
        columns |= _answer(word, made, numbers, chosen, rows, labels)
    return columns


def _predicted(made: Explanation, y: Array | None) -> Array | None:
    """The largest entry of every sample; for generation (position, token) at the position."""
    if y is None or not y.size or made.task not in _ANSWERS:
        return None
    if made.binary:
        return (y.reshape(len(y)) >= boundary(made.binary)).astype(np.int64)
    if made.target is not None and made.target.ndim == 2 and y.ndim == 3:
        places = made.target[:, 0]
        return np.stack([places, y[np.arange(len(y)), places].argmax(-1)], 1)
    return largest(y) if y[0].size > 1 else None


def _answer(
    word: str,
    made: Explanation,
    y: Array | None,
    chosen: Array | None,
    rows: int,
    labels: Sequence[str],
) -> dict[str, Any]:
    pa = need_arrow()
    pairs = chosen is not None and chosen.ndim == 2
    kind = pa.list_(pa.int64()) if pairs or made.task == "generation" else pa.int64()
    index, value, label = (pa.nulls(rows, one) for one in (kind, pa.float64(), pa.string()))
    if chosen is not None:
        index = pa.array(chosen.tolist() if pairs else chosen, kind)
    if (
        y is not None
        and chosen is None
        and y[0].size == 1
        and made.task in (*_ANSWERS, "regression")
    ):
        value = pa.array(y.reshape(rows).astype(np.float64))
    elif y is not None and chosen is not None:
        value = pa.array(_values(made, y, chosen))
        classes = 2 if made.binary else y[0].size
        if not pairs and len(labels) == classes:
            label = pa.array(list(labels), pa.string()).take(pa.array(chosen))
    return {word: index, f"{word}_label": label, f"{word}_value": value}


def _values(made: Explanation, y: Array, entries: Array) -> Array:
    """The values of y [rows, ...] at the entries: indices of a row's own or of its flat values."""
    if entries.ndim > 1:
        found = y[(np.arange(len(y)), *entries.T)]
    elif made.binary:
        one = y.reshape(len(y)).astype(np.float64)
        found = np.where(entries == 1, one, of_class(made.binary, one, 0))
    else:
        found = y.reshape(len(y), -1)[np.arange(len(y)), entries]
    numbers: Array = found.astype(np.float64)
    return numbers


def choices_told(notes: Any) -> tuple[str, ...]:
    """What auto picked, of a column of notes: each sentence once."""
    import pyarrow.compute as pc

    told = pc.unique(pc.list_flatten(notes)).to_pylist()
    return tuple(text for text in told if is_choice(text))


def _notes(notes: Sequence[Note], rows: int) -> Any:
    """The notes about every row, as lists; rows that none is about alone have the same ones."""
    pa = need_arrow()
    own = {note.sample for note in notes if note.sample is not None}
    general = about((note for note in notes if note.sample is None), 0)
    if not own:
        return pa.repeat(pa.scalar(general, pa.list_(pa.string())), rows)
    told = [about(notes, row) if row in own else general for row in range(rows)]
    return pa.array(told, pa.list_(pa.string()))


Column = Callable[[Feature | None, Array], Array]


def _relevant(feature: Feature | None, slots: Array) -> Array:
    """[rows]: relevance of the slots of one feature, or of an entry [rows, 1]."""
    return _added(slots) if feature else slots[:, 0].astype(np.float64)


def _shown(feature: Feature | None, slots: Array) -> Array:
    """[rows]: what the slots of one feature show, or the numbers of an entry."""
    if feature:
        return feature.values(slots)
    return slots[:, 0].astype(np.float64) if slots.dtype.kind in "fiub" else slots[:, 0]


def _features(
    made: Explanation,
    arrays: Mapping[str, Array],
    sidecar: Sidecar | None,
    rows: int,
    column: Column = _relevant,
) -> Iterator[tuple[str, Any]]:
    """Columns by feature; of inputs whose entries have no names, a list for every row."""
    found: dict[str, dict[str, Any]] = {}
    for name in arrays:
        axis = made.axes.get(name)
        if name not in made.inputs or axis is None or arrays[name].shape[axis] != rows:
            continue
        own = np.moveaxis(arrays[name], axis, 0)
        if own.size:
            found[name] = dict(_input(made, name, own, sidecar, column))
    counts: dict[str, int] = {}
    for features in found.values():
        for feature in features:
            counts[feature] = counts.get(feature, 0) + 1
    for name, features in found.items():
        for feature, column in features.items():
            yield feature if counts[feature] == 1 else f"{name}/{feature}", column


def _input(
    made: Explanation, name: str, own: Array, sidecar: Sidecar | None, column: Column
) -> Iterator[tuple[str, Any]]:
    entry = sidecar.inputs.get(name) if sidecar else None
    names = made.names.get(name, ())
    if isinstance(entry, TableInput) and own.ndim == 2:
        own = np.asfortranarray(own)  # columns are read one after the other
        for feature, slots in entry.columns():
            yield feature.name, as_column(column(feature, own[:, slots]))
    elif own[0].size == 1 and len(names) < 2:
        yield names[0] if names else name, as_column(column(None, own.reshape(len(own), 1)))
    elif own.ndim == 2 and len(names) == own.shape[1] and len(set(names)) == len(names):
        for i, called in enumerate(names):
            yield called, as_column(column(None, own[:, i : i + 1]))
    else:
        real = _real(made, sidecar)
        cut = real is not None and own.shape == real.shape
        yield name, ragged(own, real) if cut and real is not None else as_column(own)


def _added(slots: Array) -> Array:
    """Sums of the slots of one feature, in their order, so that every row is added alike."""
    total = np.zeros(len(slots), np.float64)
    for i in range(slots.shape[1]):
        total += slots[:, i]
    return total


def _held(made: Explanation, sidecar: Sidecar | None, rows: int) -> dict[str, Any]:
    """What features hold; not of texts, nor of inputs of very many entries."""
    entry = _text(sidecar)
    texts = {entry.name} if entry is not None else set()
    arrays = {n: np.asarray(x) for n, x in made.inputs.items() if n not in texts}
    few = {n: x for n, x in arrays.items() if x.size <= _MOST * rows}
    return {f"value/{name}": c for name, c in _features(made, few, sidecar, rows, _shown)}


def _received(made: Explanation) -> dict[str, Any]:
    """What every module received, positive - negative where there are two channels."""
    return {
        f"module/{path}": as_column(m.incoming[0] - m.incoming[1:].sum(0))
        for path, m in made.modules().items()
        if path
    }


def _text(sidecar: Sidecar | None) -> TextInput | None:
    entries = sidecar.inputs.values() if sidecar else ()
    return next((entry for entry in entries if isinstance(entry, TextInput)), None)


def _real(made: Explanation, sidecar: Sidecar | None) -> npt.NDArray[np.bool_] | None:
    """Which tokens of texts are no padding; None where there are no texts."""
    entry = _text(sidecar)
    return None if entry is None else entry.mask(made.inputs)


def _tokens(made: Explanation, sidecar: Sidecar | None) -> dict[str, Any]:
    """The tokens of texts, as long as their relevance."""
    entry = _text(sidecar)
    if entry is None or entry.name is None or entry.name not in made.inputs:
        return {}
    ids = np.asarray(made.inputs[entry.name])
    real = _real(made, sidecar)
    kept = np.ones(ids.shape, bool) if real is None else real
    words = np.empty(ids.shape, object)
    for i, row in enumerate(ids):
        words[i] = [token.text for token in entry.tokenizer.tokens(row)]
    return {f"tokens/{entry.name}": ragged(words, kept)}


def _books(made: Explanation) -> dict[str, Any]:
    """Where relevance went: what it started with, and what reached whom."""
    total = made.ledger.total()
    books = {
        "start": total.start,
        "inputs": total.inputs,
        "constants": total.constants,
        "unassigned": total.unassigned,
        "cut": np.broadcast_to(total.cut, total.start.shape),
    }
    if len(total.start) == 1:
        return {f"ledger/{kind}": as_column(parts[0]) for kind, parts in books.items()}
    return {
        f"ledger/{channel}/{kind}": as_column(parts[i])
        for i, channel in enumerate(_CHANNELS)
        for kind, parts in books.items()
    }
