"""Operators whose outputs carry no relevance."""

from __future__ import annotations

from backtrace_onnx.registry import Op, table
from backtrace_onnx.structures.base import Nothing, Structure


def carries_nothing(op: Op) -> Structure:
    """Carries none."""
    return Nothing()


table(
    dict.fromkeys(
        "Shape Size NonZero ArgMax ArgMin Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor Not "
        "BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitShift IsNaN IsInf ConstantOfShape Constant Range "
        "EyeLike RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial "
        "HannWindow HammingWindow BlackmanWindow "
        "NonMaxSuppression MelWeightMatrix OptionalHasElement SequenceLength ImageDecoder "
        "RegexFullMatch".split(),
        carries_nothing,
    )
)
