"""What `explain` and `compile` are told beside a model and its inputs: each argument, said once.

The calls take them by keyword, typed by the classes below (PEP 692). `takes` shows them in the
signature and in the documentation of a call, so that `help` tells all of them.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

if TYPE_CHECKING:
    from backtrace_onnx.inputs.sidecar import Sidecar
    from backtrace_onnx.targets.entries import Columns
    from backtrace_onnx.targets.output_axes import SampleChoice
    from backtrace_onnx.targets.tensor_choice import Keep
    from backtrace_onnx.targets.through_choice import Through
    from backtrace_onnx.text.tokenizer import Tokenizer

Call = TypeVar("Call", bound=Callable[..., Any])


class OutputArguments(TypedDict, total=False):
    """What is explained and how, said alike to `explain` and to `compile`.

    Args:
        mode: "default", "contrastive", another one of docs/methods.md, one of your own; or
            "auto": what is for such networks (`explain` names it in a note).
        output: tensor to explain, by name; default the first float output (behind a ZipMap: the
            probabilities it names).
        task: "classification", "regression", "bbox", "segmentation", "generation" (the default for
            a language model's output), "detection" (for a detector's, which a run recognises) or
            "ctc"; the last two explain one box or step, target (entry, class), by default the best.
        scaler: total that each channel of relevance starts from; default: as the task says.
        threshold: of a segmentation: an entry over it belongs to the mask; default 0.5.
        sample_axis: axis of the output along which samples lie, or "none": it is one sample.
            Default: found in the model; what is assumed is one of the explanation's notes.
        class_axis: axis of the output along which the classes of one entry lie; default: found.
        columns: a `Columns`: which of an entry's columns are classes ("detection", "ctc");
            default: found.
        labels: names of the classes. How many there are tells which columns of an entry these are;
            two of them tell that the one entry of an output is a decision between them.
        sidecar: a `Sidecar`, or its path: what inputs and output mean, where nothing else says.
        through: by tensor which parts of it relevance passes: a list of numbers of its channels,
            heads or units, or a boolean array that broadcasts to it. The rest is cut and stands in
            the ledger; ways around the tensor stay open.
    """

    mode: Any
    output: str | None
    task: str | None
    scaler: float | None
    threshold: float | None
    sample_axis: SampleChoice
    class_axis: int | None
    columns: Columns | None
    labels: Sequence[str]
    sidecar: Sidecar | str | os.PathLike[str] | None
    through: Through | None


class ExplainArguments(OutputArguments, total=False):
    """What `explain` is told of the question.

    Args:
        target: entry of the output: an index, one per sample, or a tuple index of the output's
            axes; for generation (position, token), where negative positions count from the end of
            each text, without its padding. Default: the largest, where there are tokens.
        start: relevance to start from, shaped like the output; a pair in contrastive mode; where
            slopes travel (lrp and its relatives, gradients) slopes, 1 for a whole score. Or a
            function (output, channels) that returns it, or a `Contrast`. Or "probability": signed
            modes then start at the output also where it is a function of scores.
        baseline: what some modes compare with: an array, arrays by name, "zeros", "mean" or "rows"
            (of the background), "blur" (pictures), "pad" or "mask" (that token for each word of a
            text), a file, or a list of several, to be averaged.
        background: samples to compare with: an array, a table, a file or a folder.
        keep: tensors whose relevance, and slopes, are kept: "inputs", "all", "attention" (the
            weights of every attention, see `Explanation.attention`) or names.
        tokenizer: a `Tokenizer`, or the path of a tokenizer.json, for texts.
    """

    target: Any
    start: Any
    baseline: Any
    background: Any
    keep: Keep
    tokenizer: Tokenizer | str | os.PathLike[str] | None


class ModeParameters(TypedDict, total=False):
    """What a mode takes, as in its parentheses.

    Args:
        parameters: those of the mode, as in its parentheses: steps=32, samples=64, seed=1;
            docs/methods.md says which mode takes which.
    """

    steps: int | None
    samples: int
    seed: int
    noise: float
    perturbation: Literal["path", "background"] | None
    tensor: str | None


class ExplainKeywords(ExplainArguments, ModeParameters, total=False):
    """Every keyword of `explain`."""


class CompileArguments(OutputArguments, total=False):
    """What `compile` is told.

    Args:
        tensors: names of those whose relevance is returned; default: the inputs. Where slopes
            travel, a tensor inside of what is read as one operator is read apart.
        target: "optional": an initializer that may be overridden, of which onnxruntime warns once
            as it loads the file. "required": an input that must be given. "several": an input
            `targets` [targets, ...], rows like `target` of 1 or all samples, and a first axis of
            targets in relevance. None: no such input, what `explain` does without one. Or an
            index, or one per axis, that is explained always.
        start: True: in place of task and target, an input `start` takes the relevance to start
            from, shaped like the output (slopes, where slopes travel); in modes with two channels
            `start_negative` too. Or "probability": signed modes start at the output, as in
            `explain`.
        baseline: of deeplift and integrated_gradients: a number, an array, or these by input,
            broadcast to the inputs, "mean" or "rows" of the background, or (deeplift) a list of
            several, to be averaged; constants of the file. Default: an input `baseline/x` for each
            input x that holds floats, zeros where it is left out, of which onnxruntime warns as of
            `target`. "required", also by input: one that must be given.
        background: samples to compare with, an array or a table; constants of the file.
    """

    tensors: Sequence[str] | None
    target: Any
    start: bool | Literal["probability"]
    baseline: Any
    background: Any


class CompileKeywords(CompileArguments, ModeParameters, total=False):
    """Every keyword of `compile`."""


EXPLAIN_DEFAULTS: ExplainArguments = {"mode": "default", "labels": (), "keep": "inputs"}
COMPILE_DEFAULTS: CompileArguments = {
    "mode": "default",
    "threshold": 0.5,
    "labels": (),
    "target": "optional",
    "start": False,
}
"""What an argument is that is not given; None where nothing is said here."""


def told_to_explain(given: ExplainKeywords) -> tuple[ExplainArguments, dict[str, Any]]:
    """Every argument of `explain`, given or not; and the others, which are the mode's own."""
    names = ExplainArguments.__annotations__
    told: Any = {**dict.fromkeys(names), **EXPLAIN_DEFAULTS}
    told |= {name: value for name, value in given.items() if name in names}
    return told, {name: value for name, value in given.items() if name not in names}


