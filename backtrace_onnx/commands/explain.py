"""From files to explained samples: what the command `explain` does before it reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from backtrace_onnx.commands.batch_parts import parts_of_batch
from backtrace_onnx.commands.entry_parts import PickedEntry, entry_parts, labels_named
from backtrace_onnx.commands.explain_options import ExplainOptions
from backtrace_onnx.commands.reason_options import asked_reasons
from backtrace_onnx.commands.reference_options import reference_notes, references
from backtrace_onnx.commands.sidecar_options import output_axes, output_meaning, sidecar_of
from backtrace_onnx.commands.target_options import TargetChoice
from backtrace_onnx.doubts import check_explanation
from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.class_names import count_classes, declared_names, named_by_file
from backtrace_onnx.inputs.files import Batch, InputReader
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.policies import find_method
from backtrace_onnx.propagation.mode_choice import AUTO
from backtrace_onnx.report.console import Waiting
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.group_ranking import check_groups
from backtrace_onnx.report.stages import Flow, NetworkStage, apart, stages_of
from backtrace_onnx.results.group_members import read_options
from backtrace_onnx.targets.detector_columns import end_to_end
from backtrace_onnx.targets.detectors import sees_pictures
from backtrace_onnx.targets.entries import TASKS
from backtrace_onnx.targets.entry_reading import Entries
from backtrace_onnx.targets.language_models import default_task, find_tokens, speaking
from backtrace_onnx.targets.tensor_choice import Keep, default_output
from backtrace_onnx.targets.through_choice import read_through
from backtrace_onnx.text.inputs import find_ids


def explained(asked: ExplainOptions, waiting: Waiting) -> list[ExplainedSample]:
    """Explain every sample of the inputs, and return them in order. Raises BacktraceError."""
    explainer = Explainer(asked.model, engine=asked.engine, on_unsupported=asked.on_unsupported)
    sidecar = sidecar_of(asked, explainer.graph)
    groups = read_options(asked.groups) or (sidecar.groups if sidecar else {})
    reader = InputReader(explainer.graph, sidecar)
    if not explainer.graph.inputs:
        raise InputError("the model has no inputs; there is nothing that it could be explained by")
    if not asked.inputs:
        nothing = InputError(f"no INPUT given; the model takes:\n{reader.takes()}")
        nothing.in_lines = True
        raise nothing
    waiting.say("Reading the inputs")
    batch = reader.read(asked.inputs)
    if asked.start and asked.tokens.rather_than is not None:
        raise RequestError("--start says where one entry starts; --rather-than takes two")
    if asked.each and (asked.targets or asked.tokens.any()):
        raise RequestError(
            "--targets explains several for every sample; it goes without --target, --token, "
            "--rather-than and --continuation"
        )
    reasons = asked_reasons(asked, sidecar, waiting)
    waiting.say(f"Explaining {len(batch.sources)} sample(s)")
    compared = references(asked, explainer.graph, sidecar) if reasons is None else reasons.options
    notes = tuple(dict.fromkeys((*batch.notes, *reference_notes(compared))))
    batch = replace(batch, notes=notes)
    subjects = _all_subjects(asked, explainer, reader, batch, sidecar, compared, waiting)
    subjects = [replace(subject, groups=groups) for subject in subjects]
    check_groups(subjects)
    return subjects if reasons is None else reasons.given(subjects)


def _all_subjects(
    asked: ExplainOptions,
    explainer: Explainer,
    reader: InputReader,
    batch: Batch,
    sidecar: Sidecar | None,
    compared: Mapping[str, Any],
    waiting: Waiting,
) -> list[ExplainedSample]:
    """The explanations of all parts of the batch, sample by sample.

    `compared`: what inputs are compared with, and the mode where that decides it.
    """
    graph = explainer.graph
    meaning = output_meaning(sidecar, graph, asked.output)
    shape = graph.type(asked.output or default_output(graph) or "").shape
    axes = output_axes(asked.sample_axis, asked.class_axis, meaning, shape)
    stages = _stages(asked, explainer)
    with labels_named(sidecar, asked.output or default_output(graph)):
        read = _entries(asked, meaning, batch, explainer, axes)
    how: dict[str, Any] = {
        "mode": asked.mode,
        "output": asked.output,
        "scaler": asked.scaler,
        "threshold": _first(asked.threshold, meaning.threshold, 0.5),
        "labels": meaning.labels,
        **(axes if read is None else axes | _axes_of(read)),
        **compared,
        "sidecar": sidecar,
        "through": dict(read_through(text) for text in asked.through),
        "progress": waiting.advance,
        "keep": _kept(asked, stages),
    }
    subjects: list[ExplainedSample] = []
    named = declared_names(meaning, explainer.class_labels, shape)
    for part, wanted, picked in _parted(asked, named, batch, reader, explainer, read):
        found: Any = explainer.explain(part.feeds, **how, **wanted.options(asked.start))
        if asked.check and isinstance(found, Explanation):
            found = _checked(explainer, found, how)
        unasked = asked.task is None and meaning.task is None and wanted.task == "generation"
        notes = (*(read.notes if read else ()), *batch.notes)
        about = (stages, sidecar, batch.names, notes, unasked, explainer)
        shown: dict[str, Any] = {"words": asked.words, "attention": asked.attention}
        shown["support"] = tuple(explainer.support()) if asked.page else ()
        every = []
        for one in [found] if isinstance(found, Explanation) else found:
            common = replace(_explained(one, *about), threshold=how["threshold"], **shown)
            every.append(_subjects(common, part, wanted.entries(one, graph), picked))
        subjects += [subject for of_sample in zip(*every, strict=True) for subject in of_sample]
    return subjects


def _checked(explainer: Explainer, found: Explanation, how: Mapping[str, Any]) -> Explanation:
    """An explanation with the doubts that other explanations raise."""
    kept = ("keep", "progress", "through", "scaler")
    asked = {name: value for name, value in how.items() if name not in kept}
    if how["through"]:
        return found
    return check_explanation(explainer, found, **asked)


def _stages(asked: ExplainOptions, explainer: Explainer) -> tuple[NetworkStage, ...]:
    """The stages that the picture of layers shows, where there is to be one."""
    if asked.attention and not asked.pictures:
        raise RequestError("--attention draws a picture; name its folder: --out FOLDER")
    drawn = (asked.pictures or asked.page) and not asked.attention
    flows = drawn and (asked.mode.strip() == AUTO or find_method(asked.mode).flows)
    return tuple(stages_of(explainer, asked.output)) if flows else ()


def _axes_of(read: Entries) -> dict[str, Any]:
    """The axes of an output in which entries were read, as `Explainer.explain` takes them."""
    found: dict[str, Any] = {"columns": read.axes.columns}
    found["class_axis"] = None if read.axes.are_single else read.axes.classes
    if read.task == "ctc":
        found["sample_axis"] = "none" if read.axes.samples is None else read.axes.samples
    return found


def _explained(
    made: Explanation,
    stages: tuple[NetworkStage, ...],
    sidecar: Sidecar | None,
    given: Mapping[str, tuple[str, ...]],
    notes: Sequence[Note],
    unasked: bool,
    explainer: Explainer,
) -> ExplainedSample:
    """An explanation, with what files and sidecar say of it.

    Args:
        given: names by input, that the files tell.
        unasked: whether nobody asked for the output to be read as a language model's.
    """
    made, inner = apart(made)
    graph, named = explainer.graph, explainer.class_labels
    spoken = _spoken(made.output, graph) if unasked else ()
    names = {**made.names, **(sidecar.names() if sidecar else {}), **given}
    made = replace(made, names=names, notes=(*notes, *made.notes, *spoken))
    flow, real = Flow(stages, inner), _real(made, graph)
    return ExplainedSample(made, sidecar=sidecar, flow=flow, real=real, class_names=named)


def _kept(asked: ExplainOptions, stages: Sequence[NetworkStage]) -> Keep:
    """The tensors inside whose relevance pictures show."""
    if asked.attention:
        return "attention"
    return [name for stage in stages for name in stage.handed] or "inputs"


def _real(made: Explanation, graph: Graph) -> Any:
    """Which positions of the output are no padding; None where nothing tells."""
    tokens, y = find_tokens(graph, made.output), made.outputs.get(made.output)
    return None if tokens is None or y is None else tokens.real(made.inputs, y.shape[1])


def _spoken(output: str, graph: Graph) -> tuple[Note, ...]:
    """That an output was read as a language model's, for a text, unasked."""
    task, notes = default_task(graph, output)
    size = (graph.type(output).shape or (0,))[-1]
    said = speaking(output, find_ids(graph), size if isinstance(size, int) else 0, False)
    return notes if task == "generation" else (Note(said),)


