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
    """An element gets the sum of what its categories received."""
    return Adjoint(lambda step, r: step.ops.ReduceSum(r, ints(-1), keepdims=0))


@rule("ZipMap", domain=ML, coverage="nothing")
def zip_map(op: Op) -> Structure:
    """A map is no tensor and carries no relevance; the tensor that it names is explained."""
    return Nothing()
