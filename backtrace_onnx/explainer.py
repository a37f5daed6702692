"""The explainer: a prepared model, its session, and the calls users make."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

from backtrace_onnx.engines.explanation_maker import make_explanation
from backtrace_onnx.engines.outcome import Outcome, Progress
from backtrace_onnx.engines.running import run, run_targets
from backtrace_onnx.engines.tree_walks import of_one_walk
from backtrace_onnx.explanation import Explanation, Explanations
from backtrace_onnx.inputs.baselines import compare
from backtrace_onnx.inputs.given_inputs import read_inputs
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.inputs.picture_bounds import with_bounds
from backtrace_onnx.inputs.sidecar import meaning_of, opened
from backtrace_onnx.opened_model import OpenedModel
from backtrace_onnx.policies import find_method
from backtrace_onnx.propagation.mode_choice import settle_mode
from backtrace_onnx.results.modules import find_scopes
from backtrace_onnx.results.support import Support
from backtrace_onnx.targets.attention_tensors import attention_kept
from backtrace_onnx.targets.axis_search import GivenAxes
from backtrace_onnx.targets.detectors import asks_for_boxes
from backtrace_onnx.targets.entries import Columns
from backtrace_onnx.targets.output_axes import SampleChoice
from backtrace_onnx.targets.question import Question, settled
from backtrace_onnx.targets.tensor_choice import (
    Keep,
    Targets,
    apart_note,
    check_amounts,
    find_apart,
    find_kept,
    find_output,
    read_start,
)
from backtrace_onnx.targets.through_choice import Through, find_conditions, names_of

if TYPE_CHECKING:
    from backtrace_onnx.inputs.sidecar import Sidecar
    from backtrace_onnx.targets.boxes import Boxes
    from backtrace_onnx.targets.entry_reading import Entries
    from backtrace_onnx.text.tokenizer import Tokenizer


class Explainer(OpenedModel):
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

    @overload
    def explain(self, inputs: Any, *, targets: None = None, **options: Any) -> Explanation: ...

    @overload
    def explain(self, inputs: Any, *, targets: Targets, **options: Any) -> Explanations: ...

    def explain(
        self,
        inputs: Any,
        *,
        mode: Any = "default",
        output: str | None = None,
        target: Any = None,
        targets: Targets | None = None,
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
        through: Through | None = None,
        tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
        sidecar: Sidecar | str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
        **parameters: Any,
    ) -> Explanation | Explanations:
        """Trace the answer for `inputs` back to them.

        Args:
            inputs: array, or arrays by input name; with a tokenizer a text or a list of texts. An
                input that is a sequence takes a list; its relevance is that of `name/0`, ... Where
                inputs are columns: a data frame of any library, or a list of rows by column.
            mode: "default", "contrastive", another one of docs/methods.md, one of your own; or
                "auto": what is for such networks, which a note names.
            output: tensor to explain, by name; default the first float output (behind a ZipMap:
                the probabilities it names).
            target: entry of the output: an index, one per sample, or a tuple index of the output's
                axes; for generation (position, token), where negative positions count from the end
                of each text, without its padding. Default: the largest, where there are tokens.
            targets: several of these, a list, or "all" of the output's entries: an explanation of
                each in their order, the same as alone, of one run of the model.
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
            keep: tensors whose relevance, and slopes, are kept: "inputs", "all", "attention" (the
                weights of every attention, see `Explanation.attention`) or names.
            through: by tensor which parts of it relevance passes, a list of numbers of its
                channels, heads or units or a boolean array that broadcasts to it; the rest is cut
                and stands in the ledger. Ways around the tensor stay open.
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
        start, probability = read_start(start, target, task, targets)
        given = read_inputs(inputs, self.graph, tokenizer, sidecar)
        model, feeds = self._model.read(given.filled.feeds)
        output = find_output(output, model.graph)
        compared_with = [
            n for n, x in (("baseline", baseline), ("background", background)) if x is not None
        ]
        mode, chosen = settle_mode(mode, lambda: model.output(output).plan, output, compared_with)
        method = find_method(mode, **parameters)
        compared = compare(method, baseline, background, given.sidecar)
        apart = find_apart(model.graph, method, keep, names_of(through))
        prepared = model.output(output, apart)
        graph = prepared.plan.graph
        method = with_bounds(method, given.sidecar, prepared.plan)
        cut = frozenset(prepared.tokens) & prepared.plan.carriers
        said = OutputMeaning(task, tuple(labels), threshold, sample_axis, class_axis, columns)
        said = said.over(meaning_of(given.sidecar, output))
        threshold = 0.5 if said.threshold is None else said.threshold
        check_amounts(threshold, scaler)
        keep = attention_kept(prepared.plan, output) if keep == "attention" else keep
        axes, kept = said.axes(graph.type(output).shape), find_kept(keep, graph, output)
        how = (target, start, scaler, threshold, axes, kept)
        conditions = find_conditions(through, graph, output)
        more: Any = {"probability": probability, "through": conditions, "apart": apart}
        asked = Question(method, output, "", *how, **more)
        question, assumed = settled(asked, said.task, graph, boxes=asks_for_boxes(target))
        walked = replace(question, keep=question.keep | cut) if method.walks is None else question

        def finished(target: Any, outcome: Outcome) -> Explanation:
            asked = replace(question, target=target)
            made = make_explanation(asked, outcome, feeds, prepared)
            told = (*assumed, *chosen, *apart_note(apart, model.graph))
            notes = (*self._loaded.notes, *given.filled.notes, *made.notes, *told)
            places = find_scopes(self._written, prepared, made.ledger)
            return replace(made, places=places, names=given.names(made.inputs), notes=notes)

        running = (feeds, self._sessions, progress, compared)
        if targets is None:
            return finished(target, run(self.engine, model, walked, *running))
        answers = run_targets(self.engine, model, walked, targets, *running)
        return Explanations(finished(*answer) for answer in answers)

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
        through: Through | None = None,
        baseline: Any = None,
        background: Any = None,
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
            tensors: those whose relevance is returned; default: the inputs. As in `explain`, where
                slopes travel one inside of what is read as one is read apart.
            target: "optional" as above; "required": an input that must be given; "several": an
                input `targets` [targets, ...], rows like `target` of 1 or all samples, and a first
                axis of targets in relevance; None: no such input, what `explain` does without one;
                or an index, or one per axis. Of these only "optional" makes onnxruntime warn.
            start: in place of task and target, an input `start` takes the relevance to start from,
                shaped like the output; in modes with two channels `start_negative` too. Or
                "probability", as in `explain`.
            sample_axis, class_axis, columns: of the output, as in `explain`.
            labels: of a detector's classes: how many there are tells which columns these are.
            sidecar: a `Sidecar`, or its path, for modes that read there between which numbers a
                picture lies ("box").
            through: parts of tensors that relevance passes, as in `explain`; constants of the file.
            baseline: of deeplift and integrated_gradients: a number, an array, or these by input,
                broadcast to the inputs; constants of the file. Default: an input `baseline/x` for
                each input x that holds floats, zeros where it is left out, of which onnxruntime
                warns as of `target`; "required", also by input: one that must be given.
            background: samples for mode "shap", an array or a table; constants of the file.

        Raises:
            CompileError: a node cannot be written as ONNX nodes, or a name is taken.
            RequestError: an argument does not fit the model, or the file cannot be written.
        """
        from backtrace_onnx.compiler.file_question import question_of_file
        from backtrace_onnx.compiler.reference_run import compiled_baselines
        from backtrace_onnx.compiler.saving import write
        from backtrace_onnx.compiler.target_input import TargetInput

        check_amounts(threshold, scaler)
        model = self._model.straight()
        output = find_output(output, model.graph)
        prepared, told = model.output(output), TargetInput.of(target)
        axes = GivenAxes(sample_axis, class_axis, columns, len(labels))
        compared_with = ["background"] if background is not None else []
        mode, _ = settle_mode(mode, lambda: prepared.plan, output, compared_with)
        method = with_bounds(find_method(mode), opened(sidecar), prepared.plan)
        apart = find_apart(model.graph, method, tensors, names_of(through))
        apart = apart.difference(model.graph.hidden)  # these are refused: no note goes with a file
        passed = find_conditions(through, model.output(output, apart).plan.graph, output)
        how: Any = {"scaler": scaler, "threshold": threshold, "axes": axes, "apart": apart}
        asked = Question(method, output, **how, through=passed)
        rows = None if background is None else self._rows(background, model, sidecar)
        asked = of_one_walk(prepared, asked, rows, start)
        question = question_of_file(prepared, asked, model.graph, task, start, told)
        compared = compiled_baselines(question.method, baseline, model.graph)
        write(model.graphs, path, question, told, tensors, compared)


__all__ = ["Explainer", "Support"]