def _entries(
    asked: ExplainOptions,
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
    read = explainer.entries(
        batch.feeds,
        task=task,
        output=asked.output,
        columns=meaning.columns,
        labels=meaning.labels,
        boxes=meaning.boxes,
        **axes,
    )
    if read is None or meaning.labels:
        return read
    count = count_classes(read.task, False, read.axes, read.rows.shape[1:])
    return replace(read, labels=named_by_file(meaning, explainer.class_labels, count).labels)


def _parted(
    asked: ExplainOptions,
    meaning: OutputMeaning,
    batch: Batch,
    reader: InputReader,
    explainer: Explainer,
    read: Entries | None,
) -> Iterator[tuple[Batch, TargetChoice, tuple[PickedEntry, ...]]]:
    """The parts of the batch that are explained at once, what of each, and which entries."""
    if read is not None and asked.each:
        raise RequestError(
            "the output holds boxes or steps: repeat --target box,class for several of a sample"
        )
    if read is not None:
        yield from entry_parts(explainer, batch, read, asked.targets, asked.boxes)
        return
    for part, wanted in parts_of_batch(asked, meaning, batch, reader, explainer.graph):
        yield part, wanted, ()


def _subjects(
    common: ExplainedSample,
    part: Batch,
    entries: Sequence[tuple[int, ...]],
    picked: Sequence[PickedEntry] = (),
) -> Iterator[ExplainedSample]:
    sources = part.sources
    for sample in range(common.samples):
        source = sources[sample] if len(sources) == common.samples else ", ".join(sources)
        own = entries[sample] if entries else ()
        originals = part.originals(sample)
        box = picked[sample].corners if picked else None
        yield replace(
            common, sample=sample, source=source, entries=own, originals=originals, box=box
        )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
