"""Which parts of a batch are explained at once, and what of each."""

from __future__ import annotations

from collections.abc import Iterator

from backtrace_onnx.commands.explain_options import ExplainOptions
from backtrace_onnx.commands.target_options import (
    TargetChoice,
    continued,
    each_target,
    has_vocabulary,
    next_tokens,
    targets,
)
from backtrace_onnx.errors import RequestError
from backtrace_onnx.generation import Contrast
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.files import Batch, InputReader
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.targets.named_targets import read_target
from backtrace_onnx.targets.tensor_choice import default_output
from backtrace_onnx.text.inputs import TextInput


def parts_of_batch(
    asked: ExplainOptions, meaning: OutputMeaning, batch: Batch, reader: InputReader, graph: Graph
) -> Iterator[tuple[Batch, TargetChoice]]:
    """The parts of a batch that are explained in one call each, and what of each is explained."""
    task = asked.task or meaning.task
    entry = _text_entry(reader, batch, asked)
    language = entry is not None and _generates(asked, task, graph, entry)
    if language and entry is not None and asked.tokens.continuation is not None:
        yield from continued(batch, asked.tokens.continuation, entry, graph)
        return
    each = each_target(asked.each, meaning.labels)
    for samples, part in _parts(batch, graph):
        if each is not None:
            yield part, TargetChoice("generation" if language else task, each=each)
            continue
        if language and entry is not None and not asked.targets:
            yield part, next_tokens(asked.tokens, entry, part.feeds)
            continue
        good = targets(asked.targets, meaning.labels, samples, len(batch.sources))
        if asked.tokens.rather_than is None:
            yield part, TargetChoice("generation" if language else task, good)
        else:
            other = read_target(asked.tokens.rather_than, meaning.labels)
            yield part, TargetChoice(None, contrast=Contrast(good, other))


def _generates(asked: ExplainOptions, task: str | None, graph: Graph, entry: TextInput) -> bool:
    """Whether the output is a language model's, whose tokens are asked for."""
    output = asked.output or default_output(graph) or ""
    wide = has_vocabulary(graph, output, entry)
    if (asked.tokens.token or asked.tokens.continuation) is not None and not wide:
        raise RequestError(
            f"output {output!r} has no entry for every token of the text; --token and "
            "--continuation are for language models"
        )
    return wide and task in (None, "generation")


def _text_entry(reader: InputReader, batch: Batch, asked: ExplainOptions) -> TextInput | None:
    """How the texts of the batch were read, if it holds any."""
    if batch.texts:
        return next(iter(reader.texts.values()))
    if asked.tokens.token is not None or asked.tokens.continuation is not None:
        raise RequestError("--token and --continuation need a text as INPUT, and its tokenizer")
    return None


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
