"""From files to explained samples: what the command `explain` does before it reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from backtrace_onnx.choices import default_output
from backtrace_onnx.detector_columns import end_to_end
from backtrace_onnx.detectors import sees_pictures
from backtrace_onnx.entries import TASKS
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.generation import Contrast
from backtrace_onnx.graph import Graph, Shape
from backtrace_onnx.groups import read_options
from backtrace_onnx.language import default_task, speaking
from backtrace_onnx.meanings import OutputMeaning
from backtrace_onnx.notes import Note
from backtrace_onnx.read_entries import Entries
from backtrace_onnx.report.console import Waiting
from backtrace_onnx.report.entry_parts import Picked, entry_parts, labels_named
from backtrace_onnx.report.grouped import check_groups
from backtrace_onnx.report.subject import Subject
from backtrace_onnx.report.wanted import (
    Tokens,
    Wanted,
    continued,
    next_tokens,
    speaks,
    target,
    targets,
)
from backtrace_onnx.sidecar import Sidecar
from backtrace_onnx.sources import Batch, Reader
from backtrace_onnx.stages import Flow, apart, stages_of
from backtrace_onnx.text_inputs import TextInput, find_ids


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; None where the sidecar or the default decides."""

    model: Path
    inputs: Sequence[str]
    mode: str = "default"
    targets: Sequence[str] = ()
    output: str | None = None
    task: str | None = None
    scaler: float | None = None
    threshold: float | None = None
    sample_axis: str | None = None
    class_axis: int | None = None
    on_unsupported: Literal["error", "pass", "stop"] = "error"
    engine: Literal["numba", "onnxruntime"] = "numba"
    sidecar: Path | None = None
    tokenizer: Path | None = None
    token: str | None = None
    rather_than: str | None = None
    continuation: str | None = None
    words: bool = False
    groups: Sequence[str] = ()
    start: Literal["probability"] | None = None
    truncate: bool = False
    boxes: int = 1
    pictures: bool = False

    @property
    def tokens(self) -> Tokens:
        """What is asked of a language model."""
        return Tokens(self.token, self.rather_than, self.continuation)


def explained(asked: Asked, waiting: Waiting) -> list[Subject]:
    """Explain every sample of the inputs. Raises BacktraceError."""
    sidecar = _with_tokenizer(find_sidecar(asked.model, asked.sidecar), asked)
    explainer = Explainer(asked.model, engine=asked.engine, on_unsupported=asked.on_unsupported)
    graph = explainer.graph
    sidecar = _cutting(_placed(sidecar, graph), asked)
    groups = read_options(asked.groups) or (sidecar.groups if sidecar else {})
    if sidecar:
        sidecar.check(graph.inputs, graph.outputs)
    reader = Reader(graph, sidecar)
    if not asked.inputs:
        nothing = InputError(f"no INPUT given; the model takes:\n{reader.takes()}")
        nothing.in_lines = True
        raise nothing
    waiting.say("Reading the inputs")
    batch = reader.read(asked.inputs)
    meaning = output_meaning(sidecar, graph, asked.output)
    waiting.say(f"Explaining {len(batch.sources)} sample(s)")
    threshold = _first(asked.threshold, meaning.threshold, 0.5)
    shape = graph.type(asked.output or default_output(graph) or "").shape
    axes = output_axes(asked.sample_axis, asked.class_axis, meaning, shape)
    subjects: list[Subject] = []
    if asked.start and asked.tokens.rather_than is not None:
        raise RequestError("--start says where one entry starts; --rather-than takes two")
    stages = stages_of(explainer, asked.output) if asked.pictures else ()
    with labels_named(sidecar, asked.output or default_output(graph)):
        read = _entries(asked, meaning, batch, explainer, axes)
    if read is not None:
        axes |= {"columns": read.axes.columns, "class_axis": read.axes.classes}
    for part, wanted, picked in _parted(asked, meaning, batch, reader, explainer, read):
        made = explainer.explain(
            part.feeds,
            mode=asked.mode,
            output=asked.output,
            scaler=asked.scaler,
            threshold=threshold,
            **axes,
            progress=waiting.advance,
            keep=[name for stage in stages for name in stage.handed] or "inputs",
            **wanted.options(asked.start),
        )
        made, inner = apart(made)
        names = {**made.names, **(sidecar.names() if sidecar else {}), **batch.names}
        made = replace(made, names=names, notes=(*batch.notes, *made.notes))
        if asked.task is None and meaning.task is None and wanted.task == "generation":
            made = replace(made, notes=(*made.notes, *_spoken(made.output, graph)))
        if read is not None:
            made = replace(made, notes=(*read.notes, *made.notes))
        common = Subject(
            made, sidecar=sidecar, threshold=threshold, words=asked.words, groups=groups
        )
        common = replace(common, flow=Flow(stages, inner))
        subjects += _subjects(common, part, wanted.entries(made), picked)
    check_groups(subjects)
    return subjects


