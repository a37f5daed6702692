"""The explainer: a prepared model, its session, and the calls users make."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from backtrace_onnx import rules
from backtrace_onnx.backends.texts import Sessions
from backtrace_onnx.engines.explanation_maker import make_explanation
from backtrace_onnx.engines.outcome import Progress
from backtrace_onnx.engines.prepared_model import open_model
from backtrace_onnx.engines.running import Engine, check_choices, run
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.module_scopes import Written
from backtrace_onnx.inputs.baselines import compare
from backtrace_onnx.inputs.given_inputs import read_inputs
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.inputs.picture_bounds import with_bounds
from backtrace_onnx.inputs.sidecar import meaning_of, opened
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.model.loading import load
from backtrace_onnx.model.sessions import Runtime, find_providers
from backtrace_onnx.policies import find_method
from backtrace_onnx.propagation.plan import OnUnsupported
from backtrace_onnx.results.modules import find_scopes
from backtrace_onnx.results.support import Support, support_rows
from backtrace_onnx.targets.axis_search import GivenAxes
from backtrace_onnx.targets.detectors import asks_for_boxes
from backtrace_onnx.targets.entries import Columns
from backtrace_onnx.targets.output_axes import SampleChoice
from backtrace_onnx.targets.question import Question, settled
from backtrace_onnx.targets.tensor_choice import (
    Keep,
    check_amounts,
    find_kept,
    find_output,
    read_start,
)

if TYPE_CHECKING:
    from backtrace_onnx.inputs.sidecar import Sidecar
    from backtrace_onnx.targets.boxes import Boxes
    from backtrace_onnx.targets.entry_reading import Entries
    from backtrace_onnx.text.tokenizer import Tokenizer

_ = rules  # registers the rules


class Explainer:
    """Explains one model, again and again.

    Args:
        model: path, bytes or ModelProto of an .onnx model.
        engine: "numba" walks back in Python; "onnxruntime" runs the compiled explanation.
        providers: onnxruntime execution providers; default the CPU's.
        libraries: paths of libraries with custom operators, as onnxruntime loads them.
        on_unsupported: at operators without a rule: "error", "pass" relevance to the inputs of
            the output's shape, or "stop" and book it as unassigned.

    Raises:
        ModelError: the model cannot be loaded.
        UnsupportedError: operators have no rule; all are listed.
    """

    def __init__(
        self,
        model: ModelLike,
        *,
        engine: Engine = "numba",
        providers: Sequence[str] | None = None,
        libraries: Sequence[str] = (),
        on_unsupported: OnUnsupported = "error",
    ) -> None:
        check_choices(engine, on_unsupported)
        self.engine, self.on_unsupported = engine, on_unsupported
        runtime = Runtime(find_providers(providers), tuple(libraries))
        self._sessions = Sessions(runtime)
        self._loaded = load(model)
        self._model = open_model(self._loaded, on_unsupported, runtime)

    @classmethod
    def from_torch(cls, module: Any, example: Any, **options: Any) -> Explainer:
        """Export a torch module and explain what was exported.

        `options` are those of `exporters.from_torch` and of Explainer. Raises ExportError.
        """
        from backtrace_onnx.exporters import from_torch
        from backtrace_onnx.exporters.temporary import explainer

        return explainer(cls, from_torch, options, module, example)

    @classmethod
    def from_keras(cls, model: Any, **options: Any) -> Explainer:
        """Export a Keras model and explain what was exported.

        `options` are those of `exporters.from_keras` and of Explainer. Raises ExportError.
        """
        from backtrace_onnx.exporters import from_keras
        from backtrace_onnx.exporters.temporary import explainer

        return explainer(cls, from_keras, options, model)

    @property
    def graph(self) -> Graph:
        """The graph as the rules read it; control flow that depends on the inputs is one node."""
        return self._model.graph

    def explain(
        self,
        inputs: Any,
        *,
        mode: Any = "default",
        output: str | None = None,
        target: Any = None,
        task: str | None = None,
        start: Any = None,
        baseline: Any = None,
        background: Any = None,
        scaler: float | None = None,
        threshold: float | None = None,
        sample_axis: SampleChoice = None,
        class_axis: int | None = None,
        columns: Columns | None = None,
        labels: Sequence[str] = (),
        keep: Keep = "inputs",
        tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
        sidecar: Sidecar | str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
        **parameters: Any,
    ) -> Explanation:
        """Trace the answer for `inputs` back to them.

        Args:
            inputs: array, or arrays by input name; with a tokenizer a text or a list of texts. An
                input that is a sequence takes a list; its relevance is that of `name/0`, ... Where
                inputs are columns: a data frame of any library, or a list of rows by column.
            mode: "default", "contrastive", another one of docs/methods.md, or one of your own.
            output: tensor to explain, by name; default the first float output (behind a ZipMap:
                the probabilities it names).
            target: entry of the output: an index, one per sample, or a tuple index of the output's
                axes; for generation (position, token), where negative positions count from the end
                of each text, without its padding. Default: the largest, where there are tokens.
            task: "classification", "regression", "bbox", "segmentation", "generation" (the default
                for a language model's output), "detection" (for a detector's) or "ctc"; the last
                two explain one box or step, target (entry, class), by default the best.
            start: relevance to start from, shaped like the output; a pair in contrastive mode. Or
                a function (output, channels) that returns it, or a `Contrast`. Or "probability":
                signed modes then start at the output also where it is a function of scores.
            baseline: what some modes compare with: an array, arrays by name, "zeros", "mean" (of
                the background), "blur" (pictures), a file, or a list of several, to be averaged.
            background: samples to compare with: an array, a table, a file or a folder.
            scaler, threshold: total each channel starts from; of a segmentation, default 0.5.
            sample_axis: axis of the output along which samples lie, or "none": it is one sample.
                Default: found in the model; what is assumed is one of the explanation's notes.
            class_axis: axis of the output along which the classes of one entry lie.
            columns: which of an entry's columns are classes ("detection", "ctc"); default: found.
            labels: of the classes: how many there are tells which columns of an entry these are,
                and two that the one entry of an output is a decision between them.
            keep: tensors whose relevance is kept: "inputs", "all" or names.
            tokenizer: a `Tokenizer`, or the path of a tokenizer.json, for texts.
            sidecar: a `Sidecar`, or its path: what inputs and output mean, where nothing else says.
            progress: called with (nodes done, nodes) as the walk goes on.
            parameters: those of the mode, as in its parentheses: steps=32, samples=64, seed=1.

        Raises:
            InputError: an input does not fit the model.
            RequestError: another argument does not fit it.
            UnsupportedError: the way from `output` meets operators without a rule.
            NumericalError: relevance became NaN or infinite on its way.

        Warns:
            InputWarning: columns of a table that no input takes.
        """
        start, probability = read_start(start, target, task)
        method = find_method(mode, **parameters)
        given = read_inputs(inputs, self.graph, tokenizer, sidecar)
        compared = compare(method, baseline, background, given.sidecar)
        model, feeds = self._model.read(given.filled.feeds)
        output = find_output(output, model.graph)
        prepared = model.output(output)
        graph = prepared.plan.graph
        method = with_bounds(method, given.sidecar, prepared.plan)
        cut = frozenset(prepared.tokens) & prepared.plan.carriers
        said = OutputMeaning(task, tuple(labels), threshold, sample_axis, class_axis, columns)
        said = said.over(meaning_of(given.sidecar, output))
        threshold = 0.5 if said.threshold is None else said.threshold
        check_amounts(threshold, scaler)
        axes, kept = said.axes(graph.type(output).shape), find_kept(keep, graph, output)
        how = (target, start, scaler, threshold, axes, kept)
        asked = Question(method, output, "", *how, probability=probability)
        question, assumed = settled(asked, said.task, graph, boxes=asks_for_boxes(target))
        walked = replace(question, keep=question.keep | cut) if method.walks is None else question
        outcome = run(self.engine, model, walked, feeds, self._sessions, progress, compared)
        made = make_explanation(question, outcome, feeds, prepared)
        notes = (*self._loaded.notes, *given.filled.notes, *made.notes, *assumed)
        places = find_scopes(self._written, prepared, made.ledger)
        return replace(made, places=places, names=given.names(made.inputs), notes=notes)

    def entries(
        self,
        inputs: Any,
        *,
        task: str | None = None,
        output: str | None = None,
        sample_axis: SampleChoice = None,
        class_axis: int | None = None,
        columns: Columns | None = None,
        labels: Sequence[str] = (),
        boxes: Boxes | None = None,
    ) -> Entries | None:
        """The boxes or steps that the outputs hold for `inputs`, not explained.

        Arguments are those of `explain`; `labels` name classes, `boxes` says how coordinates are
        read. None where no task is named and the output is no detector's.
        """
        from backtrace_onnx.targets.entry_reading import read_entries

        model, feeds = self._model.read(inputs)
        output = find_output(output, model.graph)
        axes = GivenAxes(sample_axis, class_axis, columns, len(labels))
        named = task or "classification"
        question = Question(find_method("default"), output, named, axes=axes, open=task is None)
        prepared = model.output(output)
        arrays = prepared.trace.run(feeds)
        outputs = {name: arrays[name] for name in (*prepared.trace.outputs, output)}
        return read_entries(question, prepared.plan.graph, outputs, feeds, tuple(labels), boxes)

    @cached_property
    def _written(self) -> Written:
        return Written(self._loaded.proto)

    def compile(
        self,
        path: str | os.PathLike[str],
        *,
        mode: Any = "default",
        output: str | None = None,
        task: str | None = None,
        tensors: Sequence[str] | None = None,
        scaler: float | None = None,
        threshold: float = 0.5,
        target: Any = "optional",
        start: bool | Literal["probability"] = False,
        sample_axis: SampleChoice = None,
        class_axis: int | None = None,
        columns: Columns | None = None,
        labels: Sequence[str] = (),
        sidecar: Sidecar | str | os.PathLike[str] | None = None,
    ) -> None:
        """Write one .onnx file that returns the prediction and its explanation.

        Its inputs are the model's and `target`, int64: [targets], an entry of the flattened output
        of each sample or one for all, -1 for the largest (regression: for all of them); for task
        "generation" [targets, positions, 2] of (position, token), -1 for the last and the largest;
        for "detection" and "ctc" [targets, 2] of (box or step, class), -1 for the best.
        It is an initializer that may be overridden, for which onnxruntime warns once as it loads.

        Args:
            path: file to write; weights over 1.8 GB go to `<path>.data`.
            task: as in `explain`; a detector is recognised by a trial run.
            tensors: those whose relevance is returned; default: the inputs.
            target: "optional" as above; "required": an input that must be given; None: no such
                input, the file explains what `explain` does without a target; or an index, or one
                per axis, that it explains always. Only "optional" makes onnxruntime warn.
            start: in place of task and target, an input `start` takes the relevance to start from,
                shaped like the output; in modes with two channels `start_negative` too. Or
                "probability", as in `explain`.
            sample_axis, class_axis, columns: of the output, as in `explain`.
            labels: of a detector's classes: how many there are tells which columns these are.
            sidecar: a `Sidecar`, or its path, for modes that read there between which numbers a
                picture lies ("box").

        Raises:
            CompileError: a node cannot be written as ONNX nodes, or a name is taken.
            RequestError: an argument does not fit the model, or the file cannot be written.
        """
        from backtrace_onnx.compiler.file_question import question_of_file
        from backtrace_onnx.compiler.saving import write
        from backtrace_onnx.compiler.target_input import TargetInput

        check_amounts(threshold, scaler)
        model = self._model.straight()
        output = find_output(output, model.graph)
        prepared, told = model.output(output), TargetInput.of(target)
        axes = GivenAxes(sample_axis, class_axis, columns, len(labels))
        method = with_bounds(find_method(mode), opened(sidecar), prepared.plan)
        asked = Question(method, output, scaler=scaler, threshold=threshold, axes=axes)
        question = question_of_file(prepared, asked, model.graph, task, start, told)
        write(model.graphs, path, question, told, tensors)

    def support(self) -> list[Support]:
        """A row per node that relevance may meet, in the model's order."""
        return support_rows(self._loaded, self._model.plan)


__all__ = ["Explainer", "Support"]
