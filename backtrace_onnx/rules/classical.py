"""Operators of ai.onnx.ml that encode, scale or name elements one by one."""

from __future__ import annotations

from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import ints
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Nothing, Passes, Structure
from backtrace_onnx.structures.moves import Adjoint
from backtrace_onnx.trees.leaf_numbers import ML


@rule("Binarizer", "CategoryMapper", "Imputer", "LabelEncoder", "Normalizer", domain=ML)
def passes(op: Op) -> Structure:
    """Relevance passes unchanged, to numbers or strings."""
    return Passes()


@rule("OneHotEncoder", domain=ML)
def one_hot_encoder(op: Op) -> Structure:
    """The sum over the categories is the relevance of what they encode."""
    return Adjoint(lambda step, r: step.ops.ReduceSum(r, ints(-1), keepdims=0))


@rule("ZipMap", domain=ML, coverage="nothing")
def zip_map(op: Op) -> Structure:
    """Carries none: a map is no tensor; what it names is explained instead."""
    return Nothing()
