"""What an explanation holds: relevance by tensor, the ledger, and how to keep it in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.ledger import KINDS, Balance, Entry, Ledger

Array = npt.NDArray[Any]
_FORMAT = 1


@dataclass(frozen=True)
class Contribution:
    """One input entry and its relevance.

    Attributes:
        index: position in the input tensor, sample first.
        name: feature name where known, else the index in words.
    """

    input: str
    index: tuple[int, ...]
    name: str
    relevance: float


@dataclass(frozen=True)
class Explanation:
    """Why a model answered as it did.

    Attributes:
        relevance: array shaped like the tensor, by tensor name; contrastive: positive - negative.
        positive, negative: the two channels; `negative` is empty in modes with one channel.
        inputs: the input arrays. outputs: the model's outputs. Both by name.
        output: tensor that is explained. mode, task: as asked.
        target: int64[samples], entry of the output that is explained, or None.
        ledger: where relevance went.
    """

    relevance: Mapping[str, Array]
    positive: Mapping[str, Array]
    negative: Mapping[str, Array]
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Any]
    output: str
    mode: str
    task: str
    target: Array | None
    ledger: Ledger
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def top(self, n: int = 10, *, sample: int = 0, input: str | None = None) -> list[Contribution]:
        """The n entries of one sample's inputs with the largest |relevance|, largest first.

        Raises RequestError for an unknown input or sample.
        """
        rows: list[Contribution] = []
        for name in [self._input(input)] if input else self.inputs:
            values = self.relevance[name]
            if values.ndim and not 0 <= sample < values.shape[0]:
                raise RequestError(
                    f"sample {sample} of input {name!r}, which has {values.shape[0]}"
                )
            row = values[sample] if values.ndim else values
            for flat in np.argsort(-np.abs(row), axis=None, kind="stable")[:n]:
                index = tuple(int(i) for i in np.unravel_index(flat, row.shape))
                at = (sample, *index) if values.ndim else ()
                rows.append(Contribution(name, at, self._label(name, index), float(row[index])))
        rows.sort(key=lambda c: -abs(c.relevance))
        return rows[:n]

    def _input(self, name: str) -> str:
        if name not in self.inputs:
            raise RequestError(f"no input {name!r}; there are: {', '.join(self.inputs)}")
        return name

    def _label(self, name: str, index: tuple[int, ...]) -> str:
        names = self.names.get(name)
        if names is not None and len(index) == 1 and index[0] < len(names):
            return names[index[0]]
        return f"{name}[{', '.join(map(str, index))}]"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one .npz file, replaced whole or not at all."""
        arrays: dict[str, Array] = {}
        for group in ("positive", "negative", "inputs"):
            arrays.update({f"{group}/{k}": v for k, v in getattr(self, group).items()})
        arrays.update(
            {f"outputs/{k}": v for k, v in self.outputs.items() if isinstance(v, np.ndarray)}
        )
        if self.target is not None:
            arrays["target"] = self.target
        for name, entry in self.ledger.items():
            arrays[f"ledger/{name}"] = np.stack([getattr(entry, kind) for kind in KINDS])
        total = self.ledger.total()
        arrays["balance"] = np.stack([total.start, total.inputs, total.constants, total.unassigned])
        about = {
            "format": _FORMAT,
            "output": self.output,
            "mode": self.mode,
            "task": self.task,
            "operators": {name: entry.operator for name, entry in self.ledger.items()},
            "names": {k: list(v) for k, v in self.names.items()},
        }
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        _write_whole(Path(path), arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read what `save` wrote. Raises InputError if the file is no explanation."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about = json.loads(arrays.pop("about").tobytes())
            return _read(cls, arrays, about)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"{path}: not a saved explanation ({error})") from None
        except Exception as error:  # zipfile and json raise their own
            raise InputError(f"{path}: not a saved explanation ({error})") from None

    def plot(self, path: str | os.PathLike[str], *, sample: int = 0) -> None:
        """Write a picture of the inputs' relevance: heatmap for images, bars for features."""
        from backtrace_onnx.report.pictures import plot

        plot(self, Path(path), sample=sample)


def _read(cls: type[Explanation], arrays: dict[str, Array], about: dict[str, Any]) -> Explanation:
    if about["format"] != _FORMAT:
        raise ValueError(f"format {about['format']}, this version reads {_FORMAT}")

    def group(prefix: str) -> dict[str, Array]:
        return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}

    positive, negative = group("positive/"), group("negative/")
    entries = {
        name: Entry(name, about["operators"][name], *books)
        for name, books in group("ledger/").items()
    }
    return cls(
        relevance=combined(positive, negative),
        positive=positive,
        negative=negative,
        inputs=group("inputs/"),
        outputs=group("outputs/"),
        output=about["output"],
        mode=about["mode"],
        task=about["task"],
        target=arrays.get("target"),
        ledger=Ledger(entries, Balance(*arrays["balance"])),
        names={k: tuple(v) for k, v in about["names"].items()},
    )


def combined(positive: Mapping[str, Array], negative: Mapping[str, Array]) -> dict[str, Array]:
    """positive - negative where there are two channels, else the one there is."""
    return {name: r - negative[name] if name in negative else r for name, r in positive.items()}


def _write_whole(path: Path, arrays: Mapping[str, Array]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RequestError(f"{path}: cannot be written ({error.strerror})") from None
