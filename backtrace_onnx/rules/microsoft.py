"""Operators of onnxruntime's own domain that need no expansion."""

from __future__ import annotations

from backtrace_onnx.rules.functions import gelu, passes
from backtrace_onnx.rules.registry import table
from backtrace_onnx.rules.without_relevance import carries_nothing

_WITHOUT_RELEVANCE = """
BifurcationDetector DynamicTimeWarping MurmurHash3 NGramHashMapping Range VarlenNGramHashMapping
"""

table({"Gelu": gelu, "SampleOp": passes}, domain="com.microsoft")
table(
    dict.fromkeys(_WITHOUT_RELEVANCE.split(), carries_nothing),
    domain="com.microsoft",
    coverage="nothing",
)
