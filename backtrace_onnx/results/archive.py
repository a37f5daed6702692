"""Explanations in files: one .npz, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.module_scopes import NodeScopes
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.propagation.ledger import KINDS, Balance, Entry, Ledger
from backtrace_onnx.results.text_tokens import TextTokens
from backtrace_onnx.results.whole_files import written_whole
from backtrace_onnx.targets.attention_tensors import AttentionTensor
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.two_classes import TwoClasses

Array = npt.NDArray[Any]
Fields = dict[str, Any]
_FORMAT = 2
_GROUPS = ("positive", "negative", "inputs", "outputs", "slopes")


def write(path: str | os.PathLike[str], fields: Fields) -> None:
    """Write an explanation's fields. Raises RequestError where the file cannot be written."""
    shelf = _Shelf()
    ledger: Ledger = fields["ledger"]
    about = {
        "format": _FORMAT,
        "groups": {group: shelf.put_all(fields[group]) for group in _GROUPS},
        "target": None if fields["target"] is None else shelf.put(fields["target"]),
        "ledger": {name: _put_entry(shelf, entry) for name, entry in ledger.items()},
        "balance": shelf.put(_stacked(ledger.total())),
        "mixed": ledger.mixed,
        "attended": [[t.name, t.sample, t.inner, t.turned] for t in fields["attended"]],
        "cut": shelf.put_all(ledger.cut),
        "plain": {key: fields[key] for key in ("output", "mode", "task")},
        "names": {name: list(labels) for name, labels in fields["names"].items()},
        "axes": dict(fields["axes"]),
        "places": {name: [p.outputs, p.scopes] for name, p in fields["places"].items()},
        "layout": [fields["layout"].samples, fields["layout"].classes, fields["layout"].rank],
        "binary": fields["binary"],
        "method": [fields["computes"], fields["conserved"]],
        "notes": [[note.text, note.sample, note.warning, note.first] for note in fields["notes"]],
        "tokens": {name: _put_tokens(shelf, own) for name, own in fields["tokens"].items()},
        "origin": _put_origin(shelf, fields["origin"]),
        "texts": shelf.texts,
    }
    shelf.arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    _write_whole(Path(path), shelf.arrays)


def read(path: str | os.PathLike[str]) -> Fields:
    """The fields of an explanation. Raises InputError where the file holds none."""
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _fields(arrays, json.loads(arrays["about"].tobytes()))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # NumPy, zipfile and json raise their own
        raise InputError(f"{path}: not a saved explanation ({error})") from None


class _Shelf:
    """Arrays under numbers, since a tensor's name may be no file name."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.texts: list[str] = []

    def put(self, array: Array) -> str:
        """Key of the array; the keys of arrays of text are noted."""
        key = f"a{len(self.arrays)}"
        if array.dtype.kind == "O":
            self.texts.append(key)
        self.arrays[key] = array.astype(str) if array.dtype.kind == "O" else array
        return key

    def put_all(self, arrays: Mapping[str, Any]) -> dict[str, str]:
        """Key by name; what is no array (a ZipMap's dicts) is left out."""
        return {k: self.put(v) for k, v in arrays.items() if isinstance(v, np.ndarray)}


def _put_entry(shelf: _Shelf, entry: Entry) -> dict[str, Any]:
    books = np.stack([*(getattr(entry, kind) for kind in KINDS), *entry.sent.values()])
    return {"operator": entry.operator, "books": shelf.put(books), "sent": list(entry.sent)}


def _put_origin(shelf: _Shelf, value: Any) -> Any:
    """JSON values, in which arrays are keys of the shelf."""
    if isinstance(value, Mapping):
        return {key: _put_origin(shelf, part) for key, part in value.items()}
    if isinstance(value, list):
        return [_put_origin(shelf, part) for part in value]
    return {"shelf": shelf.put(value)} if isinstance(value, np.ndarray) else value


def _origin(value: Any, get: Callable[[str], Array]) -> Any:
    if isinstance(value, list):
        return [_origin(part, get) for part in value]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"shelf"}:
        return get(value["shelf"])
    return {key: _origin(part, get) for key, part in value.items()}


def _put_tokens(shelf: _Shelf, tokens: TextTokens) -> list[str]:
    return [shelf.put(array) for array in (tokens.texts, *tokens.channels)]


def _tokens(texts: Array, *channels: Array) -> TextTokens:
    return TextTokens(texts, channels)


def _place(outputs: list[str], scopes: list[list[str]]) -> NodeScopes:
    return NodeScopes(tuple(outputs), tuple((path, kind) for path, kind in scopes))


def _two(binary: bool | TwoClasses) -> TwoClasses:
    """What the one entry is; older files say only whether it is a probability."""
    return ("probability" if binary else "") if isinstance(binary, bool) else binary


def _entry(name: str, row: Mapping[str, Any], get: Callable[[str], Array]) -> Entry:
    """A node's books; files of earlier versions do not tell which tensor got how much."""
    books = get(row["books"])
    kinds = dict(zip(KINDS, books, strict=False))
    sent = dict(zip(row.get("sent", []), books[len(KINDS) :], strict=True))
    return Entry(name, row["operator"], **kinds, sent=sent)


def _stacked(total: Balance) -> Array:
    kinds = (total.start, total.inputs, total.constants, total.unassigned, total.cut)
    return np.stack(np.broadcast_arrays(*kinds))


def _fields(arrays: Mapping[str, Array], about: Mapping[str, Any]) -> Fields:
    if about["format"] != _FORMAT:
        raise ValueError(f"format {about['format']}, this version reads {_FORMAT}")

    def get(key: str) -> Array:
        return arrays[key].astype(object) if key in about["texts"] else arrays[key]

    groups = {"slopes": {}, **about["groups"]}
    closed = {name: get(key) for name, key in about.get("cut", {}).items()}
    computes, conserved = about.get("method", ("", "score"))
    entries = {name: _entry(name, row, get) for name, row in about["ledger"].items()}
    return {
        **{group: {name: get(key) for name, key in groups[group].items()} for group in _GROUPS},
        **about["plain"],
        "target": None if about["target"] is None else get(about["target"]),
        "ledger": Ledger(
            entries, Balance(*get(about["balance"])), mixed=about.get("mixed", False), cut=closed
        ),
        "names": {name: tuple(labels) for name, labels in about["names"].items()},
        "axes": about["axes"],
        "tokens": {name: _tokens(*map(get, k)) for name, k in about.get("tokens", {}).items()},
        "places": {name: _place(*row) for name, row in about.get("places", {}).items()},
        "layout": OutputAxes(*about.get("layout", ())),
        "binary": _two(about.get("binary", "")),
        "attended": tuple(AttentionTensor(*row) for row in about.get("attended", [])),
        "computes": computes,
        "conserved": conserved,
        "notes": tuple(Note(*row) for row in about.get("notes", [])),
        "origin": _origin(about.get("origin", {}), get),
    }


def _write_whole(path: Path, arrays: Mapping[str, Array]) -> None:
    with written_whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