def _spoken(output: str, graph: Graph) -> tuple[Note, ...]:
    """That an output was read as a language model's, for a text, unasked."""
    task, notes = default_task(graph, output)
    size = (graph.type(output).shape or (0,))[-1]
    said = speaking(output, find_ids(graph), size if isinstance(size, int) else 0, False)
    return notes if task == "generation" else (Note(said),)


def _entries(
    asked: Asked,
    meaning: OutputMeaning,
    batch: Batch,
    explainer: Explainer,
    axes: Mapping[str, Any],
) -> Entries | None:
    """The boxes or steps of the outputs, where they are asked for or a detector is recognised."""
    task = asked.task or meaning.task
    if (task or "detection") not in TASKS or batch.texts or asked.tokens.any():
        return None
    graph = explainer.graph
    known = end_to_end(graph, asked.output or default_output(graph) or "")
    if task is None and not known and not sees_pictures(graph):
        return None
    return explainer.entries(
        batch.feeds,
        task=task,
        output=asked.output,
        columns=meaning.columns,
        labels=meaning.labels,
        boxes=meaning.boxes,
        **axes,
    )


def _parted(
    asked: Asked,
    meaning: OutputMeaning,
    batch: Batch,
    reader: Reader,
    explainer: Explainer,
    read: Entries | None,
) -> Iterator[tuple[Batch, Wanted, tuple[Picked, ...]]]:
    """The parts of the batch that are explained at once, what of each, and which entries."""
    if read is not None:
        yield from entry_parts(explainer, batch, read, asked.targets, asked.boxes)
        return
    for part, wanted in _plan(asked, meaning, batch, reader, explainer.graph):
        yield part, wanted, ()


def _plan(
    asked: Asked, meaning: OutputMeaning, batch: Batch, reader: Reader, graph: Graph
) -> Iterator[tuple[Batch, Wanted]]:
    """The parts of the batch that are explained at once, and what of each."""
    task = asked.task or meaning.task
    entry = _text_entry(reader, batch, asked)
    language = entry is not None and _generates(asked, task, graph, entry)
    if language and entry is not None and asked.tokens.continuation is not None:
        yield from continued(batch, asked.tokens.continuation, entry, graph)
        return
    for samples, part in _parts(batch, graph):
        if language and entry is not None and not asked.targets:
            yield part, next_tokens(asked.tokens, entry, part.feeds)
            continue
        good = targets(asked.targets, meaning.labels, samples, len(batch.sources))
        if asked.tokens.rather_than is None:
            yield part, Wanted("generation" if language else task, good)
        else:
            other = target(asked.tokens.rather_than, meaning.labels)
            yield part, Wanted(None, contrast=Contrast(good, other))


def _generates(asked: Asked, task: str | None, graph: Graph, entry: TextInput) -> bool:
    """Whether the output is a language model's, whose tokens are asked for."""
    output = asked.output or default_output(graph) or ""
    wide = speaks(graph, output, entry)
    if (asked.tokens.token or asked.tokens.continuation) is not None and not wide:
        raise RequestError(
            f"output {output!r} has no entry for every token of the text; --token and "
            "--continuation are for language models"
        )
    return wide and task in (None, "generation")


def _text_entry(reader: Reader, batch: Batch, asked: Asked) -> TextInput | None:
    """How the texts of the batch were read, if it holds any."""
    if batch.texts:
        return next(iter(reader.texts.values()))
    if asked.tokens.token is not None or asked.tokens.continuation is not None:
        raise RequestError("--token and --continuation need a text as INPUT, and its tokenizer")
    return None