def told_to_compile(given: CompileKeywords) -> tuple[CompileArguments, dict[str, Any]]:
    """Every argument of `compile`, given or not; and those of the mode.

    Raises TypeError for one that it does not take.
    """
    names, own = CompileArguments.__annotations__, ModeParameters.__annotations__
    for name in given:
        if name not in names and name not in own:
            raise TypeError(f"compile() got an unexpected keyword argument {name!r}")
    told: Any = {**dict.fromkeys(names), **COMPILE_DEFAULTS}
    told |= {name: value for name, value in given.items() if name in names}
    return told, {name: value for name, value in given.items() if name in own}


def takes_explain_arguments(call: Call) -> Call:
    """Show what `explain` is told in the signature and the documentation of a call."""
    parameters = [Parameter("parameters", Parameter.VAR_KEYWORD, annotation="Any")]
    _sign(call, ExplainArguments, EXPLAIN_DEFAULTS, parameters)
    _document(call, OutputArguments, ExplainArguments, ModeParameters)
    return call


def takes_compile_arguments(call: Call) -> Call:
    """Show what `compile` is told in the signature and the documentation of a call."""
    parameters = [Parameter("parameters", Parameter.VAR_KEYWORD, annotation="Any")]
    _sign(call, CompileArguments, COMPILE_DEFAULTS, parameters)
    _document(call, OutputArguments, CompileArguments, ModeParameters)
    return call


def _sign(call: Any, kind: type, defaults: Mapping[str, Any], more: Sequence[Parameter]) -> None:
    """Put the arguments in place of the one parameter that collects them."""
    signature = inspect.signature(call)
    own = [p for p in signature.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    told = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=defaults.get(name),
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in kind.__annotations__.items()
    ]
    call.__signature__ = signature.replace(parameters=[*own, *told, *more])


def _document(call: Any, *kinds: type) -> None:
    """Add what is said of the arguments to the list in a call's documentation."""
    said = [inspect.getdoc(kind) or "" for kind in kinds]
    if not call.__doc__ or not all(said):  # python -OO keeps none
        return
    added = "\n".join(text.partition(_LIST)[2].strip("\n") for text in said)
    before, head, rest = inspect.cleandoc(call.__doc__).partition(_LIST)
    own, _, after = rest.partition("\n\n")
    call.__doc__ = f"{before}{head}{own}\n{added}\n\n{after}"


_LIST = "\nArgs:\n"
