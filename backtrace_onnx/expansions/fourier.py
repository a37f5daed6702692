"""Complex numbers as pairs along the last axis, and the Fourier transforms of real signals."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.phrases import halves
from backtrace_onnx.expansions.registry import Op, Ops, Value, microsoft
from backtrace_onnx.ops.vocabulary import ints

_DFT = 20  # the version that takes its axis as an input


@microsoft("ComplexMul", "ComplexMulConj")
def complex_mul(e: Ops, op: Op, a: Value, b: Value) -> Value:
    """a * b of complex numbers; ComplexMulConj takes the conjugate of b."""
    if op.node.op_type == "ComplexMulConj":
        b = _conjugated(e, b)
    (x, y), (u, v) = (halves(e, z) for z in (a, b))
    real = e.Sub(e.Mul(x, u), e.Mul(y, v))
    return e.Concat(real, e.Add(e.Mul(x, v), e.Mul(y, u)), axis=-1)


def _conjugated(e: Ops, z: Value) -> Value:
    """z with its imaginary parts negated."""
    return e.Mul(z, np.array([1, -1], e.dtype))


@microsoft("Rfft", opset=_DFT)
def rfft(e: Ops, op: Op, x: Value) -> Value:
    """DFT of a real signal: its first n // 2 + 1 frequencies."""
    y = e.DFT(e.Unsqueeze(x, ints(-1)), None, np.int64(-2), onesided=1)
    for axis in _axes(op)[1:]:
        y = e.DFT(y, None, np.int64(axis))
    return y


@microsoft("Irfft", opset=_DFT)
def irfft(e: Ops, op: Op, z: Value) -> Value:
    """Inverse DFT of the spectrum [..., n / 2 + 1, 2] of a real signal of even length n."""
    for axis in _axes(op)[1:]:
        z = e.DFT(z, None, np.int64(axis), inverse=1)
    # The second half of a real signal's spectrum is the first one, conjugated, backwards.
    mirrored = _conjugated(e, e.Slice(z, ints(-2), ints(0), ints(-2), ints(-1)))
    y = e.DFT(e.Concat(z, mirrored, axis=-2), None, np.int64(-2), inverse=1)
    return e.Gather(y, np.int64(0), axis=-1)


def _axes(op: Op) -> list[int]:
    """Axes of the signal among those of its spectrum, the halved one first."""
    if not op.attribute("onesided", 1) or op.attribute("normalized", 0):
        raise RuleError("only one half of a spectrum that is not normalised is defined")
    return [-2 - k for k in range(op.attribute("signal_ndim", 1))]
