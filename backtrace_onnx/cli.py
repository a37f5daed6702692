"""The command line. Everything heavy is imported by the commands, so that --help is instant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from backtrace_onnx import __version__
from backtrace_onnx.commands.audit import audit
from backtrace_onnx.commands.compare import compare
from backtrace_onnx.commands.exit_codes import run
from backtrace_onnx.commands.explain_dataset import explain_dataset
from backtrace_onnx.commands.global_explanation import global_
from backtrace_onnx.commands.ops import ops
from backtrace_onnx.commands.page_output import Page, TypedCommand
from backtrace_onnx.commands.report_output import print_json, print_report, write_report
from backtrace_onnx.commands.shared_options import (
    AS_JSON,
    GROUP,
    HTML,
    MODE,
    MODEL,
    OPEN,
    SIDECAR,
    THROUGH,
    output_options,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backtrace-onnx")
def commands() -> None:
    """Explain any .onnx model: trace an answer back to its inputs."""


@commands.command(cls=TypedCommand)
@MODEL
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@MODE
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="Label or index to explain, or one index per axis (2,7); default: the largest entry. "
    "Of a single sigmoid: class 0 or 1. Repeat it to give one for each sample. Of a detector or "
    "of steps: box,class or step,class "
    "(13,5 or 13,cat or 13); repeat it for several of every sample.",
)
@click.option(
    "--targets",
    "each",
    multiple=True,
    help="Label or index of one of several that are explained for every sample, of one run of the "
    "model; repeat it, or give all.",
)
@output_options
@SIDECAR
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    help="tokenizer.json for an INPUT that is a text; default: the sidecar's.",
)
@click.option("--token", help='Language models: the next token to explain, such as " Paris".')
@click.option(
    "--rather-than",
    help="Label or token that the explained one is set against, in mode contrastive if no other.",
)
@click.option(
    "--start",
    type=click.Choice(["probability"]),
    help="Signed modes (epsilon) start at the scores that a softmax or sigmoid makes "
    "probabilities of; this asks for the probabilities themselves.",
)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="zeros|mean|blur|FILE",
    help="What modes that compare compare with; repeat it for several, which are averaged. A "
    "FILE's rows are one each; mean is that of --background.",
)
@click.option(
    "--background",
    type=click.Path(path_type=Path),
    help="File or folder of samples that expected_gradients, or the mean, compare with.",
)
@click.option("--continuation", help="Language models: text whose every token is explained.")
@click.option("--truncate", is_flag=True, help="Cut texts that are longer than the model reads.")
@click.option(
    "--boxes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Detectors: the best boxes, each explained by itself.",
)
@THROUGH
@click.option(
    "--attention",
    metavar="mean|LAYER",
    help="Draw the attention of transformers, token by token, into --out: the mean of each layer's "
    "heads, or the heads of one layer, by its number from 0.",
)
@click.option("--words", is_flag=True, help="Show the words of a text instead of its tokens.")
@GROUP
@click.option("--out", type=click.Path(path_type=Path), help="Folder for pictures and data.")
@HTML
@OPEN
@AS_JSON
@click.option(
    "--on-unsupported",
    type=click.Choice(["error", "pass", "stop"]),
    default="error",
    show_default=True,
    help="At operators without a rule.",
)
@click.option(
    "--top", type=click.IntRange(1), default=10, show_default=True, help="Features to list."
)
@click.option(
    "--engine", type=click.Choice(["numba", "onnxruntime"]), default="numba", show_default=True
)
def explain(
    out: Path | None, html: Path | None, opened: bool, as_json: bool, top: int, **asked: Any
) -> None:
    """Show why MODEL answers as it does on each INPUT.

    An INPUT is a .npy, .npz, .json or .csv file or a picture, or for models that read text the
    text in quotes (or @FILE with one a line); `name=file` says which input it is for. Several
    become one batch. A sidecar beside the model says how pictures, tables and texts become inputs;
    without an INPUT, this prints what the model takes.

    \b
    Modes (auto picks by the network: attnlrp, cnn, deeplift, lrp):
      what an answer is made of: default, contrastive, epsilon
      the same with sign: lrp, attnlrp, cp-lrp, cnn, vit, paths
      rules of single layers: alphabeta, box, flat, gamma, wsquare, zplus
      compared to a baseline: shap, deeplift, integrated_gradients, expected_gradients
      what would change it: gradient, gradient_x_input, smoothgrad, gradcam

    \b
    Keys of --json:
      model, mode, computes, conserved (score, difference or nothing), task, output, files
      samples[]: sample, source, mask {inside, of} or null
        prediction, target, other: {index, label, value, probability} or null
        same_as: number of an earlier sample with the same relevance bit for bit, or null
        notes[]: what was assumed or is doubtful, a sentence each
        top[]: input, name, value, relevance, share, channels, box, index, span,
               members (of a group, else null)
               box: first row, first column, row and column after the last
               span: of a series: first position and the one after the last
        ledger: by channel (positive; contrastive also negative):
               start, inputs, constants, unassigned, cut (by --through), residual
    """
    from backtrace_onnx.commands.output_folder import check_folder
    from backtrace_onnx.report.console import Waiting

    if out:
        check_folder(out)
    page = Page(html, opened)
    mode = click.get_current_context().get_parameter_source("mode")
    if asked["rather_than"] is not None and mode is ParameterSource.DEFAULT:
        asked["mode"] = "contrastive"
    with Waiting("Loading the model") as waiting:
        from backtrace_onnx.commands.explain import explained
        from backtrace_onnx.commands.explain_options import ExplainOptions

        options = ExplainOptions(**asked, pictures=out is not None, page=page.wanted)
        subjects = explained(options, waiting)
        files = write_report(options.model, subjects, out, top, waiting)
        files += page.write(options.model, subjects, waiting)
    page.open()
    print_report(options.model, subjects, files, as_json, top)


@commands.command()
@MODEL
@SIDECAR
@AS_JSON
def inspect(model: Path, sidecar: Path | None, as_json: bool) -> None:
    """Show MODEL's inputs and outputs, and the rule that explains each node.

    \b
    Keys of --json: model, opsets, inputs[] and outputs[] {name, type}, sidecar, explainable
      nodes[]: node, operator, rule, coverage (exact, expanded, nothing or none)
    """
    from backtrace_onnx.commands import inspect as inspection
    from backtrace_onnx.commands.sidecar_options import find_sidecar
    from backtrace_onnx.report.console import console

    found = inspection.inspect(model, find_sidecar(model, sidecar))
    if as_json:
        return print_json(inspection.as_record(found))
    inspection.print_inspection(console(), found)


@commands.command(name="compile")
@MODEL
@click.option("-o", "file", type=click.Path(path_type=Path), required=True, help="File to write.")
@MODE
@output_options
@SIDECAR
@THROUGH
@click.option("--tensors", multiple=True, help="Tensor whose relevance it returns; repeatable.")
@click.option(
    "--target",
    default="optional",
    show_default=True,
    help="How the file is told what to explain: optional, required, several, none, or an entry "
    "(see above).",
)
@click.option(
    "--baseline",
    metavar="zeros|NUMBER|FILE.npy|required",
    help="What deeplift and integrated_gradients compare with, always; required: an input of the "
    "file that must be given; default: one that is zeros where it is left out, of which "
    "onnxruntime warns once as it loads the file.",
)
@click.option("--start", is_flag=True, help="It takes relevance to start from, not a target.")
@click.option(
    "--probability",
    is_flag=True,
    help="Signed modes start at the output, as with --start probability of explain.",
)
def compile_model(model: Path, file: Path, sidecar: Path | None, **options: Any) -> None:
    """Write MODEL and its explanation as one plain .onnx file.

    Without --tensors the file returns the relevance of the inputs. Task and threshold come from
    the sidecar where they are not given.

    What the file explains is said by its input `target`, int64: [targets], an entry of the
    flattened output of each sample or one for all, -1 for the largest (regression: for all);
    for the task generation [targets, positions, 2] of (position, token). `--target optional`: an
    initializer that may be overridden, of which onnxruntime warns once as it loads the file;
    `required`: a plain input; `several`: `targets`, whose rows are each as `target`, and relevance
    has a first axis of targets; `none`: no input, the largest; an index, a label or 2,7: that
    entry.
    With --start it takes `start`, shaped like the output, instead (in mode contrastive
    `start_negative` too).
    """
    from backtrace_onnx.commands.compile import compiled
    from backtrace_onnx.report.console import Waiting, console

    with Waiting("Compiling"):
        lines = compiled(model, file, sidecar, **options)
    for line in lines:
        console().print(line)


@commands.command()
@click.argument("source")
@click.option("-o", "file", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--example", type=click.Path(path_type=Path), help="Inputs to try: .npy or .npz.")
@click.option("--task", help="What a transformers folder is for, such as text-classification.")
@click.option("--opset", type=int, help="Default: one that onnxruntime runs.")
@click.option("--exporter", help="Of torch: auto, dynamo or legacy.")
@click.option("--signature", help="Of a SavedModel; default: serving_default.")
@click.option("--static", is_flag=True, help="torch: fix all sizes to those of the example.")
@click.option("--tolerance", type=float, help="Allowed difference, of the largest value.")
@click.option("--no-verify", "verify", is_flag=True, flag_value=False, default=True)
@click.option(
    "--allow-pickle", is_flag=True, help="Load a pickle, which runs whatever code is in it."
)
@AS_JSON
def export(as_json: bool, **asked: Any) -> None:
    """Write a framework's model as .onnx, and verify that it computes the same.

    SOURCE is module.py:factory (a function that returns a model, or model and example inputs), a
    .keras or .h5 file, a SavedModel folder, a .tflite file, the folder of a transformers model, or
    a pickled scikit-learn estimator. Nothing is written if the file computes something else.

    \b
    Keys of --json: files, inputs and outputs {name: type}, opset, exporter, verified,
      difference (relative), explainable
    """
    from backtrace_onnx.commands import export as exporting
    from backtrace_onnx.report.console import Waiting, console

    with Waiting("Exporting"):
        made = exporting.export(exporting.ExportOptions(**asked))
        found = exporting.inspected(made)
    if as_json:
        return print_json(exporting.as_record(made, found))
    for line in exporting.lines(made, found):
        console().print(line)


commands.add_command(audit)
commands.add_command(compare)
commands.add_command(explain_dataset)
commands.add_command(global_)
commands.add_command(ops)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 done, 2 wrong use or bad input, 3 not explainable as asked."""
    return run(commands, arguments)
