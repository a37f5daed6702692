"""The options of the commands `explain`, `compile` and `export`, a table for each."""

from __future__ import annotations

from pathlib import Path

import click

from backtrace_onnx.commands.shared_options import (
    AS_JSON,
    BACKGROUND,
    BASELINE,
    GROUP,
    HTML,
    MODE,
    MODEL,
    OPEN,
    REASONS,
    SIDECAR,
    THROUGH,
    output_options,
)

EXPLAIN = (
    MODEL,
    click.argument("inputs", nargs=-1, metavar="[INPUT]..."),
    MODE,
    click.option(
        "--target",
        "targets",
        multiple=True,
        help="Label or index to explain, or one index per axis (2,7); default: the largest entry. "
        "Of a single sigmoid: class 0 or 1. Repeat it to give one for each sample. Of a detector "
        "or of steps: box,class or step,class (13,5 or 13,cat or 13); repeat it for several of "
        "every sample.",
    ),
    click.option(
        "--targets",
        "each",
        multiple=True,
        help="Label or index of one of several that are explained for every sample, of one run of "
        "the model; repeat it, or give all.",
    ),
    output_options,
    SIDECAR,
    click.option(
        "--tokenizer",
        type=click.Path(path_type=Path),
        help="tokenizer.json for an INPUT that is a text; default: the sidecar's.",
    ),
    click.option("--token", help='Language models: the next token to explain, such as " Paris".'),
    click.option(
        "--rather-than",
        help="Label or token that the explained one is set against: signed modes explain the "
        "difference of the two scores, contrastive what speaks for each.",
    ),
    click.option(
        "--start",
        type=click.Choice(["probability"]),
        help="Signed modes start at the scores that a softmax or sigmoid makes "
        "probabilities of; this asks for the probabilities themselves.",
    ),
    BASELINE,
    BACKGROUND,
    click.option("--continuation", help="Language models: text whose every token is explained."),
    click.option(
        "--check/--no-check",
        default=True,
        show_default=True,
        help="Note where the runner-up has the same map, or another method ranks otherwise; this "
        "takes two more explanations.",
    ),
    click.option(
        "--truncate", is_flag=True, help="Cut texts that are longer than the model reads."
    ),
    click.option(
        "--boxes",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Detectors: the best boxes, each explained by itself.",
    ),
    THROUGH,
    click.option(
        "--attention",
        metavar="mean|LAYER",
        help="Draw the attention of transformers, token by token, into --out: the mean of each "
        "layer's heads, or the heads of one layer, by its number from 0.",
    ),
    click.option("--words", is_flag=True, help="Show the words of a text instead of its tokens."),
    GROUP,
    REASONS,
    click.option("--out", type=click.Path(path_type=Path), help="Folder for pictures and data."),
    HTML,
    OPEN,
    AS_JSON,
    click.option(
        "--on-unsupported",
        type=click.Choice(["error", "pass", "stop"]),
        default="error",
        show_default=True,
        help="At operators without a rule.",
    ),
    click.option(
        "--top", type=click.IntRange(1), default=10, show_default=True, help="Features to list."
    ),
    click.option(
        "--engine", type=click.Choice(["numba", "onnxruntime"]), default="numba", show_default=True
    ),
)

COMPILE = (
    MODEL,
    click.option(
        "-o", "file", type=click.Path(path_type=Path), required=True, help="File to write."
    ),
    MODE,
    output_options,
    SIDECAR,
    THROUGH,
    click.option("--tensors", multiple=True, help="Tensor whose relevance it returns; repeatable."),
    click.option(
        "--target",
        default="optional",
        show_default=True,
        help="How the file is told what to explain: optional, required, several, none, or an entry "
        "(see above).",
    ),
    click.option(
        "--baseline",
        metavar="zeros|mean|rows|NUMBER|FILE.npy|required",
        help="What deeplift and integrated_gradients compare with, always; mean and rows are those "
        "of --background; deeplift averages over several, a FILE's too; required: an input of the "
        "file that must be given; default: one that is zeros where it is left out, of which "
        "onnxruntime warns once as it loads the file.",
    ),
    click.option(
        "--background",
        type=click.Path(path_type=Path),
        help="File or folder of samples that modes compare with, always: expected_gradients, shap, "
        "deeplift and integrated_gradients (with their mean, or --baseline rows), auto.",
    ),
    click.option("--start", is_flag=True, help="It takes relevance to start from, not a target."),
    click.option(
        "--probability",
        is_flag=True,
        help="Signed modes start at the output, as with --start probability of explain.",
    ),
)

EXPORT = (
    click.argument("source"),
    click.option(
        "-o", "file", type=click.Path(path_type=Path), required=True, help="File to write."
    ),
    click.option("--example", type=click.Path(path_type=Path), help="Inputs to try: .npy or .npz."),
    click.option("--task", help="What a transformers folder is for, such as text-classification."),
    click.option("--opset", type=int, help="Default: one that onnxruntime runs."),
    click.option("--exporter", help="Of torch: auto, dynamo or legacy."),
    click.option("--signature", help="Of a SavedModel; default: serving_default."),
    click.option("--static", is_flag=True, help="torch: fix all sizes to those of the example."),
    click.option("--tolerance", type=float, help="Allowed difference, of the largest value."),
    click.option("--no-verify", "verify", is_flag=True, flag_value=False, default=True),
    click.option(
        "--allow-pickle", is_flag=True, help="Load a pickle, which runs whatever code is in it."
    ),
    AS_JSON,
)
