"""Operators on text: relevance goes to the strings that were read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Value, ints
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Halves, Passes, Step, Structure
from backtrace_onnx.structures.moves import Adjoint
from backtrace_onnx.structures.occurrences import Grams, Occurrences


@rule("StringConcat")
def string_concat(op: Op) -> Structure:
    """Each of the two strings gets half; a constant takes none."""
    return Halves()


@rule("StringNormalizer")
def string_normalizer(op: Op) -> Structure:
    """Relevance passes unchanged."""
    if op.attribute("stopwords"):
        raise RuleError(
            f"StringNormalizer node {op.node.name!r} drops stopwords, so positions shift; "
            "drop them before the model"
        )
    return Passes()


def _summed_back(step: Step, r: Value) -> Value:
    """A string gets the sum of what its parts received."""
    return step.ops.ReduceSum(r, ints(-1), keepdims=0)


@rule("StringSplit")
@rule("Tokenizer", domain="com.microsoft")
def string_split(op: Op) -> Structure:
    """A string gets the sum of what its parts received."""
    return Adjoint(_summed_back)


@rule("TfIdfVectorizer")
def tf_idf_vectorizer(op: Op) -> Structure:
    """The occurrences of a gram get equal parts of its relevance, and so do the terms of each."""
    return Occurrences(tuple(_grams(op)), max(op.attribute("ngram_indexes")) + 1, op.rank(0) == 1)


def _grams(op: Op) -> Iterator[Grams]:
    """The grams of every length that is looked for; the pool lists lengths 1, 2, ... in turn."""
    words = op.attribute("pool_strings")
    pool = np.array(words, object) if words else np.array(op.attribute("pool_int64s"), np.int64)
    starts = [*op.attribute("ngram_counts"), len(pool)]
    columns = np.array(op.attribute("ngram_indexes"), np.int64)
    wanted = range(op.attribute("min_gram_length"), op.attribute("max_gram_length") + 1)
    before = 0
    for length, (start, end) in enumerate(pairwise(starts), 1):
        count = (end - start) // length
        if length in wanted and count:
            strides = range(1, op.attribute("max_skip_count") + 2) if length > 1 else (1,)
            terms = pool[start:end].reshape(count, length)
            yield Grams(terms, columns[before : before + count], tuple(strides))
        before += count
