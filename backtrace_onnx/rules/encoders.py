"""Operators of ai.onnx.ml that encode, scale or name elements one by one."""

from __future__ import annotations

from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import ints
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Halves, Nothing, Passes, Structure
from backtrace_onnx.structures.functions import Function, PiecewiseConstant
from backtrace_onnx.structures.moves import Adjoint
from backtrace_onnx.structures.normalisation import Normalisation
from backtrace_onnx.trees.leaf_numbers import ML


@rule("CategoryMapper", "LabelEncoder", domain=ML)
def renames(op: Op) -> Structure:
    """Relevance passes unchanged, to numbers or strings; of numbers there is no slope."""
    return Passes(converts=True)


@rule("Binarizer", domain=ML)
def binarizer(op: Op) -> Structure:
    """Relevance passes unchanged; there is no slope."""
    return PiecewiseConstant()


@rule("Imputer", domain=ML)
def imputer(op: Op) -> Structure:
    """Relevance passes unchanged; what was missing has no slope."""
    return Function(lambda e, x, y: e.Cast(e.Equal(x, y), to=e.float_type))


@rule("Normalizer", domain=ML)
def normalizer(op: Op) -> Structure:
    """Relevance passes unchanged."""
    order = {"L1": 1, "L2": 2}.get(str(op.attribute("norm", "MAX")))
    if order is None:
        return Halves((0,))
    return Normalisation(lambda e, x: x, (-1,), centred=False, order=order, summed=True)


@rule("OneHotEncoder", domain=ML)
def one_hot_encoder(op: Op) -> Structure:
    """An element gets the sum of what its categories received; a category has no slope."""
    return Adjoint(lambda step, r: step.ops.ReduceSum(r, ints(-1), keepdims=0), converts=True)


@rule("ZipMap", domain=ML, coverage="nothing")
def zip_map(op: Op) -> Structure:
    """A map is no tensor and carries no relevance; the tensor that it names is explained."""
    return Nothing()
