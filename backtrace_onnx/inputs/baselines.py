"""What inputs are compared with: baselines, and the rows of a background set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.given_arrays import array_as
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.input_checking import holds_sense
from backtrace_onnx.graph.missing_values import takes_missing
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.inputs.background_rows import NamedBaseline, by_name, read_rows, read_samples
from backtrace_onnx.inputs.blurring import blurred
from backtrace_onnx.inputs.picture_shapes import picture_axes
from backtrace_onnx.ops.method import Method

if TYPE_CHECKING:
    from backtrace_onnx.inputs.sidecar import Sidecar
    from backtrace_onnx.text.inputs import TextInput

Array = npt.NDArray[Any]
TOKENS = ("pad", "mask")
KEYWORDS = ("zeros", "mean", "rows", "blur", *TOKENS)
MOST = 100  # rows of a background that are compared with one by one
_KINDS = (
    "baseline is an array, 'zeros', 'mean', 'rows' (of background=), 'blur', 'pad' or 'mask' (of "
    "texts), a file, or a list"
)


@dataclass(frozen=True)
class Reference:
    """Inputs that those of a batch are compared with.

    Attributes:
        words: what they are.
        arrays: by input, each shaped like the batch's.
        group: what they are some of; "": baselines.
    """

    words: str
    arrays: Mapping[str, Array]
    group: str = ""


def in_words(references: Sequence[Reference]) -> str:
    """What inputs are compared with."""
    if len(references) == 1:
        return references[0].words
    groups = {reference.group for reference in references}
    group = groups.pop() if len(groups) == 1 else ""
    return f"{len(references)} {group or 'baselines'}, in the mean"


@dataclass(frozen=True)
class Compared:
    """What a caller wants inputs to be compared with, as it was given.

    Attributes:
        sidecar: how files become inputs, if anybody said.
        texts: inputs that are ids of a text's tokens, and how they became that.
    """

    baseline: Any = None
    background: Any = None
    sidecar: Sidecar | None = None
    texts: Mapping[str, TextInput] = field(default_factory=dict)


NOTHING = Compared()


def compare(method: Method, baseline: Any, background: Any, sidecar: Sidecar | None) -> Compared:
    """What a method compares with. Raises RequestError where it compares with no such thing."""
    takes: tuple[str, ...] = ("baseline", "background") if method.compares else ()
    takes = method.walks.takes if method.walks is not None else takes
    for name, value in (("baseline", baseline), ("background", background)):
        if value is not None and name not in takes:
            raise RequestError(
                f"mode {method.name!r} takes no {name}; deeplift and integrated_gradients take a "
                "baseline, expected_gradients takes a background"
            )
    if background is not None and baseline is not None and not _uses_background(baseline):
        raise RequestError(
            "the background is read for baseline='mean' or 'rows', and another one is given"
        )
    return Compared(baseline, background, sidecar)


def _uses_background(baseline: Any) -> bool:
    parts = baseline if isinstance(baseline, list | tuple) else [baseline]
    return any(isinstance(part, str) and part in ("mean", "rows") for part in parts)


class ReferenceReader:
    """Reads baselines and backgrounds for one batch of inputs.

    Args:
        graph: the model's inputs and what is known of them.
        sidecar: how files become inputs, if anybody said.
        feeds: the batch, by input.
        texts: those that are ids of a text's tokens.
    """

    def __init__(
        self,
        graph: Graph,
        sidecar: Sidecar | None,
        feeds: Mapping[str, Array],
        texts: Mapping[str, TextInput] | None = None,
    ) -> None:
        self._graph, self._sidecar, self._feeds = graph, sidecar, feeds
        self._axes, self._texts = SampleAxes(graph), texts or {}

    def baselines(self, given: Any, background: Any) -> tuple[Reference, ...]:
        """The baselines that are meant; their explanations are averaged.

        What they lack is zeros where inputs are floats, and as it is fed where they are not: masks,
        lengths. Raises RequestError for what is no baseline or does not fit, InputError for files.
        """
        if isinstance(given, list | tuple) and not len(given):
            raise RequestError(f"{_KINDS}; the list is empty")
        if isinstance(given, list | tuple) and not all(map(_is_number, given)):
            return tuple(one for part in given for one in self.baselines(part, background))
        given = ("zeros" if background is None else "mean") if given is None else given
        if isinstance(given, str) and given == "rows":
            return self._some_rows(background)
        if isinstance(given, str) and given in KEYWORDS:
            return (self._by_name(given, background),)
        if isinstance(given, str | os.PathLike) and not Path(given).exists():
            raise RequestError(f"unknown baseline {os.fspath(given)!r}: no such file; {_KINDS}")
        if isinstance(given, np.ndarray | Mapping | list | tuple) or _is_number(given):
            words = given.words if isinstance(given, NamedBaseline) else "the baseline given"
            return (Reference(words, self._arrays(given)),)
        return self._rows(given, "baseline")

    def _by_name(self, given: str, background: Any) -> Reference:
        if given == "mean":
            return self._mean(background)
        if given in TOKENS:
            return self._wordless(given)
        floats = {name: x for name, x in self._feeds.items() if x.dtype.kind == "f"}
        if not floats:
            raise RequestError(
                "the inputs are ids, which have no zero: baseline='pad' or 'mask' is that token in "
                "place of every word (an array of ids does as well); or use mode attnlrp, which "
                "compares to none"
            )
        if given == "zeros":
            empty = {name: np.zeros_like(x) for name, x in floats.items()}
            return Reference("zeros", {**self._feeds, **empty})
        made = {name: self._blurred(name, x) for name, x in floats.items()}
        return Reference("the blurred input", {**self._feeds, **made})

    def _wordless(self, token: str) -> Reference:
        if not self._texts:
            raise RequestError(
                f"baseline {token!r} is a token of a text, and nothing says which inputs are texts:"
                " give a tokenizer, or a sidecar that names one"
            )
        made = dict(self._feeds)
        for entry in self._texts.values():
            made |= entry.without_words(self._feeds, token)
        return Reference(f"the text with {token} tokens for words", made)

    def background(self, given: Any) -> tuple[Reference, ...]:
        """Every row of a background set. Raises RequestError where there is none, InputError."""
        if given is None:
            raise RequestError(
                "a background is needed: background= (--background), an array of samples or a "
                "file, such as some of the rows that the model was trained on"
            )
        return self._rows(given, "background")

    def _some_rows(self, given: Any) -> tuple[Reference, ...]:
        """The rows of a background; where there are many, some at even distances."""
        rows = self.background(given)
        chosen = some_rows(len(rows))
        more = "" if len(chosen) == len(rows) else f", of {len(rows)}"
        return tuple(replace(rows[at], group=rows[at].group + more) for at in chosen)

    def _mean(self, background: Any) -> Reference:
        rows = self.background(background)
        made = dict(self._feeds)
        for name, x in self._feeds.items():
            if x.dtype.kind == "f":
                total, known = np.zeros(x.shape), np.zeros(x.shape)
                for row in rows:  # but for what is missing; a column of nothing else is missing
                    total += np.nan_to_num(row.arrays[name])
                    known += ~np.isnan(row.arrays[name])
                made[name] = np.where(known, total / np.maximum(known, 1), np.nan).astype(x.dtype)
        return Reference(f"the mean of {len(rows)} row(s)", made)

    def _arrays(self, given: Any) -> dict[str, Array]:
        """Arrays or numbers as a caller gives them, spread over the batch."""
        named = self._named(given, "baseline")
        return {
            name: self._fitted(name, named[name])
            if name in named
            else (np.zeros_like(x) if x.dtype.kind == "f" else x)
            for name, x in self._feeds.items()
        }

    def _named(self, given: Any, what: str) -> Mapping[str, Any]:
        return by_name(given, tuple(self._feeds), what)

    def _fitted(self, name: str, given: Any) -> Array:
        x = self._feeds[name]
        array = self._sensible("baseline", name, array_as(given, x.dtype, f"baseline of {name!r}"))
        try:
            return np.broadcast_to(array, x.shape)
        except ValueError:
            raise RequestError(
                f"baseline of {name!r}, of shape {array.shape}, does not fit the input's, {x.shape}"
                ": give a number, or an array that broadcasts to it; several baselines are a list"
            ) from None

    def _rows(self, given: Any, what: str) -> tuple[Reference, ...]:
        """Every sample of arrays, a table or files, spread over the batch."""
        read = read_samples(given, self._graph, self._sidecar, what)
        rows, source = self._named(read.arrays, what), read.source
        for name, x in self._feeds.items():
            if name not in rows and x.dtype.kind == "f":
                raise RequestError(f"the {what} lacks input {name!r}")
        split = {name: list(self._split(name, own, what)) for name, own in rows.items()}
        counts = {name: len(own) for name, own in split.items()}
        if len(set(counts.values())) > 1:
            raise RequestError(f"the {what}'s inputs have different numbers of samples: {counts}")
        return tuple(
            Reference(
                f"row {i} of {source}",
                {**self._feeds, **{name: own[i] for name, own in split.items()}},
                f"rows of the {what}{read.without}",
            )
            for i in range(next(iter(counts.values())))
        )

    def _split(self, name: str, given: Any, what: str) -> Iterator[Array]:
        x, axis = self._feeds[name], self._axes(name)
        array = array_as(given, x.dtype, f"{what} of {name!r}")
        at = 0 if axis is None else int(axis)
        own = x.shape if axis is None else (*x.shape[:at], *x.shape[at + 1 :])
        if array.shape == own:
            array = array[None] if axis is None else np.expand_dims(array, at)
        rows = np.moveaxis(array, at, 0) if array.ndim else array
        if array.ndim != len(own) + 1 or rows.shape[1:] != own or not len(rows):
            raise RequestError(f"{what} of {name!r}: samples are {own}, not of shape {array.shape}")
        for row in self._sensible(what, name, rows):
            yield np.broadcast_to(row if axis is None else np.expand_dims(row, at), x.shape)

    def _sensible(self, what: str, name: str, array: Array) -> Array:
        if not holds_sense(array, missing=takes_missing(self._graph, name)).all():
            raise RequestError(f"{what} of {name!r} holds NaN or Inf")
        return array

    def _blurred(self, name: str, x: Array) -> Array:
        """A batch of pictures, each blurred over an eighth of its sides."""
        axis = self._axes(name)
        axes = picture_axes(x if axis is None else x.take(0, axis))
        if axes is None:
            raise RequestError(
                f"baseline 'blur' is for pictures, and input {name!r} of shape {x.shape} is none; "
                "take zeros, mean or an array"
            )
        return blurred(x, [at if axis is None or at < axis else at + 1 for at in axes])


def some_rows(count: int) -> list[int]:
    """Which of so many rows are compared with one by one: all, or some at even distances."""
    return sorted({round(at) for at in np.linspace(0, count - 1, min(count, MOST))})


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float | np.number) and not isinstance(given, bool)


__all__ = [
    "KEYWORDS",
    "NOTHING",
    "Compared",
    "NamedBaseline",
    "Reference",
    "ReferenceReader",
    "compare",
    "in_words",
    "read_rows",
    "some_rows",
]
