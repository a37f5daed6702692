"""Operators whose outputs carry no relevance."""

from __future__ import annotations

from backtrace_onnx.ops.op import Op
from backtrace_onnx.rules.registry import table
from backtrace_onnx.structures.base import Nothing, Structure


def carries_nothing(op: Op) -> Structure:
    """Its output carries no relevance."""
    return Nothing()


_NAMES = """
And ArgMax ArgMin Bernoulli BlackmanWindow Constant ConstantOfShape EyeLike Greater GreaterOrEqual
HammingWindow HannWindow ImageDecoder IsInf IsNaN Less LessOrEqual MelWeightMatrix Multinomial
NonMaxSuppression NonZero Not OptionalHasElement Or RandomNormal RandomNormalLike RandomUniform
RandomUniformLike Range RegexFullMatch SequenceLength Shape Size Xor
"""

table(dict.fromkeys(_NAMES.split(), carries_nothing), coverage="nothing")
