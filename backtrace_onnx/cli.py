"""The command line. Everything heavy is imported by the commands, so that --help is instant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from backtrace_onnx import __version__
from backtrace_onnx.commands.audit import audit
from backtrace_onnx.commands.compare import compare
from backtrace_onnx.commands.evaluate import evaluate
from backtrace_onnx.commands.exit_codes import run
from backtrace_onnx.commands.explain_dataset import explain_dataset
from backtrace_onnx.commands.files_apart import check_apart
from backtrace_onnx.commands.global_explanation import global_
from backtrace_onnx.commands.network import network
from backtrace_onnx.commands.ops import ops
from backtrace_onnx.commands.option_tables import COMPILE, EXPLAIN, EXPORT
from backtrace_onnx.commands.page_output import Page, TypedCommand
from backtrace_onnx.commands.report_output import print_json, print_report, write_report
from backtrace_onnx.commands.shared_options import AS_JSON, MODEL, SIDECAR, with_options
from backtrace_onnx.commands.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backtrace-onnx")
def commands() -> None:
    """Explain any .onnx model: trace an answer back to its inputs."""


@commands.command(cls=TypedCommand)
@with_options(*EXPLAIN)
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
      what an answer is made of: default, contrastive
      the same with sign: epsilon, lrp, attnlrp, cp-lrp, cnn, vit, paths
      rules of single layers: alphabeta, box, flat, gamma, wsquare, zplus
      compared to a baseline: shap, deeplift, integrated_gradients, expected_gradients
      what would change it: gradient, gradient_x_input, smoothgrad, gradcam

    \b
    Keys of --json:
      model, mode, computes, conserved (score, difference or nothing), task, output, files, origin
      samples[]: sample, source, mask {inside, of} or null
        prediction, target, other: {index, label, value, probability} or null
        same_as: number of an earlier sample with the same relevance bit for bit, or null
        notes[]: what was assumed or is doubtful, a sentence each
        top[]: input, name, value, relevance, share, channels, box, index, span,
               members (of a group, else null)
               box: first row and column, those after the last; span: of a series, the same
        reasons (with --reasons): outcome, denied, given[], untold[]
        ledger: by channel (positive, negative): start, inputs, constants, unassigned, cut, residual
    """
    from backtrace_onnx.commands.output_folder import check_folder
    from backtrace_onnx.report.console import Waiting

    if out:
        check_folder(out)
    page = Page(html, opened, asked)
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
@with_options(*COMPILE)
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

    check_apart((file,), (), (sidecar, options["mode"], options["baseline"], options["background"]))
    with Waiting("Compiling"):
        lines = compiled(model, file, sidecar, **options)
    for line in lines:
        console().print(line)


@commands.command()
@with_options(*EXPORT)
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
commands.add_command(verify)
commands.add_command(evaluate)
commands.add_command(explain_dataset)
commands.add_command(global_)
commands.add_command(network)
commands.add_command(ops)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 done, 2 wrong use or bad input, 3 not explainable as asked."""
    return run(commands, arguments)
