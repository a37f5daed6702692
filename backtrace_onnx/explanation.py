"""What an explanation holds: relevance by tensor, the ledger, and how to keep it in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.module_scopes import NodeScopes
from backtrace_onnx.interop.conversions import Convertible
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.ops.walks import Conserved
from backtrace_onnx.propagation.ledger import Ledger
from backtrace_onnx.results.attention_maps import AttentionMap, AttentionMaps
from backtrace_onnx.results.modules import By, Module, modules
from backtrace_onnx.results.text_tokens import TextTokens
from backtrace_onnx.targets.attention_tensors import AttentionTensor
from backtrace_onnx.targets.output_axes import OutputAxes
from backtrace_onnx.targets.two_classes import TwoClasses

if TYPE_CHECKING:
    from backtrace_onnx.inputs.sidecar import Sidecar
    from backtrace_onnx.results.groups import Groups

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Contribution:
    """One input entry and its relevance.

    Attributes:
        index: position in the input tensor.
        name: feature name where known, else the index in words, without the sample.
    """

    input: str
    index: tuple[int, ...]
    name: str
    relevance: float


@dataclass(frozen=True)
class Explanation(Convertible):
    """Why a model answered as it did.

    Attributes:
        relevance: by tensor name, shaped like the tensor: how much of the answer is credited to
            each entry. float32 or float64, as the model computes; contrastive: positive - negative.
        positive, negative: the two channels, alike; `negative` is empty in modes with one channel.
        inputs: the input arrays, by name. outputs: the model's outputs, by name.
        output: name of the tensor that is explained. mode, task: as asked.
        target: int64[samples], the explained entry of each sample's flattened output (for
            generation, detection and ctc int64[samples, 2]); None where relevance started at all
            entries or was given.
        ledger: where relevance went, node by node.
        names: feature names by input, where known.
        axes: by input the axis along which samples lie; None where it is one for all samples.
        tokens: what inputs of texts are cut into by the model itself, by input.
        places: modules around the ledger's nodes, where the model's file tells.
        layout: which axes of the output hold samples and classes.
        notes: what was assumed or is doubtful, a sentence each.
        binary: "probability" where the output's one entry is that of class 1 of two, "decision" for
            its score (`target` is a class then); else "".
        computes: what the mode computes, in one line.
        slopes: by tensor but ids and words: a unit's credit, in modes that carry slopes.
        attended: those of the kept tensors that are attention's weights, and their layout.
        conserved: what the ledger's parts add up to: the explained "score", its "difference" to a
            baseline's, or "nothing" that the mode promises.
        origin: the model's hash, versions and options, for `backtrace-onnx verify`.
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
    axes: Mapping[str, int | None] = field(default_factory=dict)
    tokens: Mapping[str, TextTokens] = field(default_factory=dict)
    places: Mapping[str, NodeScopes] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    layout: OutputAxes = field(default_factory=OutputAxes)
    binary: TwoClasses = ""
    computes: str = ""
    conserved: Conserved = "score"
    slopes: Mapping[str, Array] = field(default_factory=dict)
    attended: Sequence[AttentionTensor] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def attention(self) -> AttentionMaps:
        """Relevance of every kept attention's weights, token by token (keep="attention").

        Raises RequestError where none was kept.
        """
        if not self.attended:
            raise RequestError("no attention was kept; explain with keep='attention'")
        count = self.ledger.total().start.shape[1]
        maps = [
            AttentionMap(one.name, one.by_heads(self.relevance[one.name], count))
            for one in self.attended
        ]
        return AttentionMaps(maps)

    def top(self, n: int = 10, *, sample: int = 0, input: str | None = None) -> list[Contribution]:
        """The n entries of one sample's inputs with the largest |relevance|, largest first.

        Args:
            sample: its number in the batch. input: whose entries are ranked; default: all inputs'.

        Raises RequestError for an unknown input or sample.
        """
        if not isinstance(n, int) or n < 0:
            raise RequestError(f"top takes a number of entries, not {n!r}")
        if input is not None and input not in self.inputs:
            raise RequestError(f"no input {input!r}; there are: {', '.join(self.inputs)}")
        names = self.inputs if input is None else [input]
        rows = [row for name in names for row in self._largest(name, n, sample)]
        return sorted(rows, key=lambda row: -abs(row.relevance))[:n]

    def _largest(self, name: str, n: int, sample: int) -> list[Contribution]:
        values = self.relevance[name]
        axis = self.axes.get(name, 0 if values.ndim else None)
        if axis is not None and sample not in range(count := values.shape[axis]):
            raise RequestError(f"there is no sample {sample} of input {name!r}, which has {count}")
        row = values if axis is None else values.take(sample, axis)
        rows = []
        for flat in np.argsort(-np.abs(row), axis=None, kind="stable")[:n]:
            own = tuple(int(i) for i in np.unravel_index(flat, row.shape))
            index = own if axis is None else (*own[:axis], sample, *own[axis:])
            rows.append(Contribution(name, index, self._label(name, own), float(row[own])))
        return rows

    def _label(self, name: str, index: tuple[int, ...]) -> str:
        names = self.names.get(name)
        place = index[0] if len(index) == 1 else 0
        if names is not None and len(index) < 2 and place < len(names):
            return names[place]
        return f"{name}[{', '.join(map(str, index))}]"

    def groups(
        self,
        groups: Mapping[str, Sequence[str]] | None = None,
        *,
        sidecar: Sidecar | str | os.PathLike[str] | None = None,
    ) -> Groups:
        """Relevance of groups of entries, by name, and of what is left of every input.

        A group is a list of inputs, columns, names with * and ?, places such as `x[3:7]` or
        `image[10:20, 30:40]`, and words of a text; default: the sidecar's groups. Raises
        RequestError for what is not there, and where an entry is in two groups.
        """
        from backtrace_onnx.inputs.sidecar import Sidecar
        from backtrace_onnx.report.group_sums import group

        meaning = Sidecar.load(sidecar) if isinstance(sidecar, str | os.PathLike) else sidecar
        wanted = meaning.groups if groups is None and meaning else groups
        if not wanted:
            raise RequestError("give groups, or a sidecar that has some")
        return group(self, wanted, meaning)

    def modules(self, *, by: By = "path") -> dict[str, Module]:
        """What each of the modules that the model was written in received and did with it.

        In the order in which the model runs, parents before children; "" is the model itself.

        Args:
            by: "path" for each module by its path, "class" for all of a class together.

        Raises RequestError if the model's file does not tell of modules, or the mode keeps no books
        of nodes.
        """
        if by not in ("path", "class"):
            raise RequestError(f"modules are grouped by path or class, not {by!r}")
        if not len(self.ledger):
            raise RequestError(
                f"mode {self.mode!r} keeps the books of the model, not of its nodes; mode lrp or "
                "deeplift tells of modules"
            )
        found = modules(self.ledger, self.places, by)
        if not found:
            raise RequestError(
                f"the model's file does not tell the {'modules' if by == 'path' else 'classes'} "
                "its nodes belong to; export it with Explainer.from_torch, from_keras or "
                "torch.onnx.export(dynamo=True)"
            )
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one .npz file, which is replaced whole or not at all.

        Raises RequestError where it cannot be written.
        """
        from backtrace_onnx.results import archive

        archive.write(path, {f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read what `save` wrote. Raises InputError if the file is no explanation."""
        from backtrace_onnx.results import archive

        found = archive.read(path)
        return cls(relevance=combined(found["positive"], found["negative"]), **found)

    def plot(
        self,
        path: str | os.PathLike[str],
        *,
        sample: int = 0,
        sidecar: str | os.PathLike[str] | None = None,
        picture: str | os.PathLike[str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Write a picture of one sample's inputs: heatmap for images, bars for features.

        Args:
            path: the file, whose ending says of which kind it is (.png, .svg, .pdf).
            sample: its number in the batch.
            sidecar: the model's: pictures show what was read, one-hot entries are one column.
            picture: the file that was padded or cropped to the input: relevance is drawn on it.
            groups: as in `groups`, which are drawn as bars; default: the sidecar's.

        Raises RequestError for a sample or group that is none, or where it cannot be written.
        """
        from backtrace_onnx.inputs.sidecar import Sidecar
        from backtrace_onnx.report.pictures import plot

        meaning = None if sidecar is None else Sidecar.load(sidecar)
        original = None if picture is None else Path(picture)
        plot(self, Path(path), sample=sample, sidecar=meaning, picture=original, groups=groups)

    def save_html(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write a page of HTML that needs no other file, of all samples (extra `html`).

        Args:
            options: `model`, its file: the page tells its hash, stages and rules, and reads its
                sidecar; `sidecar`, another one; `picture` and `groups` as `plot` takes them.

        Raises RequestError where it cannot be written.
        """
        from backtrace_onnx.report.page.saving import save_page

        save_page([self], path, **options)


class Explanations(Sequence[Explanation]):
    """Explanations of several targets of one batch, in the order in which they were asked for.

    Attributes:
        inputs, outputs: of the one run of the model that all of them explain, by name.
    """

    def __init__(self, parts: Iterable[Explanation]) -> None:
        self._parts = tuple(parts)
        self.inputs: Mapping[str, Array] = self._parts[0].inputs
        self.outputs: Mapping[str, Any] = self._parts[0].outputs

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Explanation, ...]: ...

    def __getitem__(self, index: int | slice) -> Explanation | tuple[Explanation, ...]:
        return self._parts[index]

    def __repr__(self) -> str:
        first = self._parts[0]
        return f"Explanations({len(self)} targets of {first.output!r}, mode {first.mode!r})"

    def save_html(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write a page as `Explanation.save_html` does, on which one picks the target."""
        from backtrace_onnx.report.page.saving import save_page

        save_page(self, path, **options)

    def stacked(self, tensor: str) -> Array:
        """The relevance of one tensor, [targets, *its shape]. Raises KeyError if it is not kept."""
        return np.stack([part.relevance[tensor] for part in self._parts])


def combined(positive: Mapping[str, Array], negative: Mapping[str, Array]) -> dict[str, Array]:
    """positive - negative where there are two channels, else the one there is."""
    return {name: r - negative[name] if name in negative else r for name, r in positive.items()}