def _with_tokenizer(sidecar: Sidecar | None, asked: Asked) -> Sidecar | None:
    """The sidecar with the tokenizer of the command line, for an input still without a name."""
    if asked.tokenizer is None:
        return sidecar
    known = sidecar or Sidecar(asked.model)
    return replace(known, inputs={**known.inputs, "": TextInput(asked.tokenizer)})


def _placed(sidecar: Sidecar | None, graph: Graph) -> Sidecar | None:
    """The sidecar with that input named."""
    entry = sidecar.inputs.get("") if sidecar else None
    if sidecar is None or not isinstance(entry, TextInput):
        return sidecar
    name = find_ids(graph)
    rest = {key: value for key, value in sidecar.inputs.items() if key}
    return replace(sidecar, inputs={**rest, name: replace(entry, name=name)})


def _cutting(sidecar: Sidecar | None, asked: Asked) -> Sidecar | None:
    """The sidecar, whose texts are cut where that is asked for."""
    if sidecar is None or not asked.truncate:
        return sidecar
    cut = {
        name: replace(entry, truncate=True)
        for name, entry in sidecar.inputs.items()
        if isinstance(entry, TextInput)
    }
    return replace(sidecar, inputs={**sidecar.inputs, **cut})


def find_sidecar(model: Path, given: Path | None) -> Sidecar | None:
    """The sidecar asked for, or the one beside the model."""
    return Sidecar.load(given) if given else Sidecar.beside(model)


def output_meaning(sidecar: Sidecar | None, graph: Graph, output: str | None) -> OutputMeaning:
    """What the sidecar says about the output that is explained."""
    name = output or default_output(graph) or ""
    return (sidecar.outputs.get(name) if sidecar else None) or OutputMeaning()


def output_axes(
    samples: str | None, classes: int | None, meaning: OutputMeaning, shape: Shape | None
) -> dict[str, Any]:
    """The axes of an output as the command line or the sidecar has them: options of `explain`.

    Raises RequestError for what is neither the number of an axis nor none.
    """
    sample_axis: Any = meaning.sample_axis if samples is None else samples
    if isinstance(sample_axis, str) and sample_axis != "none":
        try:
            sample_axis = int(sample_axis)
        except ValueError:
            raise RequestError(
                f"--sample-axis is the number of an axis or none, not {sample_axis!r}"
            ) from None
    class_axis = meaning.class_axis if classes is None else classes
    if class_axis is None:
        class_axis = _labelled(meaning.labels, shape)
    return {"sample_axis": sample_axis, "class_axis": class_axis}


def _labelled(labels: Sequence[str], shape: Shape | None) -> int | None:
    """The only axis, of two or more behind the first, that is as long as there are labels."""
    found = [axis for axis, n in enumerate(shape or ()) if n == len(labels) and axis]
    return found[0] if len(found) == 1 and labels and len(shape or ()) > 2 else None


def _subjects(
    common: Subject,
    part: Batch,
    entries: Sequence[tuple[int, ...]],
    picked: Sequence[Picked] = (),
) -> Iterator[Subject]:
    sources = part.sources
    for sample in range(common.samples):
        source = sources[sample] if len(sources) == common.samples else ", ".join(sources)
        own = entries[sample] if entries else ()
        originals = part.originals(sample)
        box = picked[sample].corners if picked else None
        yield replace(
            common, sample=sample, source=source, entries=own, originals=originals, box=box
        )


def _parts(batch: Batch, graph: Graph) -> Iterator[tuple[slice, Batch]]:
    """The batch, or its samples one by one where the model takes only one at a time."""
    shapes = [graph.type(name).shape for name in batch.feeds]
    single = all(s is not None and len(s) > 1 and s[0] == 1 for s in shapes)
    count = len(batch.sources)
    whole = {len(a) if a.ndim else 1 for a in batch.feeds.values()} == {count}
    if not (single and whole and count > 1):
        yield slice(None), batch
        return
    for i, source in enumerate(batch.sources):
        feeds = {name: a[i : i + 1] for name, a in batch.feeds.items()}
        own = {name: pictures[i : i + 1] for name, pictures in batch.pictures.items()}
        yield slice(i, i + 1), Batch(feeds, (source,), batch.texts[i : i + 1], pictures=own)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
