"""Operators of ai.onnx.ml that move, pick or name elements."""

from __future__ import annotations

from backtrace_onnx.registry import Op, rule
from backtrace_onnx.structures.base import Nothing, Structure
from backtrace_onnx.structures.trees import ML


@rule("ZipMap", domain=ML)
def zip_map(op: Op) -> Structure:
    """Carries none: a map is no tensor; what it names is explained instead."""
    return Nothing()
