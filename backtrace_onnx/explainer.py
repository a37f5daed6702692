"""The explainer: a prepared model, its sessions, and the calls users make."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
from onnx import helper

from backtrace_onnx.call_arguments import (
    CompileKeywords,
    ExplainKeywords,
    takes_compile_arguments,
    takes_explain_arguments,
    told_to_compile,
    told_to_explain,
)
from backtrace_onnx.engines.asked_question import (
    AskedQuestion,
    read_file_question,
    read_question,
)
from backtrace_onnx.engines.explanation_maker import make_explanation
from backtrace_onnx.engines.outcome import Outcome, Progress
from backtrace_onnx.engines.running import Runner
from backtrace_onnx.errors import RequestError
from backtrace_onnx.explanation import Explanation, Explanations
from backtrace_onnx.inputs.given_inputs import GivenInputs, read_inputs
from backtrace_onnx.interop.captum_call import as_array, as_feeds, as_target, attributions
from backtrace_onnx.interop.torch_module import torch_module
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.opened_model import OpenedModel
from backtrace_onnx.policies import find_method
from backtrace_onnx.provenance import origin_of
from backtrace_onnx.results.modules import find_scopes
from backtrace_onnx.results.support import Support
from backtrace_onnx.targets.axis_search import GivenAxes
from backtrace_onnx.targets.entries import Columns
from backtrace_onnx.targets.output_axes import SampleChoice
from backtrace_onnx.targets.question import Question
from backtrace_onnx.targets.tensor_choice import Targets, find_output, read_start

if TYPE_CHECKING:
    from backtrace_onnx.targets.boxes import Boxes
    from backtrace_onnx.targets.entry_reading import Entries


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
    def explain(
        self,
        inputs: Any,
        *,
        targets: None = None,
        progress: Progress | None = None,
        **arguments: Unpack[ExplainKeywords],
    ) -> Explanation: ...

    @overload
    def explain(
        self,
        inputs: Any,
        *,
        targets: Targets,
        progress: Progress | None = None,
        **arguments: Unpack[ExplainKeywords],
    ) -> Explanations: ...

    @takes_explain_arguments
    def explain(
        self,
        inputs: Any,
        *,
        targets: Targets | None = None,
        progress: Progress | None = None,
        **arguments: Unpack[ExplainKeywords],
    ) -> Explanation | Explanations:
        """Trace the answer for `inputs` back to them.

        Args:
            inputs: array, or arrays by input name; with a tokenizer a text or a list of texts. An
                input that is a sequence takes a list; its relevance is that of `name/0`, ... Where
                inputs are columns: a data frame of any library, or a list of rows by column.
            targets: several entries, each as `target`, or "all" of the output's: an explanation of
                each in their order, the same as alone, of one run of the model.
            progress: called with (nodes done, nodes) as the walk goes on.

        Raises:
            InputError: an input does not fit the model.
            RequestError: another argument does not fit it.
            UnsupportedError: the way from `output` meets operators without a rule.
            NumericalError: relevance became NaN or infinite on its way.

        Warns:
            InputWarning: columns of a table that no input takes.
        """
        told, parameters = told_to_explain(arguments)
        start, probability = read_start(told["start"], told["target"], told["task"], targets)
        given = read_inputs(inputs, self.graph, told["tokenizer"], told["sidecar"])
        model, feeds = self._model.read(given.filled.feeds)
        how = (parameters, given.sidecar, start, feeds)
        asked = read_question(model, told, *how, probability=probability)
        compared = replace(asked.compared, texts=given.token_inputs)
        runner = Runner(self.engine, self._sessions, progress, compared)
        if targets is None:
            outcome = runner.run(model, asked.walked, feeds)
            return self._explanation(asked, given, feeds, told["target"], outcome, arguments)
        answers = runner.run_targets(model, asked.walked, targets, feeds)
        return Explanations(
            self._explanation(asked, given, feeds, *found, arguments) for found in answers
        )

    def _explanation(
        self,
        asked: AskedQuestion,
        given: GivenInputs,
        feeds: Mapping[str, Any],
        target: Any,
        outcome: Outcome,
        arguments: Mapping[str, Any],
    ) -> Explanation:
        """The explanation of one target, with the names and the notes that belong to it."""
        question = replace(asked.question, target=target)
        made = make_explanation(question, outcome, feeds, asked.prepared)
        notes = (*self._loaded.notes, *given.filled.notes, *made.notes, *asked.notes)
        places = find_scopes(self._written, asked.prepared, made.ledger)
        origin = origin_of(self._identity, {**arguments, "target": target})
        names = given.names(made.inputs)
        return replace(made, places=places, names=names, notes=notes, origin=origin)

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        *,
        mode: Any = "auto",
        **arguments: Any,
    ) -> Any:
        """Relevance of inputs, called as captum's `attribute` is.

        Args:
            inputs: a tensor or array, or a tuple of them in the order of the model's inputs.
            baselines: of modes that compare, alike; a number; default: what the mode takes.
            target: an index, a tuple of the output's axes, or a list or tensor of one per sample.
            additional_forward_args: the model's further inputs, which are not attributed to.
            return_convergence_delta: also return what relevance adds up to less what it started
                from, float64[samples].
            mode, arguments: as in `explain`.

        Returns relevance as inputs were given: tensors of tensors, a tuple of a tuple. Raises what
        `explain` raises.
        """
        names = self.graph.inputs
        feeds = as_feeds(names, inputs, additional_forward_args)
        if isinstance(baselines, tuple):
            baselines = dict(zip(names, map(as_array, baselines), strict=False))
        elif baselines is not None:
            baselines = {names[0]: as_array(baselines)}
        made = self.explain(
            feeds, mode=mode, target=as_target(target), baseline=baselines, **arguments
        )
        found = attributions(inputs, names, made.relevance)
        if not return_convergence_delta:
            return found
        total = made.ledger.total()
        return found, (total.inputs - total.start)[0]

    def explain_func(self, mode: Any = "auto", **arguments: Any) -> Callable[..., Any]:
        """A function (model, inputs, targets) -> relevance, as Quantus takes one.

        It explains this explainer's model, whichever is handed to it: metrics that change the
        model's weights are those of `backtrace_onnx.metrics`. Arguments are those of `explain`.
        """
        name = self.graph.inputs[0]

        def explained(model: Any, inputs: Any, targets: Any, **told: Any) -> Any:
            x = as_array(inputs).astype(self._dtype(name), copy=False)
            made = self.explain(x, mode=mode, target=as_target(targets), **arguments)
            return np.asarray(made.relevance[name])

        return explained

    def torch_module(self, output: str | None = None) -> Any:
        """A torch.nn.Module of a model with one input, for libraries that ask for one.

        It runs in onnxruntime, and has no parameters and no gradient. Raises RequestError where
        torch is not installed, or the model has several inputs.
        """
        names = self.graph.inputs
        if len(names) != 1:
            raise RequestError(f"a module takes one input, and the model has {len(names)}")
        asked = find_output(output, self.graph)

        def run(x: Any) -> Any:
            model, feeds = self._model.read({names[0]: x})
            return np.asarray(model.values(feeds, (asked,))[asked])

        return torch_module(run, self._dtype(names[0]))

    def _dtype(self, name: str) -> Any:
        return helper.tensor_dtype_to_np_dtype(self.graph.type(name).dtype)

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

    @takes_compile_arguments
    def compile(
        self, path: str | os.PathLike[str], **arguments: Unpack[CompileKeywords]
    ) -> tuple[Note, ...]:
        """Write one .onnx file that returns the prediction and its explanation.

        Its inputs are the model's and `target`, int64: [targets], an entry of the flattened output
        of each sample or one for all, -1 for the largest (regression: for all of them); for task
        "generation" [targets, positions, 2] of (position, token), -1 for the last and the largest;
        for "detection" and "ctc" [targets, 2] of (box or step, class), -1 for the best.
        It is an initializer that may be overridden, for which onnxruntime warns once as it loads.

        Args:
            path: file to write; weights over 1.8 GB go to `<path>.data`.

        Returns notes: which mode "auto" picked, and rules that hold nowhere.

        Raises:
            CompileError: a node cannot be written as ONNX nodes, or a name is taken.
            RequestError: an argument does not fit the model, or the file cannot be written.
        """
        from backtrace_onnx.compiler.saving import write
        from backtrace_onnx.compiler.target_input import TargetInput

        (told, parameters), model = told_to_compile(arguments), self._model.straight()
        target = TargetInput.of(told["target"])
        rows = partial(self._rows, told["background"], model, told["sidecar"])
        question, compared, notes = read_file_question(model, told, parameters, rows, target)
        write(model.graphs, path, question, target, told["tensors"], compared)
        return notes


__all__ = ["Explainer", "Support"]
