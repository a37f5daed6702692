"""Operators by what they do to the place of an element: the only lists regions are found by."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


POINTWISE = _names("""
    Abs Acos Acosh Asin Asinh Atan Atanh Celu Ceil Clip Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid
    HardSwish LeakyRelu Log Mish Not PRelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh
    Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu IsInf IsNaN
    """)
"""Functions of one input, element by element; further inputs are parameters."""

THROUGH_ZERO = _names("""
    Abs Asinh Atan Celu Elu Erf Gelu HardSwish LeakyRelu Mish PRelu Relu Selu Sin Softsign Swish
    Tanh
    """)
"""Those of them that are near 0 where their input is."""

NEUTRAL = _names("Cast CastLike DequantizeLinear Dropout Identity QuantizeLinear")
"""Operators that change an element's type or nothing."""

AFFINE = _names("Add Div Mul Neg Sub")
"""Linear in one input where the other one is a constant."""

COMBINING = _names("""
    Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow Sub Sum
    Where Xor
    """)
"""Elementwise operators of several inputs that broadcast against each other."""

LOGICAL = _names("And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor")
"""Operators whose output is boolean."""

REDUCING = _names("""
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare
    """)

POOLING = _names("GlobalAveragePool GlobalLpPool GlobalMaxPool")
"""Reductions over all axes but the first two."""

EXPONENTIAL = _names("Hardmax LogSoftmax Softmax")
"""Functions of one input along an axis that are no normalisation of its scale."""

NORMALISING = _names("""
    GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization
    MeanVarianceNormalization RMSNormalization
    """)

MOVING = _names("Reshape Squeeze Transpose Unsqueeze")

COLUMNWISE = AFFINE | NEUTRAL | POINTWISE | _names("BatchNormalization Binarizer Imputer Pow Scale")
"""Operators whose result holds a function of one element at the element's own place, where only one
of their inputs is data."""

CONVOLUTIONS = _names("Conv ConvTranspose")

PRODUCTS = _names("Einsum Gemm MatMul")

RECURRENT = _names("GRU LSTM RNN")
"""Dense layers along time."""

SUMS = _names("Add Mean Sub Sum")

REGION, SCALE, BINS, DOMAIN = "Region", "Scale", "Bins", "backtrace_onnx"
"""Operators of the graph that rules read, in a domain of their own."""


__all__ = [
    "AFFINE",
    "BINS",
    "COLUMNWISE",
    "COMBINING",
    "CONVOLUTIONS",
    "DOMAIN",
    "EXPONENTIAL",
    "LOGICAL",
    "MOVING",
    "NEUTRAL",
    "NORMALISING",
    "POINTWISE",
    "POOLING",
    "PRODUCTS",
    "RECURRENT",
    "REDUCING",
    "REGION",
    "SCALE",
    "SUMS",
    "THROUGH_ZERO",
]
