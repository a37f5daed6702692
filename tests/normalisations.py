"""Normalisations, each in the ways that exporters write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.function_networks import Array, Write, Writer, op
from tests.graphs import DOUBLE, FLOAT, normal

SCALE, SHIFT = normal(6, seed=4) + 1, normal(6, seed=5)
LAST = np.array([-1])
SPACE = np.array([2, 3])
EPSILON = 1e-5


def _affine(g: Writer, x: str, tail: tuple[int, ...] = ()) -> str:
    shape = (6, *tail)
    return g("Add", g("Mul", x, SCALE.reshape(shape)), SHIFT.reshape(shape))


def _mean(g: Writer, x: str, axes: Array = LAST) -> str:
    return g("ReduceMean", x, axes)


def _root(g: Writer, square: str) -> str:
    return g("Sqrt", g("Add", square, EPSILON))


def _centred(g: Writer, x: str, axes: Array = LAST) -> str:
    return g("Sub", x, _mean(g, x, axes))


def _by_moments(g: Writer, x: str) -> str:
    mean = _mean(g, x)
    variance = g("Sub", _mean(g, g("Mul", x, x)), g("Mul", mean, mean))
    return _affine(g, g("Div", g("Sub", x, mean), _root(g, variance)))


def _tensorflow(g: Writer, x: str) -> str:
    mean = _mean(g, x)
    d = g("Sub", x, mean)
    inverse = g("Reciprocal", _root(g, _mean(g, g("Mul", d, d))))
    factor = g("Mul", inverse, SCALE)
    return g("Add", g("Mul", x, factor), g("Sub", SHIFT, g("Mul", mean, factor)))


def _standard(
    g: Writer, x: str, axes: Array = LAST, *, square: str = "Pow", wide: bool = False
) -> str:
    d = _centred(g, x, axes)
    squared = g("Pow", d, 2.0) if square == "Pow" else g("Mul", d, d)
    epsilon = np.float64(EPSILON) if wide else EPSILON
    return g("Div", d, g("Sqrt", g("Add", _mean(g, squared, axes), epsilon)))


def _corrected(g: Writer, x: str) -> str:
    """As torch.var writes it: a sum, the count and its correction."""
    d = g("Sub", x, _mean(g, x))
    total = g("ReduceSum", g("Mul", d, d), LAST)
    variance = g("Mul", g("Div", total, 5.0), 5 / 6)
    return _affine(g, g("Mul", d, g("Pow", g("Add", variance, EPSILON), -0.5)))


def _squeezed(g: Writer, x: str) -> str:
    mean = g("Unsqueeze", g("ReduceMean", x, LAST, keepdims=0), LAST)
    d = g("Sub", x, mean)
    square = g("ReduceSumSquare", d, LAST, keepdims=0)
    variance = g("Reshape", g("Div", square, 6.0), np.array([0, 0, 1]))
    return _affine(g, g("Div", d, _root(g, variance)))


def _by_moves(g: Writer, x: str) -> str:
    turned = g("Transpose", _standard(g, x), perm=[0, 2, 1])
    scaled = _affine(g, turned, (1,))
    return g("Transpose", scaled, perm=[0, 2, 1])


LAYER: dict[str, Write] = {
    "native": lambda g, x: g("LayerNormalization", x, SCALE, SHIFT, epsilon=EPSILON),
    "torch": lambda g, x: _affine(g, _standard(g, x)),
    "products": lambda g, x: _affine(g, _standard(g, x, square="Mul")),
    "apart": lambda g, x: _affine(g, g("LayerNormalization", x, np.ones(6, np.float32))),
    "moments": _by_moments,
    "tensorflow": _tensorflow,
    "corrected": _corrected,
    "squeezed": _squeezed,
    "cast": lambda g, x: _affine(
        g, g("Cast", _standard(g, g("Cast", x, to=DOUBLE), wide=True), to=FLOAT)
    ),
    "transposed": _by_moves,
    "two shifts": lambda g, x: g(
        "Sub", g("Add", g("Div", _standard(g, x), 1 / SCALE), 1.0), 1 - SHIFT
    ),
}


def _rms(g: Writer, x: str) -> str:
    return g("Div", x, _root(g, _mean(g, g("Pow", x, 2.0))))


RMS: dict[str, Write] = {
    "native": lambda g, x: g("RMSNormalization", x, SCALE, epsilon=EPSILON),
    "Div": lambda g, x: g("Mul", _rms(g, x), SCALE),
    "llama": lambda g, x: g(
        "Mul",
        SCALE,
        g("Cast", g("Mul", x, g("Div", 1.0, _root(g, _mean(g, g("Pow", x, 2.0))))), to=FLOAT),
    ),
    "rsqrt": lambda g, x: g(
        "Mul",
        g("Mul", x, g("Pow", g("Add", _mean(g, g("Mul", x, x)), EPSILON), -0.5)),
        SCALE,
    ),
    "gemma": lambda g, x: g("Mul", _rms(g, g("Cast", x, to=FLOAT)), g("Add", 1.0, SCALE - 1)),
    "SumSquare": lambda g, x: g(
        "Mul", g("Div", x, _root(g, g("Div", g("ReduceSumSquare", x, LAST), 6.0))), SCALE
    ),
}
UNIT: dict[str, Write] = {
    "native": op("LpNormalization", axis=-1, p=2),
    "ReduceL2": lambda g, x: g("Div", x, g("ReduceL2", x, LAST)),
    "torch": lambda g, x: g(
        "Div", x, g("Expand", g("Clip", g("ReduceL2", x, LAST), 1e-12), g("Shape", x))
    ),
    "tensorflow": lambda g, x: g(
        "Mul",
        x,
        g("Reciprocal", g("Sqrt", g("Max", g("ReduceSum", g("Mul", x, x), LAST), 1e-12))),
    ),
}
INSTANCE: dict[str, Write] = {
    "native": lambda g, x: g("InstanceNormalization", x, SCALE, SHIFT, epsilon=EPSILON),
    "apart": lambda g, x: _affine(
        g,
        g("InstanceNormalization", x, np.ones(6, np.float32), np.zeros(6, np.float32)),
        (1, 1),
    ),
    "written out": lambda g, x: _affine(g, _standard(g, x, SPACE), (1, 1)),
    "pooled": lambda g, x: _affine(
        g,
        (lambda d: g("Div", d, _root(g, g("GlobalAveragePool", g("Mul", d, d)))))(
            g("Sub", x, g("GlobalAveragePool", x))
        ),
        (1, 1),
    ),
    "batch": lambda g, x: g(
        "BatchNormalization",
        _standard(g, x, SPACE),
        SCALE,
        SHIFT,
        np.zeros(6, np.float32),
        np.ones(6, np.float32),
        epsilon=0.0,
    ),
}


def _grouped(g: Writer, x: str, normalised: Write, back: Any) -> str:
    groups = g("Reshape", x, np.array([0, 2, -1]))
    return _affine(g, g("Reshape", normalised(g, groups), back), (1, 1))


def _plain(g: Writer, x: str) -> str:
    return g("InstanceNormalization", x, np.ones(2, np.float32), np.zeros(2, np.float32))


GROUP: dict[str, Write] = {
    "native": lambda g, x: g("GroupNormalization", x, SCALE, SHIFT, num_groups=2, epsilon=EPSILON),
    "torch": lambda g, x: _grouped(g, x, _plain, np.array([0, 6, 4, 5])),
    "shape": lambda g, x: _grouped(g, x, _plain, g("Shape", x)),
    "written out": lambda g, x: _grouped(g, x, _standard, np.array([0, 6, 4, 5])),
}

NORMALISING: Mapping[str, dict[str, Write]] = {
    "LayerNormalization": LAYER,
    "RMSNormalization": RMS,
    "unit length": UNIT,
}
SPATIAL: Mapping[str, dict[str, Write]] = {"InstanceNormalization": INSTANCE, "GroupNorm": GROUP}
